/** Subject, validity and extensions of each kind of certificate we issue (RFC 5280 §4). */
import { createHash, type KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import type { SerialNumber } from '../core/names.ts'
import { CLIENT_AUTH, readCertificate } from './certificate.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
  USAGE,
  writeCertificate,
  writeName,
} from './certificate-writer.ts'
import { DerReader, Tag } from './der.ts'
import { readOctetAlignedBits } from './der-values.ts'
import { AuthorityError } from './errors.ts'

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'

/** 300 ms and 30 MB to load: only where a request is read. */
async function loadX509() {
  await import('reflect-metadata')
  return await import('@peculiar/x509')
}

export interface CaIdentity {
  readonly certificatePem: string
  readonly key: KeyObject
}

export interface CertificateToIssue {
  readonly commonName: string
  /** Undefined: no O in the subject. */
  readonly organization: string | undefined
  readonly publicKey: KeyObject
  readonly serialNumber: SerialNumber
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
}

/** A self-signed CA that issues no further CAs. @returns PEM */
export function issueCa(
  certificate: Omit<CertificateToIssue, 'publicKey'>,
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
): string {
  const { commonName, organization, serialNumber, notBefore, notAfter } = certificate
  const name = writeName(commonName, organization)
  return writeCertificate({
    serialNumber,
    notBefore,
    notAfter,
    issuer: name,
    subject: name,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    extensions: [
      basicConstraints(0),
      keyUsage(USAGE.keyCertSign | USAGE.cRLSign),
      subjectKeyIdentifier(keyIdentifier(keys.publicKey)),
    ],
  })
}

/** What the leaf is for: a TLS server under these names and addresses, or a device. */
export type LeafUse = { readonly server: readonly string[] } | 'device'

/** @returns PEM @throws AuthorityError `authority_request_invalid` for what names no host */
export function issueLeaf(certificate: CertificateToIssue, use: LeafUse, ca: CaIdentity): string {
  const { commonName, organization, publicKey, serialNumber, notBefore, notAfter } = certificate
  const issuer = readCertificate(new X509Certificate(ca.certificatePem).raw)
  const isRsa = publicKey.asymmetricKeyType === 'rsa'
  const { digitalSignature, keyEncipherment } = USAGE
  return writeCertificate({
    serialNumber,
    notBefore,
    notAfter,
    issuer: issuer.subject,
    subject: writeName(commonName, organization),
    publicKey,
    signingKey: ca.key,
    extensions: [
      basicConstraints(undefined),
      keyUsage(isRsa ? digitalSignature | keyEncipherment : digitalSignature),
      extendedKeyUsage(use === 'device' ? CLIENT_AUTH : SERVER_AUTH),
      subjectKeyIdentifier(keyIdentifier(publicKey)),
      ...(issuer.subjectKeyIdentifier === undefined
        ? []
        : [authorityKeyIdentifier(issuer.subjectKeyIdentifier)]),
      ...(use === 'device' ? [] : [subjectAltName(use.server)]),
    ],
  })
}

/**
 * The public key of a certificate request (PKCS #10) that was signed with its private key, and the
 * CNs it asks for. Nothing else of a request is ever copied.
 *
 * @throws AuthorityError `authority_request_invalid`
 */
export async function readRequest(
  pem: string,
): Promise<{ readonly spki: Uint8Array; readonly commonNames: readonly string[] }> {
  const x509 = await loadX509()
  try {
    const request = new x509.Pkcs10CertificateRequest(pem)
    // One flipped bit may throw here instead of giving false.
    if (!(await request.verify(webcrypto))) throw new Error('its signature does not fit its key')
    const commonNames = request.subjectName.getField('CN')
    return { spki: new Uint8Array(request.publicKey.rawData), commonNames }
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    const text = `expected a PEM certificate request (PKCS #10), found: ${found}`
    throw new AuthorityError('authority_request_invalid', text, { cause })
  }
}

/** SHA-1 over the key's bits, as RFC 5280 §4.2.1.2 (1) has it: an identifier, not a protection. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const spki = new DerReader(publicKey.export({ type: 'spki', format: 'der' })).enter(Tag.sequence)
  spki.next(Tag.sequence)
  return createHash('sha1').update(readOctetAlignedBits(spki)).digest()
}
