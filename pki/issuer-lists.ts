/**
 * The lists in force of one CA: as a rule one complete list. A CA may also write one for end
 * entities and one for CAs, or one for each group of reasons; and to each of these a delta, which
 * names what was revoked since (RFC 5280 §5.2.4).
 *
 * What any of its lists revokes is revoked. That a certificate is good is believed only of lists
 * that together speak of every reason, and that are as new as the CA has shown.
 */
import type { SerialNumber } from '../core/names.ts'
import type { VerifiedCrl } from './crl-reading.ts'
import { ALL_REASONS } from './crl-scope.ts'
import type { CrlSigner } from './crl-signer.ts'
import { RevokedSerials } from './revoked-serials.ts'

/**
 * `revoked` is final, also on a stale list. `stale`: not on the list, but the list is past its
 * nextUpdate, or a delta tells that there is a newer one. `unknown`: no list of this CA that speaks
 * of the certificate was ever taken.
 */
export type RevocationStatus = 'good' | 'revoked' | 'stale' | 'unknown'

/** One list, ready to be asked. */
export interface HeldCrl extends Omit<VerifiedCrl, 'revoked' | 'removed'> {
  readonly revoked: RevokedSerials
  readonly removed: RevokedSerials
}

export function hold(crl: VerifiedCrl): HeldCrl {
  const revoked = new RevokedSerials(crl.revoked)
  return { ...crl, revoked, removed: new RevokedSerials(crl.removed) }
}

/** What follows one another: a complete list, and the deltas to it. Plain; never changed. */
export interface CrlPart {
  /** Undefined: only deltas have come, and they say nothing of what was revoked before. */
  readonly base: HeldCrl | undefined
  /** Oldest first; of those that fit the base only the newest. */
  readonly deltas: readonly HeldCrl[]
  /** The delta that may take something off the base: it begins there or before. */
  readonly applied: HeldCrl | undefined
  /** A delta proves that a newer complete list exists than the one held. */
  readonly isBehind: boolean
  /** The earliest of all. Undefined: none names one. */
  readonly nextUpdate: number | undefined
  /** Certificates that signed any of these, where the CA did not itself. */
  readonly signers: readonly CrlSigner[]
}

export const NO_LISTS: CrlPart = partOf(undefined, [])

/** Deltas that fit no base, beside one that does. */
export const MAX_DELTAS = 8

/**
 * Lets go of deltas whose entries are all in the base, or in a newer delta that fits it.
 *
 * @param deltas oldest first
 */
export function partOf(base: HeldCrl | undefined, deltas: readonly HeldCrl[]): CrlPart {
  const needed = deltas.filter((delta) => base === undefined || !isContained(delta, base))
  const applied = needed.findLast((delta) => fits(delta, base))
  const held = applied === undefined ? needed : needed.slice(needed.indexOf(applied))
  const all = base === undefined ? held : [base, ...held]
  const ends = all.flatMap(({ nextUpdate }) => nextUpdate ?? [])
  return {
    base,
    deltas: held,
    applied,
    isBehind: base !== undefined && held.some((delta) => !fits(delta, base)),
    nextUpdate: ends.length === 0 ? undefined : Math.min(...ends),
    signers: all.flatMap(({ signer }) => signer ?? []),
  }
}

/** Does the delta begin at this base or before it? Unknown is no. */
function fits({ baseNumber }: HeldCrl, base: HeldCrl | undefined): boolean {
  const number = base?.crlNumber
  return number !== undefined && baseNumber !== undefined && baseNumber <= number
}

/** Is all that the delta says in the complete list already? */
export function isContained(
  delta: Pick<HeldCrl, 'crlNumber' | 'thisUpdate'>,
  base: HeldCrl,
): boolean {
  return base.crlNumber !== undefined && delta.crlNumber !== undefined
    ? delta.crlNumber <= base.crlNumber
    : delta.thisUpdate <= base.thisUpdate
}

function isRevoked({ base, deltas, applied }: CrlPart, serial: SerialNumber): boolean {
  for (const { revoked } of deltas) if (revoked.has(serial)) return true
  if (base?.revoked.has(serial) !== true) return false
  return applied?.removed.has(serial) !== true
}

export interface Question {
  readonly serial: SerialNumber
  /** A CA's certificate. */
  readonly isCa: boolean
  /** Milliseconds since 1970. */
  readonly now: number
  /** Is the certificate that signed a list itself good? */
  isGood(signer: CrlSigner): boolean
}

/** Memory only; one look-up for each list of the CA. */
export function statusIn(parts: Iterable<CrlPart>, question: Question): RevocationStatus {
  const { serial, isCa, now } = question
  let known = 0
  let fresh = 0
  for (const part of parts) {
    if (isRevoked(part, serial)) return 'revoked'
    const { base } = part
    if (base === undefined || !(isCa ? base.scope.cas : base.scope.users)) continue
    if (!part.signers.every((signer) => question.isGood(signer))) continue
    known |= base.scope.reasons
    const { nextUpdate, isBehind } = part
    if (!isBehind && (nextUpdate === undefined || nextUpdate >= now)) fresh |= base.scope.reasons
  }
  if (fresh === ALL_REASONS) return 'good'
  return known === ALL_REASONS ? 'stale' : 'unknown'
}
