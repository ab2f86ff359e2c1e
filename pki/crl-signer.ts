/**
 * Whose CRL is it? A CA's own, as a rule. A CA may also leave CRLs to a key of their own: a second
 * certificate with the CA's name and cRLSign, issued by the same CA above (RFC 5280 §6.3.3 (f)).
 */
import { X509Certificate } from 'node:crypto'
import type { IssuerKey, SerialNumber } from '../core/names.ts'
import { type CertificateFields, KeyUsage, readCertificate } from './certificate.ts'
import { CrlRejected } from './errors.ts'
import { comparableName, displayName } from './name.ts'

export interface Authority {
  readonly certificate: X509Certificate
  readonly fields: CertificateFields
  /** For comparison. */
  readonly name: string
}

/** The certificate that signs a CA's CRLs: it may be revoked, and it may end. */
export interface CrlSigner {
  /** The CA that issued it. */
  readonly parent: IssuerKey
  readonly serialNumber: SerialNumber
  /** Milliseconds since 1970, inclusive. */
  readonly notBefore: number
  readonly notAfter: number
}

export interface CrlIssuer {
  /** The CA whose certificates the list is about. */
  readonly issuer: IssuerKey
  readonly signer: CrlSigner | undefined
}

/** @throws DerError */
export function readAuthority(der: Uint8Array): Authority {
  const fields = readCertificate(der)
  return { certificate: new X509Certificate(der), fields, name: comparableName(fields.subject) }
}

export function mayIssue({ isCa, keyUsage }: CertificateFields): boolean {
  return isCa && (keyUsage === undefined || (keyUsage & KeyUsage.keyCertSign) !== 0)
}

/** Has it no other purpose than to sign the CRLs of a CA of its name? */
export function isCrlSigner(fields: CertificateFields): boolean {
  const { keyUsage } = fields
  return !mayIssue(fields) && keyUsage !== undefined && (keyUsage & KeyUsage.cRLSign) !== 0
}

/** By name, key identifier and signature: a CA of the same name and another key is none. */
export function isIssuedBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  try {
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey)
  } catch {
    return false
  }
}

/**
 * @param signed the certificate whose key signed the list
 * @throws CrlRejected `crl_issuer_not_allowed`
 */
export function issuerOf(signed: Authority, cas: readonly Authority[]): CrlIssuer {
  if (mayIssue(signed.fields)) return { issuer: signed.fields.key, signer: undefined }
  const parents = cas.filter(
    ({ certificate, fields }) => mayIssue(fields) && isIssuedBy(signed.certificate, certificate),
  )
  const found = new Map<IssuerKey, CrlIssuer>()
  for (const { certificate, fields, name } of cas) {
    // A CA that signs its lists itself needs nobody in its place.
    if (name !== signed.name || !mayIssue(fields) || maySignCrls(fields)) continue
    const parent = parents.find((each) => isIssuedBy(certificate, each.certificate))
    if (parent === undefined) continue
    const { serialNumber, notBefore, notAfter } = signed.fields
    const signer = { parent: parent.fields.key, serialNumber, notBefore, notAfter }
    found.set(fields.key, { issuer: fields.key, signer })
  }
  const [only, ...others] = found.values()
  if (only !== undefined && others.length === 0) return only
  const text = `${displayName(signed.fields.subject)}: a key for CRLs alone, expected one CA of that name, without cRLSign and of the same issuer, found ${found.size}`
  throw new CrlRejected('crl_issuer_not_allowed', text)
}

function maySignCrls({ keyUsage }: CertificateFields): boolean {
  return keyUsage === undefined || (keyUsage & KeyUsage.cRLSign) !== 0
}
