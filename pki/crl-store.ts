/**
 * The CRLs in force: the newest of each CA, found by the CA's key and not by its name, for two CAs
 * may share a name. Old news is refused, so a file put back cannot bring a revoked device back.
 */
import type { Clock } from '../core/clock.ts'
import type { IssuerKey, SerialNumber } from '../core/names.ts'
import { readCertificate } from './certificate.ts'
import { type CrlInForce, CrlOffers, inForceOf, type IssuerParts } from './crl-offers.ts'
import { readCrlsAside } from './crl-reader.ts'
import type { CrlRefusal } from './crl-reading.ts'
import { ALL_REASONS } from './crl-scope.ts'
import type { CrlSigner } from './crl-signer.ts'
import { type RevocationStatus, statusIn } from './issuer-lists.ts'

export type { CrlInForce } from './crl-offers.ts'
export type { RevocationStatus } from './issuer-lists.ts'

export interface OfferResult {
  /** Put in force now. */
  readonly taken: readonly CrlInForce[]
  /** Already in force: byte for byte, or a delta whose entries all are. */
  readonly unchanged: readonly CrlInForce[]
  readonly refused: readonly CrlRefusal[]
  /** What is in force of the complete lists that stood in the file. */
  readonly complete: readonly CrlInForce[]
}

export interface CrlStoreOptions {
  readonly clock: Clock
  /** DER of the CAs whose CRLs count. */
  readonly authorities: readonly Uint8Array[]
  /** Refuse CRLs without crlNumber. Default false: the lists of many CAs have none. */
  readonly requireNumber?: boolean
}

/** Signers of lists whose own issuer's lists are signed by others again. */
const MAX_SIGNERS = 4

export class CrlStore {
  readonly #clock: Clock
  #requireNumber: boolean
  readonly #listeners = new Set<(issuer: IssuerKey) => void>()
  #authorities: readonly Uint8Array[] = []
  #keys: ReadonlySet<IssuerKey> = new Set()
  readonly #lists = new Map<IssuerKey, IssuerParts>()
  #emptyUntilFirst = false
  /** Offers one after the other: each is compared with what the one before left in force. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: CrlStoreOptions) {
    this.#clock = options.clock
    this.replaceAuthorities(options.authorities)
    this.#requireNumber = options.requireNumber ?? false
  }

  /**
   * Memory only; O(1). Never throws.
   *
   * @param isCa the certificate is a CA's: a list may speak of these alone, or of all others
   */
  statusOf(issuer: IssuerKey, serial: SerialNumber, isCa = false): RevocationStatus {
    return this.#statusOf(issuer, serial, isCa, MAX_SIGNERS)
  }

  /** Every complete list in force. */
  get inForce(): readonly CrlInForce[] {
    return [...this.#lists.values()].flatMap((parts) =>
      [...parts.values()].flatMap((lists) => inForceOf(lists) ?? []),
    )
  }

  isStale(crl: CrlInForce): boolean {
    return crl.behind || (crl.nextUpdate !== undefined && crl.nextUpdate < this.#clock.now())
  }

  /** Do the lists in force speak of every certificate of this CA? */
  covers(issuer: IssuerKey): boolean {
    const bases = [...(this.#lists.get(issuer)?.values() ?? [])].flatMap(({ base }) => base ?? [])
    const kinds = ['users', 'cas'] as const
    return kinds.every(
      (kind) =>
        bases.reduce((all, { scope }) => (scope[kind] ? all | scope.reasons : all), 0) ===
        ALL_REASONS,
    )
  }

  /** Is this one of the CAs whose lists count? */
  isAuthority(issuer: IssuerKey): boolean {
    return this.#keys.has(issuer)
  }

  /** Until the first list is taken, every CA counts as having an empty one. */
  startEmpty(): void {
    this.#emptyUntilFirst = this.#lists.size === 0
  }

  /** Called with the CA each time another list of it comes into force. */
  onNews(listener: (issuer: IssuerKey) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Of lists from now on; those in force stay. */
  requireNumbers(required: boolean): void {
    this.#requireNumber = required
  }

  /** Lists of CAs that are no longer configured are let go; those of new ones must be offered. */
  replaceAuthorities(authorities: readonly Uint8Array[]): void {
    this.#authorities = authorities
    this.#keys = new Set(authorities.map((der) => readCertificate(der).key))
    for (const issuer of this.#lists.keys()) {
      if (!this.#keys.has(issuer)) this.#lists.delete(issuer)
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
    const offers = new CrlOffers(this.#lists, verified)
    await offers.judge()
    for (const [issuer, parts] of offers.changed) {
      // The CAs may have been replaced while a thread was reading.
      if (!this.#keys.has(issuer)) continue
      this.#lists.set(issuer, new Map([...(this.#lists.get(issuer) ?? []), ...parts]))
      this.#emptyUntilFirst = false
    }
    for (const issuer of offers.changed.keys()) {
      for (const listener of this.#listeners) listener(issuer)
    }
    return {
      taken: offers.seen(true),
      unchanged: offers.seen(false),
      refused: [...refused, ...offers.refused],
      complete: offers.complete,
    }
  }

  #statusOf(
    issuer: IssuerKey,
    serial: SerialNumber,
    isCa: boolean,
    signersLeft: number,
  ): RevocationStatus {
    const parts = this.#lists.get(issuer)
    if (parts === undefined) return this.#emptyUntilFirst ? 'good' : 'unknown'
    const now = this.#clock.now()
    const isGood = ({ parent, serialNumber, notBefore, notAfter }: CrlSigner): boolean =>
      signersLeft > 0 &&
      notBefore <= now &&
      now <= notAfter &&
      // Whether the parent's list is there and fresh is asked of the CA itself, which is below it too.
      this.#statusOf(parent, serialNumber, false, signersLeft - 1) !== 'revoked'
    return statusIn(parts.values(), { serial, isCa, now, isGood })
  }
}
