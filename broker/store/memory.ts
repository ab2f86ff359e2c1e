import type { LimitsConfig } from '../../config/types.ts'
import { OperationalError } from '../../core/errors.ts'
import { FairShare, type Tenant } from './fair-share.ts'
import type { Link } from './link.ts'
import { ownPayload, type Message, type QoS } from './message.ts'
import { PLAIN_DELIVERY, type DeliveryRules } from './delivery-rules.ts'
import { QueueBudget } from './queue-budget.ts'
import { RetainedMessages, type RetainedLimits } from './retained.ts'
import { Session, type SessionLimits } from './session.ts'
import { SubscriptionIndex } from './subscription-index.ts'

export type StoreLimits = SessionLimits &
  RetainedLimits &
  Pick<LimitsConfig, 'maxSessions' | 'maxQueuedBytesTotal'>

export interface StoreCounts {
  readonly sessions: number
  readonly subscriptions: number
  readonly sharedSubscriptions: number
  /** Waiting in queues, not in flight. */
  readonly queuedMessages: number
  /** Held for Sessions, queued or in flight. */
  readonly queuedBytes: number
  readonly retainedMessages: number
  readonly retainedBytes: number
}

/** What all subscriptions may take: a device with three filters of its own takes about 3 KB. */
const SUBSCRIPTIONS_BASE_BYTES = 1_048_576
const SUBSCRIPTION_BYTES_PER_SESSION = 4096

/** All MQTT state of one process. Every call is complete when it returns. */
export class MemoryStore {
  readonly retained: RetainedMessages
  readonly #limits: StoreLimits
  readonly #delivery: DeliveryRules
  readonly #budget: QueueBudget
  readonly #sessions = new Map<string, Session>()
  readonly #sessionShares: FairShare
  readonly #index: SubscriptionIndex<Session>
  readonly #wills = new Map<string, Message>()
  /** Kept Sessions found without a connection, and when that was first seen. */
  readonly #absentSince = new Map<Session, number>()

