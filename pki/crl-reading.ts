/** From the bytes of a crlfile to the CRLs that may be offered; runs in a worker when they are many. */
import { messageOf } from '../core/errors.ts'
import type { IssuerKey } from '../core/names.ts'
import { type ParsedCrl, readCrl, unsupported, verifyCrl } from './crl.ts'
import { type CrlScope, describeScope } from './crl-scope.ts'
import {
  type Authority,
  type CrlIssuer,
  type CrlSigner,
  issuerOf,
  readAuthority,
} from './crl-signer.ts'
import { DerError } from './der.ts'
import { CrlRejected, type CrlRejection } from './errors.ts'
import { comparableName, displayName } from './name.ts'
import { looksLikePem, PemError, readPem } from './pem.ts'
import type { SerialTable } from './revoked-serials.ts'

/** A CRL whose signature, issuer and kind were found right. Plain: it crosses threads. */
export interface VerifiedCrl {
  readonly issuer: IssuerKey
  /** For people; with what the list is limited to. */
  readonly issuerName: string
  readonly scope: CrlScope
  /** Undefined: the CA signed it with the key of its certificates. */
  readonly signer: CrlSigner | undefined
  /** BaseCRLNumber of a delta; undefined: a complete list. */
  readonly baseNumber: bigint | undefined
  readonly thisUpdate: number
  readonly nextUpdate: number | undefined
  readonly crlNumber: bigint | undefined
  readonly digest: string
  readonly revoked: SerialTable
  /** What a delta takes off its base. */
  readonly removed: SerialTable
}

export interface CrlRefusal {
  readonly code: CrlRejection
  readonly message: string
  /** Milliseconds since 1970: the same bytes may be taken from then on. */
  readonly retryAt?: number
  /** The CA whose list it is, when that is proven. */
  readonly issuer?: IssuerKey
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
/** In one file; each costs the work of a signature, however short it is. */
export const MAX_LISTS = 10_000

/**
 * The DER of each CRL in a file, PEM or DER.
 *
 * @throws CrlRejected `crl_malformed` when anything in the file is incomplete; `crl_too_large` beyond
 *   `MAX_LISTS`
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
    if (blocks.length > MAX_LISTS) {
      const text = `${blocks.length} lists in one file, expected at most ${MAX_LISTS}`
      throw new CrlRejected('crl_too_large', text)
    }
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
  const blocks = splitCrlFile(bytes)
  const cas = authorities.map(readAuthority)
  const verified: VerifiedCrl[] = []
  const refused: CrlRefusal[] = []
  for (const der of blocks) {
    let refusal: Partial<CrlRefusal> = {}
    try {
      const crl = readCrl(der)
      if (crl.thisUpdate > options.now + CLOCK_SKEW_MS) {
        refusal = { retryAt: crl.thisUpdate - CLOCK_SKEW_MS }
      }
      const from = signerOf(crl, cas, displayName(crl.issuer))
      refusal = { ...refusal, issuer: from.issuer }
      verified.push(judge(crl, from, options))
    } catch (err) {
      // Damage: what was cut off or changed here may have been anything, a whole list included.
      if (!(err instanceof CrlRejected) || err.code === 'crl_malformed') throw err
      const { retryAt, issuer } = refusal
      refused.push({
        code: err.code,
        message: err.message,
        ...(err.code === 'crl_not_yet_valid' && retryAt !== undefined ? { retryAt } : {}),
        ...(issuer === undefined ? {} : { issuer }),
      })
    }
  }
  return { verified, refused }
}

function judge(crl: ParsedCrl, from: CrlIssuer, options: CrlReadingOptions): VerifiedCrl {
  const issuerName = displayName(crl.issuer)
  if (crl.unsupported !== undefined) throw unsupported(crl.unsupported, issuerName)
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
    issuer: from.issuer,
    issuerName: `${issuerName}${describeScope(crl.scope)}`,
    scope: crl.scope,
    signer: from.signer,
    baseNumber: crl.baseNumber,
    thisUpdate: crl.thisUpdate,
    nextUpdate: crl.nextUpdate,
    crlNumber: crl.crlNumber,
    digest: crl.digest,
    revoked: crl.revoked,
    removed: crl.removed,
  }
}

/** By signature; the name only narrows the search, for two CAs may share one. */
function signerOf(crl: ParsedCrl, cas: readonly Authority[], issuerName: string): CrlIssuer {
  const name = nameOf(crl)
  const unknown = new CrlRejected('crl_issuer_unknown', `no configured CA is named ${issuerName}`)
  let refusal = unknown
  for (const ca of cas) {
    if (ca.name !== name) continue
    try {
      verifyCrl(crl, ca.certificate, ca.fields)
      return issuerOf(ca, cas)
    } catch (err) {
      if (!(err instanceof CrlRejected)) throw err
      if (err.code === 'crl_malformed') throw err
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
