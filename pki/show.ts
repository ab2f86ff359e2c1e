/** Certificates, requests and CRLs in words, for `midge pki show`. */
import { X509Certificate } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type AdmittedCertificate, ClientCertificateAdmission } from './admission.ts'
import { type AuthorityFiles, readIfThere } from './authority-files.ts'
import { type CertificateFields, readCertificate } from './certificate.ts'
import { readRequest } from './certificate-profile.ts'
import { parseCrl } from './crl.ts'
import { CrlStore } from './crl-store.ts'
import { splitCrlFile } from './crl-reading.ts'
import { AuthorityError } from './errors.ts'
import { weaknessOf } from './key-policy.ts'
import { displayName } from './name.ts'
import { looksLikePem } from './pem.ts'
import { readCertificates, TrustSet } from './trust.ts'

/** Whom a broker takes an admitted certificate for, or why for nobody. */
export type Identify = (
  certificate: AdmittedCertificate,
) =>
  | { readonly refused: false; readonly name: string }
  | { readonly refused: true; readonly reason: string }

export interface ShowOptions {
  readonly clock: Clock
  /** Whose CA and CRL a certificate is judged by. */
  readonly files: Pick<AuthorityFiles, 'deviceCa' | 'deviceCrl'>
  readonly identify?: Identify | undefined
}

/** @throws AuthorityError `authority_request_invalid` for anything else */
export async function describeFile(
  file: string,
  bytes: Buffer,
  options: ShowOptions,
): Promise<string> {
  const pem = looksLikePem(bytes) ? bytes.toString('latin1') : undefined
  if (pem !== undefined && /^-----BEGIN [A-Z ]*PRIVATE KEY-----/mu.test(pem)) {
    const text = `${file}: expected a certificate, a request or a CRL, found a private key`
    throw new AuthorityError('authority_request_invalid', text)
  }
  if (pem?.includes('CERTIFICATE REQUEST-----') === true) return await describeRequest(pem)
  const now = options.clock.now()
  const readers =
    pem?.includes(' CRL-----') === true ? [crlsOf, certificatesOf] : [certificatesOf, crlsOf]
  const problems: string[] = []
  for (const read of readers) {
    let found: Found
    try {
      found = read(file, bytes, now)
    } catch (err) {
      problems.push(messageOf(err))
      continue
    }
    const texts: string[] = []
    for (const { text, certificate } of found) {
      texts.push(certificate === undefined ? text : text + (await verdictOn(certificate, options)))
    }
    return texts.join('\n')
  }
  const text = `${file}: expected a certificate or a CRL, found neither: ${problems[0]}`
  throw new AuthorityError('authority_request_invalid', text)
}

/** `certificate`: one that a client may show. */
type Found = readonly { readonly text: string; readonly certificate?: X509Certificate }[]

async function describeRequest(pem: string): Promise<string> {
  const { spki, commonNames } = await readRequest(pem)
  return lines([
    ['request for', commonNames.join(', ') || '(no CN)'],
    ['key', `${spki.length} octets of SubjectPublicKeyInfo, its signature fits`],
  ])
}

/** By the code that judges clients at a listener with these files. */
async function verdictOn(certificate: X509Certificate, options: ShowOptions): Promise<string> {
  const { clock, files, identify } = options
  const ca = await readIfThere(files.deviceCa)
  if (ca === undefined) return lines([['Midge', `not judged: there is no ${files.deviceCa}`]])
  const trust = new TrustSet({ ca, origin: files.deviceCa })
  const store = new CrlStore({ clock, authorities: trust.encodings })
  const crl = await readIfThere(files.deviceCrl)
  const problem = crl === undefined ? `no ${files.deviceCrl}` : await offered(store, crl)
  const policy = { whenStale: 'serve-stale', withoutCrl: 'accept' } as const
  const admission = new ClientCertificateAdmission({ trust, store, policy, clock })
  const verdict = admission.admit(certificate, undefined)
  const by = `${files.deviceCa}${problem === undefined ? ` and ${files.deviceCrl}` : ''}`
  const answer = verdict.admitted
    ? acceptanceOf(verdict.certificate, identify)
    : `refused: ${verdict.reason}: ${verdict.detail}`
  return lines([
    ['Midge', answer],
    ['judged by', by],
    ...(problem === undefined ? [] : [['without CRL', problem] as const]),
  ])
}

function acceptanceOf(certificate: AdmittedCertificate, identify: Identify | undefined): string {
  const identity = identify?.(certificate) ?? { refused: false, name: certificate.commonName }
  return identity.refused
    ? `refused: good in itself, and no device's: ${identity.reason}`
    : `accepted as ${identity.name}`
}

/** @returns why the list does not count; undefined: it does */
async function offered(store: CrlStore, crl: string): Promise<string | undefined> {
  try {
    const { taken, refused } = await store.offer(new Uint8Array(Buffer.from(crl, 'latin1')))
    return taken.length > 0 ? undefined : (refused[0]?.message ?? 'it holds none')
  } catch (err) {
    return messageOf(err)
  }
}

function certificatesOf(file: string, bytes: Buffer, now: number): Found {
  const certificates = looksLikePem(bytes)
    ? readCertificates(bytes.toString('latin1'), file)
    : [new X509Certificate(bytes)]
  if (certificates.length === 0) throw new Error('no certificate')
  return certificates.map((certificate) => {
    const { isCa } = readCertificate(certificate.raw)
    const text = describeCertificate(certificate, now)
    return isCa ? { text } : { text, certificate }
  })
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

function crlsOf(_file: string, bytes: Buffer, now: number): Found {
  return splitCrlFile(bytes).map((der) => {
    const { issuer, crlNumber, thisUpdate, nextUpdate, revoked } = parseCrl(der)
    const stale = nextUpdate !== undefined && nextUpdate < now ? ' (past)' : ''
    const text = lines([
      ['CRL of', displayName(issuer)],
      ['crlNumber', crlNumber?.toString() ?? 'none'],
      ['thisUpdate', isoOf(thisUpdate)],
      ['nextUpdate', nextUpdate === undefined ? 'none' : `${isoOf(nextUpdate)}${stale}`],
      ['revoked', String(revoked.count)],
    ])
    return { text }
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
