import type { LimitsConfig } from '../../config/types.ts'
import { FairShare, type ShareLimits, type Tenant } from './fair-share.ts'
import type { Message } from './message.ts'

/** Of one place in a queue besides the message itself. */
const PLACE_BYTES = 96

export type BudgetLimits = Pick<LimitsConfig, 'maxQueuedBytesTotal'> & ShareLimits

/** Who holds one message. Most messages stay within a tenant. */
interface Holders {
  readonly tenant: Tenant
  count: number
  others: Map<Tenant, number> | undefined
}

/**
 * The memory that all Sessions together may hold messages in. A message that many hold counts its
 * bytes once and a place for each, for that is what it takes; at a tenant it counts once, too.
 */
export class QueueBudget {
  readonly #limits: BudgetLimits
  readonly #shares: FairShare
  readonly #holders = new Map<Message, Holders>()
  #usedBytes = 0
  #queued = 0

  /** @param limits asked at each call: a reload may change them */
  constructor(limits: BudgetLimits) {
    this.#limits = limits
    this.#shares = new FairShare(limits)
  }

  /** Never grows beyond `maxQueuedBytesTotal`. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Messages that wait in queues; those in flight are not among them. */
  get queuedMessages(): number {
    return this.#queued
  }

  /** @returns false, and nothing is taken, when there is no room for one more holder */
  hold(message: Message, tenant?: Tenant): boolean {
    const holders = this.#holders.get(message)
    const ofTenant = holders === undefined ? 0 : countOf(holders, tenant)
    const bytes = PLACE_BYTES + (holders === undefined ? message.bytes : 0)
    const own = PLACE_BYTES + (ofTenant === 0 ? message.bytes : 0)
    if (!this.#take(bytes, own, tenant)) return false
    if (holders === undefined) this.#holders.set(message, { tenant, count: 1, others: undefined })
    else setCount(holders, tenant, ofTenant + 1)
    return true
  }

  /** Once for each `hold` that was granted. */
  letGo(message: Message, tenant?: Tenant): void {
    const holders = this.#holders.get(message)
    const ofTenant = holders === undefined ? 0 : countOf(holders, tenant)
    if (holders === undefined || ofTenant === 0) {
      throw new Error('a message was let go that nobody holds')
    }
    setCount(holders, tenant, ofTenant - 1)
    const isLast = holders.count === 0 && holders.others === undefined
    if (isLast) this.#holders.delete(message)
    this.#usedBytes -= PLACE_BYTES + (isLast ? message.bytes : 0)
    this.#shares.take(tenant, -(PLACE_BYTES + (ofTenant === 1 ? message.bytes : 0)))
  }

  reserve(bytes: number, tenant?: Tenant): boolean {
    return this.#take(bytes, bytes, tenant)
  }

  release(bytes: number, tenant?: Tenant): void {
    this.#usedBytes -= bytes
    this.#shares.take(tenant, -bytes)
  }

  countQueued(change: number): void {
    this.#queued += change
  }

  #take(bytes: number, own: number, tenant: Tenant): boolean {
    const free = this.#limits.maxQueuedBytesTotal - this.#usedBytes - bytes
    if (free < 0 || !this.#shares.mayTake(tenant, own, free)) return false
    this.#usedBytes += bytes
    this.#shares.take(tenant, own)
    return true
  }
}

function countOf(holders: Holders, tenant: Tenant): number {
  return tenant === holders.tenant ? holders.count : (holders.others?.get(tenant) ?? 0)
}

function setCount(holders: Holders, tenant: Tenant, count: number): void {
  if (tenant === holders.tenant) {
    holders.count = count
    return
  }
  holders.others ??= new Map()
  if (count > 0) holders.others.set(tenant, count)
  else holders.others.delete(tenant)
  if (holders.others.size === 0) holders.others = undefined
}
