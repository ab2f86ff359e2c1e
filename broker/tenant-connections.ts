import type { LimitsConfig } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { FairShare, type ShareLimits, type Tenant } from './store/index.ts'

/**
 * What each tenant has of the connections that may be open at once. A socket counts towards the bound
 * from accept on, towards a tenant's share once it is known whose it is.
 */
export class TenantConnections {
  readonly #limits: Pick<LimitsConfig, 'maxConnections'>
  readonly #open: { readonly size: number }
  readonly #shares: FairShare

  /** @param open all of them, the ones still unknown included */
  constructor(
    limits: Pick<LimitsConfig, 'maxConnections'> & ShareLimits,
    open: { readonly size: number },
  ) {
    this.#limits = limits
    this.#open = open
    this.#shares = new FairShare(limits)
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
