import type { LimitsConfig } from '../../config/types.ts'
import type { Tenant } from './fair-share.ts'
import type { AcknowledgementOutcome, DeliveryOutcome, Link, MayReceive } from './link.ts'
import type { Message, QoS } from './message.ts'
import type { DeliveryRules, OutboundLimits } from './delivery-rules.ts'
import { Outbound } from './outbound.ts'
import type { QueueBudget } from './queue-budget.ts'
import { RetainedWalks, type RetainedSource } from './retained-walks.ts'
import { levelsOf, NODE_BYTES } from './topic-trie.ts'

export type SessionLimits = OutboundLimits & Pick<LimitsConfig, 'maxSubscriptionsPerSession'>

/**
 * QoS 2 messages of one client that may await its PUBREL, as in Aedes. MQTT 3.1.1 cannot announce a
 * window; clients keep 20 to 100 open, and 1000 Packet Identifiers cost 40 KB.
 */
export const MAX_RECEIVING = 1000

/** What the filters of one Session may take: one of any size always fits, then 2 KiB on average. */
const SUBSCRIPTIONS_BASE_BYTES = 131_072
const SUBSCRIPTION_MEAN_BYTES = 2048

/** What the server keeps for one client (MQTT 3.1.1 §3.1.2.4), and the way out to it. */
export class Session {
  /** Unique among Sessions; what stands in it is the caller's affair. */
  readonly key: string
  readonly clientId: string
  /** The Session ends with its connection [MQTT-3.1.2-6]. */
  readonly clean: boolean
  /** Whose share it counts in. */
  readonly tenant: Tenant

  readonly #limits: SessionLimits
  readonly #outbound: Outbound
  readonly #subscriptions = new Map<string, QoS>()
  #subscriptionBytes = 0
  #receiving: Set<number> | undefined
  #walks: RetainedWalks | undefined
  #ended = false

  constructor(options: {
    readonly key: string
    readonly clientId: string
    readonly clean: boolean
    readonly tenant?: Tenant
    readonly limits: SessionLimits
    readonly budget: QueueBudget
    readonly delivery?: DeliveryRules
  }) {
    this.key = options.key
    this.clientId = options.clientId
    this.clean = options.clean
    this.#limits = options.limits
    const { limits, budget, clean, delivery, tenant } = options
    this.tenant = tenant
    this.#outbound = new Outbound(limits, budget, delivery, clean, tenant)
  }

  get connected(): boolean {
    return this.#outbound.link !== undefined
  }

  /** Of the client that is connected now; false without one. */
  mayReceive(topic: string): boolean {
    return this.#outbound.mayReceive(topic)
  }

  /** Nothing is sent, queued or counted any more. */
  get ended(): boolean {
    return this.#ended
  }

  /** Topic Filter, as it stood in SUBSCRIBE, to the granted QoS. Changed by the store alone. */
  get subscriptions(): ReadonlyMap<string, QoS> {
    return this.#subscriptions
  }

  /** Messages sent and not yet fully acknowledged. */
  get inflight(): number {
    return this.#outbound.inflight
  }

  /** Messages that wait for the window or for the client. */
  get queued(): number {
    return this.#outbound.queued
  }

  get queuedBytes(): number {
    return this.#outbound.queuedBytes
  }

