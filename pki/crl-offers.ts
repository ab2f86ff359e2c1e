/** One file of verified CRLs against the lists in force: what is newer, the same, or old news. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { IssuerKey } from '../core/names.ts'
import type { CrlRefusal, VerifiedCrl } from './crl-reading.ts'
import {
  type CrlPart,
  type HeldCrl,
  hold,
  isContained,
  MAX_DELTAS,
  NO_LISTS,
  partOf,
} from './issuer-lists.ts'

/** One list in force, as logs, metrics and readiness show it. */
export interface CrlInForce {
  readonly issuer: IssuerKey
  /** For people; with what the list is limited to. */
  readonly issuerName: string
  /** Which of the CA's lists; empty: the one of everything. */
  readonly part: string
  readonly thisUpdate: number
  /** The earliest of the list's and its deltas'. */
  readonly nextUpdate: number | undefined
  readonly crlNumber: bigint | undefined
  /** Of the list and its deltas. */
  readonly entries: number
  /** A delta tells that there is a newer list than this one. */
  readonly behind: boolean
}

/** Undefined while only deltas have come: they are no list to rely on. */
export function inForceOf(lists: CrlPart): CrlInForce | undefined {
  const { base, deltas } = lists
  if (base === undefined) return undefined
  const { issuer, issuerName, crlNumber, scope } = base
  return {
    issuer,
    issuerName,
    part: scope.part,
    thisUpdate: base.thisUpdate,
    nextUpdate: lists.nextUpdate,
    crlNumber,
    entries: [base, ...deltas].reduce((sum, { revoked }) => sum + revoked.size, 0),
    behind: lists.isBehind,
  }
}

/** The lists of one CA, by what they are limited to. */
export type IssuerParts = ReadonlyMap<string, CrlPart>

/** Kinds of lists of one CA; a few are usual. */
const MAX_PARTS = 16
/** Lists judged in one turn of the event loop. */
const SLICE = 100

export class CrlOffers {
  readonly refused: CrlRefusal[] = []
  readonly #before: ReadonlyMap<IssuerKey, IssuerParts>
  readonly #verified: readonly VerifiedCrl[]
  readonly #digests: ReadonlySet<string>
  readonly #after = new Map<IssuerKey, Map<string, CrlPart>>()
  /** By CA and part; true: put in force now. */
  readonly #seen = new Map<string, { readonly crl: VerifiedCrl; readonly taken: boolean }>()

  constructor(before: ReadonlyMap<IssuerKey, IssuerParts>, verified: readonly VerifiedCrl[]) {
    this.#before = before
    this.#verified = verified
    this.#digests = new Set(verified.map(({ digest }) => digest))
  }

  /** Judges every list of the file. Takes its time in slices. */
  async judge(): Promise<void> {
    // Of several lists of one CA the newest counts, in whatever order they stand; deltas come last,
    // when it is known what they may begin at.
    const sorted = this.#verified.toSorted((a, b) => order(a, b) ?? 0)
    for (const [n, crl] of sorted.entries()) {
      if (n % SLICE === SLICE - 1) await nextTurn()
      if (crl.baseNumber === undefined) await this.#complete(crl)
    }
    for (const [n, crl] of sorted.entries()) {
      if (n % SLICE === SLICE - 1) await nextTurn()
      if (crl.baseNumber !== undefined) this.#delta(crl)
    }
  }

  /** What has changed, by CA. */
  get changed(): ReadonlyMap<IssuerKey, IssuerParts> {
    return this.#after
  }

