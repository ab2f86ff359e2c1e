/** Subject, validity and extensions of each kind of certificate we issue (RFC 5280 §4). */
import { createHash, type KeyObject, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import type { SerialNumber } from '../core/names.ts'
import { DerReader, Tag } from './der.ts'
import { readOctetAlignedBits } from './der-values.ts'
import { AuthorityError } from './errors.ts'
import { toPem } from './pem.ts'

/** 300 ms and 30 MB to load: only where something is issued. */
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
export async function issueCa(
  certificate: Omit<CertificateToIssue, 'publicKey'>,
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
): Promise<string> {
  const x509 = await loadX509()
  const { KeyUsageFlags, BasicConstraintsExtension, KeyUsagesExtension } = x509
  const subject = subjectOf(certificate)
  const issued = await x509.X509CertificateGenerator.create(
    {
      ...namesAndDates(certificate),
      subject,
      issuer: subject,
      publicKey: await importPublic(keys.publicKey),
      signingKey: await importPrivate(keys.privateKey),
      signingAlgorithm: algorithmOf(keys.privateKey),
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        new x509.SubjectKeyIdentifierExtension(keyIdentifier(keys.publicKey)),
      ],
    },
    webcrypto,
  )
  return toPem('CERTIFICATE', new Uint8Array(issued.rawData))
}

/** What the leaf is for: a TLS server under these names and addresses, or a device. */
export type LeafUse = { readonly server: readonly string[] } | 'device'

/** @returns PEM */
export async function issueLeaf(
  certificate: CertificateToIssue,
  use: LeafUse,
  ca: CaIdentity,
): Promise<string> {
  const x509 = await loadX509()
  const { KeyUsageFlags, ExtendedKeyUsage } = x509
  const issuer = new x509.X509Certificate(ca.certificatePem)
  const isRsa = certificate.publicKey.asymmetricKeyType === 'rsa'
  const { digitalSignature, keyEncipherment } = KeyUsageFlags
  const purpose = use === 'device' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth
  const issuerKeyId = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId
  const extensions = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    isRsa
      ? new x509.KeyUsagesExtension(digitalSignature | keyEncipherment, true)
      : new x509.KeyUsagesExtension(digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([purpose]),
    new x509.SubjectKeyIdentifierExtension(keyIdentifier(certificate.publicKey)),
    ...(issuerKeyId === undefined ? [] : [new x509.AuthorityKeyIdentifierExtension(issuerKeyId)]),
    ...(use === 'device'
      ? []
      : [new x509.SubjectAlternativeNameExtension(use.server.map(altName))]),
  ]
  const issued = await x509.X509CertificateGenerator.create(
    {
      ...namesAndDates(certificate),
      subject: subjectOf(certificate),
      issuer: issuer.subjectName,
      publicKey: await importPublic(certificate.publicKey),
      signingKey: await importPrivate(ca.key),
      signingAlgorithm: algorithmOf(ca.key),
      extensions,
    },
    webcrypto,
  )
  return toPem('CERTIFICATE', new Uint8Array(issued.rawData))
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

/** Structured: as text, a name such as `a, O=b` would become two attributes. */
function subjectOf({
  commonName,
  organization,
}: Pick<CertificateToIssue, 'commonName' | 'organization'>) {
  return [...(organization === undefined ? [] : [{ O: [organization] }]), { CN: [commonName] }]
}

function namesAndDates({
  serialNumber,
  notBefore,
  notAfter,
}: Omit<CertificateToIssue, 'publicKey'>) {
  const hex = serialNumber.padStart(serialNumber.length + (serialNumber.length % 2), '0')
  return { serialNumber: hex, notBefore: new Date(notBefore), notAfter: new Date(notAfter) }
}

function altName(name: string): { readonly type: 'ip' | 'dns'; readonly value: string } {
  return { type: isIP(name) === 0 ? 'dns' : 'ip', value: name }
}

/** SHA-1 over the key's bits, as RFC 5280 §4.2.1.2 (1) has it: an identifier, not a protection. */
function keyIdentifier(publicKey: KeyObject): string {
  const spki = new DerReader(publicKey.export({ type: 'spki', format: 'der' })).enter(Tag.sequence)
  spki.next(Tag.sequence)
  return createHash('sha1').update(readOctetAlignedBits(spki)).digest('hex')
}

const CURVES = new Map([
  ['prime256v1', { namedCurve: 'P-256', hash: 'SHA-256' }],
  ['secp384r1', { namedCurve: 'P-384', hash: 'SHA-384' }],
  ['secp521r1', { namedCurve: 'P-521', hash: 'SHA-512' }],
])

/** In the terms of WebCrypto. */
function algorithmOf(key: KeyObject) {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  if (key.asymmetricKeyType === 'ed25519') return { name: 'Ed25519' }
  const curve = CURVES.get(key.asymmetricKeyDetails?.namedCurve ?? '')
  if (key.asymmetricKeyType === 'ec' && curve !== undefined) return { name: 'ECDSA', ...curve }
  const text = `expected an RSA, EC or Ed25519 key, found ${key.asymmetricKeyType}`
  throw new AuthorityError('authority_request_invalid', text)
}

function importPublic(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const spki = key.export({ type: 'spki', format: 'der' })
  return webcrypto.subtle.importKey('spki', spki, algorithmOf(key), true, ['verify'])
}

function importPrivate(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  return webcrypto.subtle.importKey('pkcs8', pkcs8, algorithmOf(key), false, ['sign'])
}
