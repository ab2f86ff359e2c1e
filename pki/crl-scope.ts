/** Which of its issuer's certificates a CRL speaks of: issuingDistributionPoint (RFC 5280 §5.2.5). */
import { createHash } from 'node:crypto'
import { DerError, readWhole, Tag } from './der.ts'
import { readBoolean, readNamedBits } from './der-values.ts'

export interface CrlScope {
  /** Certificates that are no CA's. */
  readonly users: boolean
  readonly cas: boolean
  /** Bits of ReasonFlags (RFC 5280 §4.2.1.13): a certificate may be revoked for others elsewhere. */
  readonly reasons: number
  /** Equal for lists that follow one another; empty for the list of everything. */
  readonly part: string
}

/** keyCompromise to aACompromise; bit 0 is unused. */
export const ALL_REASONS = 0b1_1111_1110

export const EVERYTHING: CrlScope = { users: true, cas: true, reasons: ALL_REASONS, part: '' }

export function isEverything({ part }: CrlScope): boolean {
  return part === ''
}

/** For people: what of everything the list is limited to. */
export function describeScope({ users, cas, reasons, part }: CrlScope): string {
  if (part === '') return ''
  const limits = [
    ...(cas ? [] : ['end entities only']),
    ...(users ? [] : ['CAs only']),
    ...(reasons === ALL_REASONS ? [] : [`reasons ${reasons.toString(16)} only`]),
  ]
  return ` (${limits.join(', ')})`
}

export type ReadScope =
  | { readonly scope: CrlScope }
  /** Correct, and more than is evaluated here. */
  | { readonly unsupported: string }

/**
 * The limits that need nothing but the list to be understood. A list that is one of several parts,
 * found by a name in the certificate, is not: here nobody knows whether all of them have come.
 *
 * @param value content of the extension
 * @throws DerError
 */
export function readScope(value: Uint8Array): ReadScope {
  const point = readWhole(value, Tag.sequence)
  const limits = new Set<string>()
  let reasons = ALL_REASONS
  while (!point.done) {
    const tag = point.peek() ?? 0
    const name = FIELDS.get(tag)
    if (name === undefined) throw new DerError(`issuingDistributionPoint with tag ${tag}`)
    if (tag === 0xa0) point.next(tag)
    else if (tag === 0x83) reasons = readNamedBits(point, tag) & ALL_REASONS
    else if (!readBoolean(point, tag)) continue
    limits.add(name)
  }
  // An indirect list without entries of others is the list of its issuer: the entries tell.
  const unsupported = ['distributionPoint', 'onlyContainsAttributeCerts']
  const users = !limits.has('onlyContainsCACerts')
  const cas = !limits.has('onlyContainsUserCerts')
  if (limits.size === 0 || !(users || cas) || unsupported.some((name) => limits.has(name))) {
    const found = limits.size === 0 ? 'an empty issuingDistributionPoint' : [...limits].join(', ')
    return { unsupported: `a partial CRL (${found}), expected a complete one of one CA` }
  }
  const part = createHash('sha256').update(value).digest('hex')
  return { scope: { users, cas, reasons, part } }
}

const FIELDS = new Map([
  [0xa0, 'distributionPoint'],
  [0x81, 'onlyContainsUserCerts'],
  [0x82, 'onlyContainsCACerts'],
  [0x83, 'onlySomeReasons'],
  [0x84, 'indirectCRL'],
  [0x85, 'onlyContainsAttributeCerts'],
])
