/** Certificates and CRLs in words, for `midge pki show`. */
import { X509Certificate } from 'node:crypto'
import { messageOf } from '../core/errors.ts'
import { type CertificateFields, readCertificate } from './certificate.ts'
import { parseCrl } from './crl.ts'
import { splitCrlFile } from './crl-reading.ts'
import { AuthorityError } from './errors.ts'
import { weaknessOf } from './key-policy.ts'
import { displayName } from './name.ts'
import { looksLikePem } from './pem.ts'
import { readCertificates } from './trust.ts'

/**
 * @param now milliseconds since 1970
 * @throws AuthorityError `authority_request_invalid` for anything else
 */
export function describeFile(file: string, bytes: Buffer, now: number): string {
  const pem = looksLikePem(bytes) ? bytes.toString('latin1') : undefined
  const readers =
    pem?.includes(' CRL-----') === true ? [crlsOf, certificatesOf] : [certificatesOf, crlsOf]
  const problems: string[] = []
  for (const read of readers) {
    try {
      return read(file, bytes, now).join('\n')
    } catch (err) {
      problems.push(messageOf(err))
    }
  }
  const text = `${file}: expected a certificate or a CRL, found neither: ${problems[0]}`
  throw new AuthorityError('authority_request_invalid', text)
}

function certificatesOf(file: string, bytes: Buffer, now: number): string[] {
  const certificates = looksLikePem(bytes)
    ? readCertificates(bytes.toString('latin1'), file)
    : [new X509Certificate(bytes)]
  if (certificates.length === 0) throw new Error('no certificate')
  return certificates.map((certificate) => describeCertificate(certificate, now))
}

function describeCertificate(certificate: X509Certificate, now: number): string {
  const fields = readCertificate(certificate.raw)
  const { asymmetricKeyType, asymmetricKeyDetails: details } = certificate.publicKey
  const size = details?.namedCurve ?? details?.modulusLength ?? ''
  const weakness = weaknessOf(certificate, fields.isCa ? 'ca' : 'client')
  return lines([
    [fields.isCa ? 'CA certificate' : 'certificate', displayName(fields.subject)],
    ['issuer', displayName(fields.issuer)],
    ['serial number', fields.serialNumber],
    ['valid', `${isoOf(fields.notBefore)} to ${isoOf(fields.notAfter)}${ageOf(fields, now)}`],
    ['key', `${asymmetricKeyType} ${size}${weakness === undefined ? '' : ` (${weakness})`}`],
    ['SHA-256', certificate.fingerprint256.replaceAll(':', '').toLowerCase()],
  ])
}

function ageOf({ notBefore, notAfter }: CertificateFields, now: number): string {
  if (now > notAfter) return ' (expired)'
  return now < notBefore ? ' (not yet valid)' : ''
}

function crlsOf(_file: string, bytes: Buffer, now: number): string[] {
  return splitCrlFile(bytes).map((der) => {
    const { issuer, crlNumber, thisUpdate, nextUpdate, revoked } = parseCrl(der)
    const stale = nextUpdate !== undefined && nextUpdate < now ? ' (past)' : ''
    return lines([
      ['CRL of', displayName(issuer)],
      ['crlNumber', crlNumber?.toString() ?? 'none'],
      ['thisUpdate', isoOf(thisUpdate)],
      ['nextUpdate', nextUpdate === undefined ? 'none' : `${isoOf(nextUpdate)}${stale}`],
      ['revoked', String(revoked.count)],
    ])
  })
}

function lines(fields: readonly (readonly [string, string])[]): string {
  return fields.map(([name, value]) => `${name.padEnd(15)} ${printable(value)}\n`).join('')
}

/** A name in a certificate must not be able to drive the terminal. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/gu, '\ufffd')
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