  constructor(limits: StoreLimits, delivery: DeliveryRules = PLAIN_DELIVERY) {
    this.#limits = limits
    this.#delivery = delivery
    this.#budget = new QueueBudget(limits)
    this.retained = new RetainedMessages(limits)
    this.#sessionShares = new FairShare(limits)
    this.#index = new SubscriptionIndex({
      get maxBytes() {
        return SUBSCRIPTIONS_BASE_BYTES + limits.maxSessions * SUBSCRIPTION_BYTES_PER_SESSION
      },
    })
  }

  /** By key, in the order they were opened. */
  get sessions(): ReadonlyMap<string, Session> {
    return this.#sessions
  }

  get wills(): ReadonlyMap<string, Message> {
    return this.#wills
  }

  /**
   * The Session of this key: the kept one, or a new one when there is none, or Clean Session is
   * asked for, or the old one was clean [MQTT-3.1.2-4, MQTT-3.1.2-6]. `present` is Session Present
   * of CONNACK, true also for a Session without subscriptions [MQTT-3.2.2-2].
   *
   * @throws OperationalError `TOO_MANY_SESSIONS`
   */
  open(
    key: string,
    options: {
      readonly clientId: string
      readonly clean: boolean
      readonly tenant?: Tenant
    },
  ): { readonly session: Session; readonly present: boolean } {
    const kept = this.#sessions.get(key)
    if (kept !== undefined) {
      if (!options.clean && !kept.clean) {
        this.#absentSince.delete(kept)
        return { session: kept, present: true }
      }
      this.#discard(kept)
    }
    const { maxSessions } = this.#limits
    if (this.#sessions.size >= maxSessions) {
      throw new OperationalError(
        'TOO_MANY_SESSIONS',
        `there are ${maxSessions} Sessions already, and no more may be kept`,
      )
    }
    const { tenant } = options
    // In the place of one it had already: nothing is taken from anybody.
    const isFair =
      kept !== undefined ||
      this.#sessionShares.mayTake(tenant, 1, maxSessions - this.#sessions.size - 1)
    if (!isFair) {
      throw new OperationalError(
        'TOO_MANY_SESSIONS',
        `${nameOf(tenant)} has ${this.#sessionShares.usedBy(tenant)} of ${maxSessions} Sessions, its share`,
      )
    }
    this.#sessionShares.take(tenant, 1)
    const [limits, budget, delivery] = [this.#limits, this.#budget, this.#delivery]
    const session = new Session({ ...options, key, limits, budget, delivery })
    this.#sessions.set(key, session)
    return { session, present: false }
  }

  /**
   * The connection of this Session has ended: a clean one goes with all it had, any other stays.
   *
   * @param link when given, nothing happens unless the Session still uses it
   */
  close(session: Session, link?: Link): void {
    session.detach(link)
    if (session.ended) this.#discard(session)
  }

  /** Removes a Session and its Will, connected or not. @returns whether there was one */
  drop(key: string): boolean {
    this.#wills.delete(key)
    const session = this.#sessions.get(key)
    if (session === undefined) return false
    this.#discard(session)
    return true
  }

  /**
   * Drops Sessions that were without a connection for longer than `maxAbsentMs`. To be called again
   * and again: an absence counts from the first call that finds it.
   *
   * @param now of a clock that never goes back
   * @returns how many were dropped
   */
  expire(now: number, maxAbsentMs: number): number {
    let dropped = 0
    for (const session of this.#sessions.values()) {
      if (session.connected || session.clean) {
        this.#absentSince.delete(session)
        continue
      }
      const since = this.#absentSince.get(session)
      if (since === undefined) this.#absentSince.set(session, now)
      else if (now - since > maxAbsentMs) {
        this.drop(session.key)
        dropped++
      }
    }
    return dropped
  }

  /**
   * Puts a granted subscription in force, or gives one another QoS [MQTT-3.8.4-3].
   *
   * @returns false when nothing new is in force: malformed filter, a bound, or the Session is over
   */
  subscribe(session: Session, filter: string, qos: QoS): boolean {
    if (this.#sessions.get(session.key) !== session) return false
    if (!session.addSubscription(filter, qos)) return false
    // Refuses only what is new to it, so an older subscription is never lost here.
    if (this.#index.add(filter, session, qos)) return true
    session.removeSubscription(filter)
    return false
  }

  /** Messages in flight or queued are still delivered. @returns whether there was one */
  unsubscribe(session: Session, filter: string): boolean {
    if (!session.removeSubscription(filter)) return false
    this.#index.remove(filter, session)
    return true
  }

  /** Who is owed a message of this topic, and the QoS granted; see `SubscriptionIndex.match`. */
  match(topic: string): ReadonlyMap<Session, QoS> {
    return this.#index.match(topic)
  }

  /** Each matching subscription by itself, shared ones left out. Not for the hot path. */
  subscriptionsTo(
    topic: string,
  ): Iterable<{ readonly filter: string; readonly subscriber: Session; readonly qos: QoS }> {
    return this.#index.entries(topic)
  }

  /**
   * Keeps the Will of the connection that has this Session.
   *
   * @throws OperationalError `TOO_MANY_SESSIONS` when as many Wills are kept as Sessions may be
   */
  putWill(key: string, will: Message): void {
    const { maxSessions } = this.#limits
    if (!this.#wills.has(key) && this.#wills.size >= maxSessions) {
      throw new OperationalError('TOO_MANY_SESSIONS', `there are ${maxSessions} Wills already`)
    }
    ownPayload(will)
    this.#wills.set(key, will)
  }

  deleteWill(key: string): Message | undefined {
    const will = this.#wills.get(key)
    this.#wills.delete(key)
    return will
  }

  /** Cheap: nothing is counted here that was not counted before. */
  counts(): StoreCounts {
    return {
      sessions: this.#sessions.size,
      subscriptions: this.#index.size,
      sharedSubscriptions: this.#index.shared,
      queuedMessages: this.#budget.queuedMessages,
      queuedBytes: this.#budget.usedBytes,
      retainedMessages: this.retained.size,
      retainedBytes: this.retained.bytes,
    }
  }

  #discard(session: Session): void {
    for (const filter of session.subscriptions.keys()) this.unsubscribe(session, filter)
    session.end()
    this.#absentSince.delete(session)
    // A newer Session may have the key by now.
    if (this.#sessions.get(session.key) !== session) return
    this.#sessions.delete(session.key)
    this.#sessionShares.take(session.tenant, -1)
  }
}

function nameOf(tenant: Tenant): string {
  return tenant === undefined ? 'whoever is of no tenant' : `tenant ${JSON.stringify(tenant)}`
}
