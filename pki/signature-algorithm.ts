/**
 * Verifying with the algorithm a structure names (RFC 4055, RFC 5758, RFC 8410). SHA-1 and MD5 are
 * not accepted.
 */
import { constants, type KeyObject, verify } from 'node:crypto'
import { DerError, DerReader, Tag } from './der.ts'
import { readOid, readUnsigned } from './der-values.ts'

export interface SignatureAlgorithm {
  readonly name: string
  readonly kind: 'rsa' | 'rsa-pss' | 'ec' | 'eddsa'
  /** As node:crypto names it; null: the algorithm brings its own. */
  readonly hash: string | null
  /** Octets; RSA-PSS only. */
  readonly saltLength: number | undefined
}

const HASHES = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
])

const ALGORITHMS = new Map<string, readonly ['rsa' | 'ec' | 'eddsa', string | null, string]>([
  ['1.2.840.113549.1.1.11', ['rsa', 'sha256', 'sha256WithRSAEncryption']],
  ['1.2.840.113549.1.1.12', ['rsa', 'sha384', 'sha384WithRSAEncryption']],
  ['1.2.840.113549.1.1.13', ['rsa', 'sha512', 'sha512WithRSAEncryption']],
  ['1.2.840.10045.4.3.2', ['ec', 'sha256', 'ecdsa-with-SHA256']],
  ['1.2.840.10045.4.3.3', ['ec', 'sha384', 'ecdsa-with-SHA384']],
  ['1.2.840.10045.4.3.4', ['ec', 'sha512', 'ecdsa-with-SHA512']],
  ['1.3.101.112', ['eddsa', null, 'Ed25519']],
])

const WEAK = new Map([
  ['1.2.840.113549.1.1.4', 'md5WithRSAEncryption'],
  ['1.2.840.113549.1.1.5', 'sha1WithRSAEncryption'],
  ['1.2.840.10045.4.1', 'ecdsa-with-SHA1'],
  ['1.2.840.10040.4.3', 'dsa-with-SHA1'],
])

const RSASSA_PSS = '1.2.840.113549.1.1.10'
const MGF1 = '1.2.840.113549.1.1.8'

/** An algorithm that is not verified here. */
export class UnsupportedAlgorithm extends Error {
  override readonly name = 'UnsupportedAlgorithm'
}

/**
 * @param der an AlgorithmIdentifier
 * @throws UnsupportedAlgorithm, DerError
 */
export function readSignatureAlgorithm(der: Uint8Array): SignatureAlgorithm {
  const reader = new DerReader(der).enter(Tag.sequence)
  const id = readOid(reader)
  if (id === RSASSA_PSS) return readPss(reader)
  const known = ALGORITHMS.get(id)
  if (known === undefined) {
    const found = WEAK.get(id) ?? id
    throw new UnsupportedAlgorithm(`signature algorithm ${found}, expected SHA-256 or stronger`)
  }
  const [kind, hash, name] = known
  if (kind === 'rsa' && !reader.done) reader.next(Tag.null)
  reader.finish()
  return { name, kind, hash, saltLength: undefined }
}

/** RSASSA-PSS-params (RFC 4055 §3.1); the defaults are SHA-1 and so not accepted. */
function readPss(outer: DerReader): SignatureAlgorithm {
  const params = outer.enter(Tag.sequence)
  outer.finish()
  const hash = params.peek() === 0xa0 ? readHash(params.enter(0xa0)) : undefined
  let maskHash: string | undefined
  if (params.peek() === 0xa1) {
    const mask = params.enter(0xa1).enter(Tag.sequence)
    if (readOid(mask) !== MGF1) throw new UnsupportedAlgorithm('RSASSA-PSS without MGF1')
    maskHash = readHash(mask)
  }
  const saltLength = params.peek() === 0xa2 ? Number(readUnsigned(params.enter(0xa2))) : 20
  if (params.peek() === 0xa3 && readUnsigned(params.enter(0xa3)) !== 1n) {
    throw new UnsupportedAlgorithm('RSASSA-PSS with an unknown trailer field')
  }
  params.finish()
  if (hash === undefined || hash !== maskHash) {
    throw new UnsupportedAlgorithm('RSASSA-PSS, expected one hash, SHA-256 or stronger, throughout')
  }
  return { name: `RSASSA-PSS with ${hash}`, kind: 'rsa-pss', hash, saltLength }
}

function readHash(wrapped: DerReader): string {
  const reader = wrapped.enter(Tag.sequence)
  wrapped.finish()
  const id = readOid(reader)
  if (!reader.done) reader.next(Tag.null)
  reader.finish()
  const hash = HASHES.get(id)
  if (hash === undefined) throw new UnsupportedAlgorithm(`hash ${id}, expected SHA-256 or stronger`)
  return hash
}

const KEY_TYPES = {
  rsa: ['rsa'],
  'rsa-pss': ['rsa', 'rsa-pss'],
  ec: ['ec'],
  eddsa: ['ed25519'],
} as const

/** False, never an error, for a key of another kind and for a signature that is not one. */
export function verifySignature(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  signed: Uint8Array,
  signature: Uint8Array,
): boolean {
  const types: readonly string[] = KEY_TYPES[algorithm.kind]
  if (!types.includes(key.asymmetricKeyType ?? '')) return false
  const input =
    algorithm.kind === 'rsa-pss'
      ? {
          key,
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: algorithm.saltLength ?? 20,
        }
      : { key }
  try {
    return verify(algorithm.hash, signed, input, signature)
  } catch {
    return false
  }
}

/** Reads one AlgorithmIdentifier and gives its encoding. */
export function algorithmEncoding(reader: DerReader): Uint8Array {
  const element = reader.next(Tag.sequence)
  if (element.end - element.start > 256) throw new DerError('AlgorithmIdentifier too long')
  return reader.encodingOf(element)
}
