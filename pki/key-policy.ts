import type { KeyObject, X509Certificate } from 'node:crypto'
import { messageOf } from '../core/errors.ts'

const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

/**
 * Why a key is not accepted; undefined when it is: RSA from 2048 bits, P-256, P-384, P-521, Ed25519.
 * A client's RSA key also has at most 4096 bits and the exponent 65537, for verifying with larger
 * ones costs the broker up to a hundred times as much. OpenSSL's own floor differs between versions.
 */
export function weaknessOf(certificate: X509Certificate, of: 'client' | 'ca'): string | undefined {
  try {
    return weaknessOfKey(certificate.publicKey, of)
  } catch (err) {
    return `its key cannot be read: ${messageOf(err)}`
  }
}

/** The same for a public key by itself. */
export function weaknessOfKey(key: KeyObject, of: 'client' | 'ca'): string | undefined {
  const type = key.asymmetricKeyType
  const { modulusLength = 0, publicExponent, namedCurve } = key.asymmetricKeyDetails ?? {}
  switch (type) {
    case 'rsa':
    case 'rsa-pss':
      if (modulusLength < 2048) return `RSA key of ${modulusLength} bits, expected at least 2048`
      if (of === 'ca') return undefined
      if (modulusLength > 4096) return `RSA key of ${modulusLength} bits, expected at most 4096`
      return publicExponent === 65537n ? undefined : 'RSA exponent, expected 65537'
    case 'ec':
      return CURVES.has(namedCurve) ? undefined : `curve ${namedCurve}, expected a NIST P curve`
    case 'ed25519':
      return undefined
    default:
      return `${type} key, expected RSA, EC or Ed25519`
  }
}
