/**
 * The CRLs in force: the newest of each CA, found by the CA's key and not by its name, for two CAs
 * may share a name. Old news is refused, so a file put back cannot bring a revoked device back.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import type { IssuerKey, SerialNumber } from '../core/names.ts'
import { readCertificate } from './certificate.ts'
import { readCrlsAside } from './crl-reader.ts'
import type { CrlRefusal, VerifiedCrl } from './crl-reading.ts'
import { RevokedSerials } from './revoked-serials.ts'

/**
 * `revoked` is final, also on a stale list. `stale`: not on the list, but the list is past its
 * nextUpdate. `unknown`: no list of this CA was ever taken.
 */
export type RevocationStatus = 'good' | 'revoked' | 'stale' | 'unknown'

/** One list in force, as logs, metrics and readiness show it. */
export interface CrlInForce {
  readonly issuer: IssuerKey
  readonly issuerName: string
  readonly thisUpdate: number
  readonly nextUpdate: number | undefined
  readonly crlNumber: bigint | undefined
  readonly entries: number
}

export interface OfferResult {
  /** Put in force now. */
  readonly taken: readonly CrlInForce[]
  /** Already in force, byte for byte. */
  readonly unchanged: readonly CrlInForce[]
  readonly refused: readonly CrlRefusal[]
}

export interface CrlStoreOptions {
  readonly clock: Clock
  /** DER of the CAs whose CRLs count. */
  readonly authorities: readonly Uint8Array[]
  /** Refuse CRLs without crlNumber. Default false: the lists of many CAs have none. */
  readonly requireNumber?: boolean
}

interface Held extends CrlInForce {
  readonly digest: string
  readonly revoked: RevokedSerials
}

export class CrlStore {
  readonly #clock: Clock
  readonly #requireNumber: boolean
  readonly #listeners = new Set<(issuer: IssuerKey) => void>()
  #authorities: readonly Uint8Array[] = []
  #keys: ReadonlySet<IssuerKey> = new Set()
  readonly #newest = new Map<IssuerKey, Held>()
  #emptyUntilFirst = false
  /** Offers one after the other: each is compared with what the one before left in force. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: CrlStoreOptions) {
    this.#clock = options.clock
    this.replaceAuthorities(options.authorities)
    this.#requireNumber = options.requireNumber ?? false
  }

  /** Memory only; O(1). Never throws. */
  statusOf(issuer: IssuerKey, serial: SerialNumber): RevocationStatus {
    const crl = this.#newest.get(issuer)
    if (crl === undefined) return this.#emptyUntilFirst ? 'good' : 'unknown'
    if (crl.revoked.has(serial)) return 'revoked'
    return isStale(crl, this.#clock.now()) ? 'stale' : 'good'
  }

  /** Every list in force. */
  get inForce(): readonly CrlInForce[] {
    return [...this.#newest.values()]
  }

  isStale(crl: CrlInForce): boolean {
    return isStale(crl, this.#clock.now())
  }

  /** Until the first list is taken, every CA counts as having an empty one. */
  startEmpty(): void {
    this.#emptyUntilFirst = this.#newest.size === 0
  }

  /** Called with the CA each time another list of it comes into force. */
  onNews(listener: (issuer: IssuerKey) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Lists of CAs that are no longer configured are let go; those of new ones must be offered. */
  replaceAuthorities(authorities: readonly Uint8Array[]): void {
    this.#authorities = authorities
    this.#keys = new Set(authorities.map((der) => readCertificate(der).key))
    for (const issuer of this.#newest.keys()) {
      if (!this.#keys.has(issuer)) this.#newest.delete(issuer)
    }
  }

  /**
   * Takes what is newer. The bytes may be moved to a thread and must not be used afterwards.
   *
   * @throws CrlRejected when the file as a whole cannot be believed; nothing has changed then
   */
  offer(bytes: Uint8Array<ArrayBuffer>): Promise<OfferResult> {
    const offered = this.#last.then(() => this.#offer(bytes))
    this.#last = offered.catch(() => undefined)
    return offered
  }

  async #offer(bytes: Uint8Array<ArrayBuffer>): Promise<OfferResult> {
    const options = { now: this.#clock.now(), requireNumber: this.#requireNumber }
    const { verified, refused } = await readCrlsAside(bytes, this.#authorities, options)
    const refusals = [...refused]
    const taken = new Map<IssuerKey, Held>()
    const unchanged = new Map<IssuerKey, Held>()
    // Of several lists of one CA in one file the newest counts, in whatever order they stand.
    for (const crl of verified.toSorted((a, b) => order(a, b) ?? 0)) {
      const held = taken.get(crl.issuer) ?? this.#newest.get(crl.issuer)
      if (held?.digest === crl.digest) {
        unchanged.set(crl.issuer, held)
      } else if (held === undefined || (await replaces(crl, held))) {
        taken.set(crl.issuer, hold(crl))
      } else if (!verified.some(({ digest }) => digest === held.digest)) {
        refusals.push({ code: 'crl_older', message: olderMessage(crl, held) })
      }
    }
    for (const [issuer, crl] of taken) {
      // The CAs may have been replaced while a thread was reading.
      if (!this.#keys.has(issuer)) continue
      this.#newest.set(issuer, crl)
      this.#emptyUntilFirst = false
    }
    for (const issuer of taken.keys()) for (const listener of this.#listeners) listener(issuer)
    return { taken: [...taken.values()], unchanged: [...unchanged.values()], refused: refusals }
  }
}

function hold(crl: VerifiedCrl): Held {
  const revoked = new RevokedSerials(crl.revoked)
  return { ...crl, revoked, entries: revoked.size }
}

function isStale({ nextUpdate }: CrlInForce, now: number): boolean {
  return nextUpdate !== undefined && nextUpdate < now
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
async function replaces(crl: VerifiedCrl, held: Held): Promise<boolean> {
  const difference = order(crl, held)
  if (difference !== undefined) return difference > 0
  return new RevokedSerials(crl.revoked).includes(held.revoked, () => nextTurn())
}

function olderMessage(crl: VerifiedCrl, held: Held): string {
  const describe = ({ crlNumber, thisUpdate }: Position): string =>
    `${crlNumber === undefined ? '' : `crlNumber ${crlNumber}, `}${new Date(thisUpdate).toISOString()}`
  const same = order(crl, held) === undefined
  return same
    ? `CRL of ${crl.issuerName} (${describe(crl)}) lacks entries of the one in force with the same number and time`
    : `CRL of ${crl.issuerName} (${describe(crl)}) is older than the one in force (${describe(held)})`
}