  /** The lists of the file that are in force now, those put in force by it, or those that were. */
  seen(taken: boolean): CrlInForce[] {
    return [...this.#seen.values()]
      .filter((each) => each.taken === taken)
      .flatMap(({ crl }) => inForceOf(this.#listsOf(crl)) ?? [])
  }

  /** The complete lists that stand in the file, or newer ones of the same CA that are in force. */
  get complete(): CrlInForce[] {
    return this.#verified
      .filter(({ baseNumber }) => baseNumber === undefined)
      .flatMap((crl) => inForceOf(this.#listsOf(crl)) ?? [])
  }

  async #complete(crl: VerifiedCrl): Promise<void> {
    const lists = this.#listsOf(crl)
    const { base } = lists
    if (base?.digest === crl.digest) this.#note(crl, false)
    else if (base === undefined || (await replaces(crl, base))) {
      this.#put(crl, partOf(hold(crl), lists.deltas))
    } else if (!this.#digests.has(base.digest)) {
      this.refused.push({ code: 'crl_older', message: olderMessage(crl, base), issuer: crl.issuer })
    }
  }

  #delta(crl: VerifiedCrl): void {
    const lists = this.#listsOf(crl)
    const { base, deltas } = lists
    const held = deltas.some(({ digest }) => digest === crl.digest)
    if (held || (base !== undefined && isContained(crl, base))) {
      if (base !== undefined) this.#note(crl, false)
      return
    }
    const newer = deltas.find((delta) => (delta.crlNumber ?? 0n) > (crl.crlNumber ?? 0n))
    if (newer !== undefined && !this.#digests.has(newer.digest)) {
      const message = olderMessage(crl, newer)
      this.refused.push({ code: 'crl_older', message, issuer: crl.issuer })
    }
    if (newer !== undefined) return
    const next = partOf(base, [...deltas, hold(crl)])
    if (next.deltas.length > MAX_DELTAS) {
      const message = `CRL of ${crl.issuerName} is not supported: more than ${MAX_DELTAS} deltas that the complete list in force is too old for`
      this.refused.push({ code: 'crl_unsupported', message, issuer: crl.issuer })
      return
    }
    this.#put(crl, next)
    if (base === undefined) {
      const message = `CRL of ${crl.issuerName} is a delta, expected the complete list too: what was revoked before is not known`
      this.refused.push({ code: 'crl_unsupported', message, issuer: crl.issuer })
    }
  }

  #listsOf({ issuer, scope: { part } }: VerifiedCrl): CrlPart {
    return this.#after.get(issuer)?.get(part) ?? this.#before.get(issuer)?.get(part) ?? NO_LISTS
  }

  #put(crl: VerifiedCrl, lists: CrlPart): void {
    const { issuer, scope } = crl
    const parts = this.#after.get(issuer) ?? new Map<string, CrlPart>()
    const known = new Set([...(this.#before.get(issuer)?.keys() ?? []), ...parts.keys()])
    if (!known.has(scope.part) && known.size >= MAX_PARTS) {
      const message = `CRL of ${crl.issuerName} is not supported: more than ${MAX_PARTS} kinds of lists of one CA`
      this.refused.push({ code: 'crl_unsupported', message, issuer })
      return
    }
    this.#after.set(issuer, parts.set(scope.part, lists))
    this.#note(crl, true)
  }

  #note(crl: VerifiedCrl, taken: boolean): void {
    const key = `${crl.issuer}:${crl.scope.part}`
    this.#seen.set(key, { crl, taken: taken || this.#seen.get(key)?.taken === true })
  }
}

interface Position {
  readonly crlNumber: bigint | undefined
  readonly thisUpdate: number
}

/**
 * Negative: `a` is older. By crlNumber where both have one, else by thisUpdate: a list without
 * number may follow one with, when another tool takes the CA over. Undefined: they claim the same
 * place.
 */
function order(a: Position, b: Position): number | undefined {
  if (a.crlNumber !== undefined && b.crlNumber !== undefined && a.crlNumber !== b.crlNumber) {
    return a.crlNumber < b.crlNumber ? -1 : 1
  }
  return a.thisUpdate === b.thisUpdate ? undefined : a.thisUpdate - b.thisUpdate
}

/** Of two lists for the same second and number, the other one counts only if nothing is missing. */
async function replaces(crl: VerifiedCrl, held: HeldCrl): Promise<boolean> {
  const difference = order(crl, held)
  if (difference !== undefined) return difference > 0
  return await hold(crl).revoked.includes(held.revoked, () => nextTurn())
}

function olderMessage(crl: VerifiedCrl, held: HeldCrl): string {
  const describe = ({ crlNumber, thisUpdate }: Position): string =>
    `${crlNumber === undefined ? '' : `crlNumber ${crlNumber}, `}${new Date(thisUpdate).toISOString()}`
  const same = order(crl, held) === undefined
  return same
    ? `CRL of ${crl.issuerName} (${describe(crl)}) lacks entries of the one in force with the same number and time`
    : `CRL of ${crl.issuerName} (${describe(crl)}) is older than the one in force (${describe(held)})`
}
