/** From the bytes of a crlfile to the CRLs that may be offered; runs in a worker when they are many. */
import { X509Certificate } from 'node:crypto'
import { messageOf } from '../core/errors.ts'
import type { IssuerKey } from '../core/names.ts'
import { type CertificateFields, readCertificate } from './certificate.ts'
import { type ParsedCrl, parseCrl, verifyCrl } from './crl.ts'
import { DerError } from './der.ts'
import { CrlRejected, type CrlRejection } from './errors.ts'
import { comparableName, displayName } from './name.ts'
import { looksLikePem, PemError, readPem } from './pem.ts'
import type { SerialTable } from './revoked-serials.ts'

/** A CRL whose signature, issuer and kind were found right. Plain: it crosses threads. */
export interface VerifiedCrl {
  readonly issuer: IssuerKey
  /** For people. */
  readonly issuerName: string
  readonly thisUpdate: number
  readonly nextUpdate: number | undefined
  readonly crlNumber: bigint | undefined
  readonly digest: string
  readonly revoked: SerialTable
}

export interface CrlRefusal {
  readonly code: CrlRejection
  readonly message: string
  /** Milliseconds since 1970: the same bytes may be taken from then on. */
  readonly retryAt?: number
}

/** Each CRL of a file by itself: a bad one does not keep its neighbours from revoking. */
export interface CrlReading {
  readonly verified: readonly VerifiedCrl[]
  readonly refused: readonly CrlRefusal[]
}

export interface CrlReadingOptions {
  /** Milliseconds since 1970. */
  readonly now: number
  /** Refuse a CRL without crlNumber (RFC 5280 §5.2.3); many tools leave it out. */
  readonly requireNumber: boolean
}

/** How far ahead of our clock a thisUpdate may lie. */
export const CLOCK_SKEW_MS = 5 * 60_000

/**
 * The DER of each CRL in a file, PEM or DER.
 *
 * @throws CrlRejected `crl_malformed` when anything in the file is incomplete
 */
export function splitCrlFile(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length === 0) throw new CrlRejected('crl_malformed', 'the file is empty')
  if (!looksLikePem(bytes)) return [bytes]
  try {
    const blocks = readPem(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'),
      ['X509 CRL', 'CRL'],
    )
    if (blocks.length === 0) throw new PemError('no BEGIN X509 CRL')
    return blocks
  } catch (err) {
    if (!(err instanceof PemError)) throw err
    throw new CrlRejected('crl_malformed', `not a complete CRL file: ${err.message}`, {
      cause: err,
    })
  }
}

/**
 * @param authorities DER of the CAs whose CRLs count
 * @throws CrlRejected when the file as a whole cannot be believed
 */
export function readCrls(
  bytes: Uint8Array,
  authorities: readonly Uint8Array[],
  options: CrlReadingOptions,
): CrlReading {
  const parsed = splitCrlFile(bytes).map(parseCrl)
  const cas = authorities.map((der) => {
    const fields = readCertificate(der)
    return { certificate: new X509Certificate(der), fields, name: comparableName(fields.subject) }
  })
  const verified: VerifiedCrl[] = []
  const refused: CrlRefusal[] = []
  for (const crl of parsed) {
    try {
      verified.push(judge(crl, cas, options))
    } catch (err) {
      if (!(err instanceof CrlRejected)) throw err
      const retry =
        err.code === 'crl_not_yet_valid' ? { retryAt: crl.thisUpdate - CLOCK_SKEW_MS } : {}
      refused.push({ code: err.code, message: err.message, ...retry })
    }
  }
  return { verified, refused }
}

interface Authority {
  readonly certificate: X509Certificate
  readonly fields: CertificateFields
  readonly name: string
}

function judge(crl: ParsedCrl, cas: readonly Authority[], options: CrlReadingOptions): VerifiedCrl {
  const issuerName = displayName(crl.issuer)
  const ca = signerOf(crl, cas, issuerName)
  if (crl.thisUpdate > options.now + CLOCK_SKEW_MS) {
    const [found, now] = [crl.thisUpdate, options.now].map((ms) => new Date(ms).toISOString())
    throw new CrlRejected(
      'crl_not_yet_valid',
      `CRL of ${issuerName}: thisUpdate ${found} lies in the future, the clock says ${now}`,
    )
  }
  if (options.requireNumber && crl.crlNumber === undefined) {
    throw new CrlRejected('crl_number_missing', `CRL of ${issuerName} has no crlNumber`)
  }
  return {
    issuer: ca.fields.key,
    issuerName,
    thisUpdate: crl.thisUpdate,
    nextUpdate: crl.nextUpdate,
    crlNumber: crl.crlNumber,
    digest: crl.digest,
    revoked: crl.revoked,
  }
}

/** By signature; the name only narrows the search, for two CAs may share one. */
function signerOf(crl: ParsedCrl, cas: readonly Authority[], issuerName: string): Authority {
  const name = nameOf(crl)
  const unknown = new CrlRejected('crl_issuer_unknown', `no configured CA is named ${issuerName}`)
  let refusal = unknown
  for (const ca of cas) {
    if (ca.name !== name) continue
    try {
      verifyCrl(crl, ca.certificate, ca.fields)
      return ca
    } catch (err) {
      if (!(err instanceof CrlRejected)) throw err
      // What a CA of that key may not do says more than that another key did not fit.
      if (refusal === unknown || err.code !== 'crl_signature_invalid') refusal = err
    }
  }
  throw refusal
}

function nameOf(crl: ParsedCrl): string {
  try {
    return comparableName(crl.issuer)
  } catch (err) {
    if (!(err instanceof DerError)) throw err
    throw new CrlRejected('crl_malformed', `not a complete CRL: ${messageOf(err)}`, { cause: err })
  }
}

/** What a thread is started with. */
export interface CrlWork extends CrlReadingOptions {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly authorities: readonly Uint8Array[]
}

/** Plain on both sides: an error's class does not survive the way between threads. */
export type CrlAnswer =
  | { readonly reading: CrlReading }
  | { readonly rejected: { readonly code: CrlRejection; readonly message: string } }

/** `readCrls`, for which no input is a reason to throw. */
export function answerTo({ bytes, authorities, now, requireNumber }: CrlWork): CrlAnswer {
  try {
    return { reading: readCrls(bytes, authorities, { now, requireNumber }) }
  } catch (err) {
    const code = err instanceof CrlRejected ? err.code : 'crl_reading_failed'
    return { rejected: { code, message: messageOf(err) } }
  }
}