  /** Nothing would be lost with it. */
  get isEmpty(): boolean {
    return (
      this.#subscriptions.size === 0 &&
      this.queued === 0 &&
      this.inflight === 0 &&
      (this.#receiving?.size ?? 0) === 0 &&
      this.#walks === undefined
    )
  }

  /**
   * From now on messages go through this Link, in place of any other. First PUBREL for what had its
   * PUBREC, then PUBLISH with DUP for what is unacknowledged, with the same Packet Identifiers and in
   * the original order [MQTT-4.4.0-1, MQTT-4.6.0-1], then the queue, as window and socket allow.
   *
   * @param mayReceive asked at the moment of each sending, also of queued messages and of those sent
   * again: rights may have changed; must not throw
   * @returns false when the Session is over: the caller closes the connection
   */
  attach(link: Link, mayReceive: MayReceive): boolean {
    if (this.#ended) return false
    this.#outbound.attach(link, mayReceive)
    return true
  }

  /**
   * The connection is gone; a clean Session is over with it.
   *
   * @param link when given, nothing happens unless it is still the one in use
   */
  detach(link?: Link): void {
    if (link !== undefined && link !== this.#outbound.link) return
    this.#outbound.detach()
    if (this.clean) this.end()
  }

  /** Over for good. The store, which calls this, has taken the subscriptions out of its index. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#outbound.clear()
    this.#receiving = undefined
    this.#walks = undefined
  }

  /**
   * Sends or queues one message, with the lower of its QoS and the granted one [MQTT-3.8.4-6]. At a
   * bound this message is dropped, never an older one. Hot path.
   *
   * @param options `retained`: owed to a new subscription, so sent with RETAIN [MQTT-3.3.1-8]
   */
  deliver(
    message: Message,
    grantedQos: QoS,
    options: { readonly retained: boolean },
  ): DeliveryOutcome {
    if (this.#ended) return 'dropped_absent'
    const { retained } = options
    if (this.#walks === undefined || retained)
      return this.#outbound.deliver(message, grantedQos, retained)
    if (this.connected && !this.mayReceive(message.topic)) return 'refused'
    this.#walks.precede(message, (older, qos) => this.#outbound.deliver(older, qos, true))
    const outcome = this.#outbound.deliver(message, grantedQos, false)
    this.#walks.delivered(message, outcome)
    return outcome
  }

  /**
   * Owes a subscription what is retained for its filter, from the start if it was owed before. A
   * Session that is kept goes on owing it while its client is away.
   */
  oweRetained(filter: string, grantedQos: QoS, source: RetainedSource): void {
    if (this.#ended) return
    this.#walks ??= new RetainedWalks(source)
    this.#walks.add(filter, grantedQos)
  }

  /**
   * Sends the next of what is owed, or looks for it a little further.
   *
   * @returns false when nothing more can be done: all was sent, or the client has first to
   * acknowledge or its socket to drain
   */
  walkRetained(): boolean {
    const goesOn = this.#walks?.step((message, qos) => this.#outbound.offer(message, qos)) ?? false
    if (this.#walks?.isEmpty === true) this.#walks = undefined
    return goesOn
  }

  /** Retained messages are owed still. */
  get owesRetained(): boolean {
    return this.#walks !== undefined
  }

  /** The socket has taken something: what waited for it alone may go on. */
  drained(): void {
    this.#outbound.resume()
  }

  /** Ends a QoS 1 delivery and sends what the window now allows. */
  puback(packetId: number): AcknowledgementOutcome {
    return this.#outbound.puback(packetId)
  }

  /** Answers with PUBREL, again when PUBREC comes again (MQTT 3.1.1 §4.3.3). */
  pubrec(packetId: number): AcknowledgementOutcome {
    return this.#outbound.pubrec(packetId)
  }

  /** Ends a QoS 2 delivery and sends what the window now allows. */
  pubcomp(packetId: number): AcknowledgementOutcome {
    return this.#outbound.pubcomp(packetId)
  }

  /** A QoS 2 PUBLISH came in; its identifier is remembered until PUBREL [MQTT-4.3.3-2]. */
  beginReceive(packetId: number): 'new' | 'duplicate' | 'too_many' {
    const receiving = (this.#receiving ??= new Set())
    if (receiving.has(packetId)) return 'duplicate'
    if (receiving.size >= MAX_RECEIVING) return 'too_many'
    receiving.add(packetId)
    return 'new'
  }

  /** PUBREL came, or the message was not taken after all. @returns whether it was known */
  endReceive(packetId: number): boolean {
    return this.#receiving?.delete(packetId) ?? false
  }

  /**
   * Counts memory that someone else keeps for this Session at the bounds of its queue, until
   * `release` or the end of the Session.
   *
   * @returns false at a bound
   */
  reserve(bytes: number): boolean {
    return !this.#ended && this.#outbound.reserve(bytes)
  }

  release(bytes: number): void {
    if (!this.#ended) this.#outbound.release(bytes)
  }

  /** For the store, which keeps its index in step. @returns false at a bound */
  addSubscription(filter: string, qos: QoS): boolean {
    if (!this.#subscriptions.has(filter)) {
      const { maxSubscriptionsPerSession: max } = this.#limits
      const bytes = this.#subscriptionBytes + bytesOf(filter)
      if (this.#subscriptions.size >= max) return false
      if (bytes > SUBSCRIPTIONS_BASE_BYTES + max * SUBSCRIPTION_MEAN_BYTES) return false
      this.#subscriptionBytes = bytes
    }
    this.#subscriptions.set(filter, qos)
    return true
  }

  /** For the store. @returns whether there was one */
  removeSubscription(filter: string): boolean {
    if (!this.#subscriptions.delete(filter)) return false
    this.#walks?.remove(filter)
    if (this.#walks?.isEmpty === true) this.#walks = undefined
    this.#subscriptionBytes -= bytesOf(filter)
    return true
  }
}

/** As if no other Session had a filter like it. */
function bytesOf(filter: string): number {
  return filter.length + levelsOf(filter).length * NODE_BYTES
}
