import type { LimitsConfig } from '../../config/types.ts'

/** Percent of what one tenant alone may have; 100 or undefined: tenants do not count. */
export type ShareLimits = Pick<LimitsConfig, 'tenantSharePercent'>

/** A tenant, or undefined: whoever is of none, all of them together. */
export type Tenant = string | undefined

/** The tenant a Topic Name belongs to: the T of `tenant/{T}/…`. */
export function tenantOfTopic(topic: string): Tenant {
  if (!topic.startsWith('tenant/')) return undefined
  const end = topic.indexOf('/', 7)
  return end === -1 ? undefined : topic.slice(7, end)
}

/**
 * What each tenant has of something that all share. One may take so many times what it leaves free,
 * so the more of them want much, the less each gets, and there is always some left for one that has
 * little: alone a tenant gets its percentage, with 80 % two get 44 % each, three 31 %.
 */
export class FairShare {
  readonly #limits: ShareLimits
  readonly #used = new Map<Tenant, number>()

  /** @param limits asked at each call: a reload may change them */
  constructor(limits: ShareLimits) {
    this.#limits = limits
  }

  /** @param free what nobody would have after that */
  mayTake(tenant: Tenant, amount: number, free: number): boolean {
    return amount <= 0 || this.isFair(this.usedBy(tenant) + amount, free)
  }

  /** May one tenant have so much while so much is left to all others? */
  isFair(amount: number, free: number): boolean {
    const { tenantSharePercent: percent = 100 } = this.#limits
    return percent >= 100 || amount * (100 - percent) <= free * percent
  }

  usedBy(tenant: Tenant): number {
    return this.#used.get(tenant) ?? 0
  }

  /** Counts what was taken; negative: given back. */
  take(tenant: Tenant, amount: number): void {
    const used = this.usedBy(tenant) + amount
    if (used === 0) this.#used.delete(tenant)
    else this.#used.set(tenant, used)
  }
}
