import type { LimitsConfig } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { FairShare, type ShareLimits, type Tenant } from './store/index.ts'

/**
 * What each tenant has of the connections that may be open at once. A socket counts towards the bound
 * from accept on, and towards a tenant's share with its CONNECT: it may take an older one's place.
 * Where the handshake tells whose it is, those that have not sent CONNECT have a share of their own.
 */
export class TenantConnections {
  readonly #limits: Pick<LimitsConfig, 'maxConnections'>
  readonly #open: { readonly size: number }
  readonly #shares: FairShare
  /** By tenant, whose sockets are known from the handshake on. */
  readonly #sockets = new Map<string, number>()

  /** @param open all of them, the ones still unknown included */
  constructor(
    limits: Pick<LimitsConfig, 'maxConnections'> & ShareLimits,
    open: { readonly size: number },
  ) {
    this.#limits = limits
    this.#open = open
    this.#shares = new FairShare(limits)
  }

  /**
   * A socket whose handshake has told its tenant, and that has not sent CONNECT.
   *
   * @returns false, and nothing is counted, when too many of the tenant's have not
   */
  arrive(tenant: string): boolean {
    const sockets = this.#sockets.get(tenant) ?? 0
    const silent = sockets - this.#shares.usedBy(tenant) + 1
    const free = this.#limits.maxConnections - this.#open.size - 1
    if (silent > 1 && !this.#shares.isFair(silent, free)) return false
    this.#sockets.set(tenant, sockets + 1)
    return true
  }

  /** Once for each `arrive` that answered true, when the socket is closed. */
  depart(tenant: string): void {
    const sockets = (this.#sockets.get(tenant) ?? 0) - 1
    if (sockets > 0) this.#sockets.set(tenant, sockets)
    else this.#sockets.delete(tenant)
  }

  /** @throws OperationalError `TOO_MANY_CONNECTIONS` */
  enter(tenant: Tenant): void {
    const { maxConnections } = this.#limits
    if (!this.#shares.mayTake(tenant, 1, maxConnections - this.#open.size)) {
      const who = tenant === undefined ? 'no tenant' : `tenant ${JSON.stringify(tenant)}`
      throw new OperationalError(
        'TOO_MANY_CONNECTIONS',
        `clients of ${who} have ${this.#shares.usedBy(tenant)} of ${maxConnections} connections, their share`,
      )
    }
    this.#shares.take(tenant, 1)
  }

  /** Once for each `enter` that did not throw. */
  leave(tenant: Tenant): void {
    this.#shares.take(tenant, -1)
  }
}
