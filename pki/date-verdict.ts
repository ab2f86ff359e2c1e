/**
 * OpenSSL names one problem of a chain, and the dates of the client's certificate are the last it
 * looks at: behind `CERT_HAS_EXPIRED` there may be another. Where dates are to be ignored, what
 * OpenSSL alone would have refused for is therefore looked at here.
 */
import type { X509Certificate } from 'node:crypto'
import { extensionsOf } from './certificate.ts'
import { DerError, readWhole, Tag } from './der.ts'
import { readSignatureAlgorithm, UnsupportedAlgorithm } from './signature-algorithm.ts'
import type { CaPath } from './trust.ts'

const OF_DATES: ReadonlySet<string> = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])

const NAME_CONSTRAINTS = '2.5.29.30'

/**
 * True when OpenSSL's verdict is about dates and nothing else can stand behind it. To be asked of a
 * certificate whose signatures, uses, path lengths, CA dates and revocation were found good.
 */
export function onlyDatesAreWrong(
  verification: string,
  peer: X509Certificate,
  path: CaPath,
): boolean {
  if (!OF_DATES.has(verification)) return false
  const cas = path.map(({ certificate }) => certificate)
  try {
    // The signature of the last one, a root as a rule, proves nothing and is not looked at.
    const signed = [peer, ...cas.slice(0, -1)]
    return !cas.some(constrainsNames) && signed.every(isSignedWell)
  } catch {
    return false
  }
}

/** Throws when it is not: too weak, or unknown. */
function isSignedWell({ raw }: X509Certificate): boolean {
  const certificate = readWhole(raw, Tag.sequence)
  certificate.next(Tag.sequence)
  try {
    readSignatureAlgorithm(certificate.encodingOf(certificate.next(Tag.sequence)))
    return true
  } catch (err) {
    if (err instanceof UnsupportedAlgorithm || err instanceof DerError) return false
    throw err
  }
}

function constrainsNames({ raw }: X509Certificate): boolean {
  const tbs = readWhole(raw, Tag.sequence).enter(Tag.sequence)
  tbs.optional(0xa0)
  tbs.next(Tag.integer)
  for (let n = 0; n < 5; n++) tbs.next(Tag.sequence)
  tbs.optional(0x81)
  tbs.optional(0x82)
  const wrapped = tbs.optional(0xa3)
  if (wrapped === undefined) return false
  return [...extensionsOf(tbs.inside(wrapped))].some(({ id }) => id === NAME_CONSTRAINTS)
}
