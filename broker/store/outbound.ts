/**
 * The way from the server to one client.
 *
 *   deliver → in flight (window) → acknowledged
 *           ↘ queue ↗
 *
 * Everything happens within the call. QoS 1 and 2 leave in the order of `deliver`: nothing is sent
 * past a message that waits, be it in the queue or to be sent again. QoS 0 keeps its own order and
 * does not wait behind the others: MQTT 3.1.1 §4.6 orders messages of the same Topic and QoS, and
 * Mosquitto sends the same way. While the socket is at its bound each acknowledgement lets one more
 * message out: the client sets the pace, and nothing can stall for want of a wake-up.
 */
import { PLAIN_DELIVERY, type DeliveryRules, type OutboundLimits } from './delivery-rules.ts'
import type { Tenant } from './fair-share.ts'
import { InflightWindow, MAX_PACKET_ID } from './inflight-window.ts'
import type { AcknowledgementOutcome, DeliveryOutcome, Link, MayReceive } from './link.ts'
import { ownPayload, releaseChunk, type Message, type QoS } from './message.ts'
import { OutgoingQueue, type Outgoing } from './outgoing-queue.ts'
import type { QueueBudget } from './queue-budget.ts'

const AT_ONCE = { qos: 0, dup: false, retain: false, packetId: 0 } as const
const AT_ONCE_RETAINED = { qos: 0, dup: false, retain: true, packetId: 0 } as const

const NEVER: MayReceive = () => false

/** Of a walk over retained messages, waiting in the queue: enough to keep a window full. */
const MAX_WALKED = 16
/** A walk leaves this part of the socket's bound to live messages, which are dropped beyond it. */
const WALK_BACKLOG_PART = 4

export class Outbound {
  readonly #limits: OutboundLimits
  readonly #budget: QueueBudget
  readonly #rules: DeliveryRules
  readonly #clean: boolean
  readonly #tenant: Tenant
  readonly #queue = new OutgoingQueue()
  readonly #window = new InflightWindow()
  #link: Link | undefined
  #mayReceive = NEVER
  /** In flight since an earlier connection and not yet sent again on this one. */
  #unsent: readonly (readonly [packetId: number, outgoing: Outgoing])[] = []
  #unsentAt = 0
  #reservedBytes = 0
  #walked = 0
  #isSending = false
  #owesOne = false

  constructor(
    limits: OutboundLimits,
    budget: QueueBudget,
    rules: DeliveryRules = PLAIN_DELIVERY,
    clean = false,
    tenant?: Tenant,
  ) {
    this.#limits = limits
    this.#budget = budget
    // Not copied, like `limits`: a reload changes their fields.
    this.#rules = rules
    this.#clean = clean
    this.#tenant = tenant
  }

  get link(): Link | undefined {
    return this.#link
  }

  mayReceive(topic: string): boolean {
    return this.#mayReceive(topic)
  }

  get inflight(): number {
    return this.#window.size
  }

  get queued(): number {
    return this.#queue.length
  }

  get queuedBytes(): number {
    return this.#queue.bytes
  }

  attach(link: Link, mayReceive: MayReceive): void {
    this.#link = link
    this.#mayReceive = mayReceive
    this.#unsent = [...this.#window.unacknowledged()]
    this.#unsentAt = 0
    for (const packetId of this.#window.released()) link.sendPubrel(packetId)
    this.#send()
  }

  detach(): void {
    this.#link = undefined
    this.#mayReceive = NEVER
    this.#unsent = []
    for (const { message } of this.#window.unacknowledged().values()) ownPayload(message)
  }

  /** Gives back everything that is held. */
  clear(): void {
    this.#link = undefined
    this.#mayReceive = NEVER
    this.#unsent = []
    this.#budget.countQueued(-this.#queue.length)
    this.#walked = 0
    for (const outgoing of this.#queue.takeAll()) this.#letGo(outgoing)
    for (const outgoing of this.#window.takeAll()) this.#letGo(outgoing)
    this.release(this.#reservedBytes)
  }

  deliver(message: Message, grantedQos: QoS, retain: boolean, walked = false): DeliveryOutcome {
    const link = this.#link
    if (link !== undefined && !this.#mayReceive(message.topic)) return 'refused'
    const isLower = message.qos < grantedQos && !this.#rules.upgradeOutgoingQos
    const qos = isLower ? message.qos : grantedQos
    if (qos === 0) {
      // Nobody comes back for a clean Session. Behind what waits from before, QoS 0 keeps its order.
      const isLater = link !== undefined && this.#queue.atOnce > 0
      const isKept = link === undefined && this.#rules.queueQos0 && !this.#clean
      if (isLater || isKept) return this.#enqueue({ message, qos, retain, walked })
      if (link === undefined) return 'dropped_absent'
      if (link.backlogBytes >= this.#limits.maxSocketBacklogBytes) return 'dropped_backlog'
      link.sendPublish(message, retain ? AT_ONCE_RETAINED : AT_ONCE)
      return 'sent'
    }
    if (link === undefined || !this.#canSendNow(link, message))
      return this.#enqueue({ message, qos, retain, walked })
    const held = this.#budget.hold(message, this.#tenant)
    // With the budget used up by absent clients, one message at a time still gets through.
    if (!held && this.#window.size > 0) return 'dropped_budget'
    releaseChunk(message)
    this.#publish(link, { message, qos, retain, held, walked })
    return 'sent'
  }

  /**
   * One message of a walk over retained ones, which waits where it is rather than being dropped.
   *
   * @returns `full`: not now; again after an acknowledgement, or when the socket has drained
   */
  offer(message: Message, grantedQos: QoS): DeliveryOutcome | 'full' {
    const link = this.#link
    if (link === undefined || this.#walked >= MAX_WALKED) return 'full'
    if (link.backlogBytes * WALK_BACKLOG_PART >= this.#limits.maxSocketBacklogBytes) return 'full'
    const outcome = this.deliver(message, grantedQos, true, true)
    if (outcome === 'sent' || outcome === 'refused') return outcome
    if (outcome !== 'queued') return 'full'
    this.#walked++
    return outcome
  }

  /** Sends what only the socket held back. */
  resume(): void {
    if (this.#queue.length > 0 || this.#unsent.length > 0) this.#sendAll()
  }

  puback(packetId: number): AcknowledgementOutcome {
    const outcome = this.#window.puback(packetId)
    return typeof outcome === 'string' ? outcome : this.#acknowledged(outcome)
  }

  pubrec(packetId: number): AcknowledgementOutcome {
    const outcome = this.#window.pubrec(packetId)
    if (outcome === 'unknown' || outcome === 'wrong_flow') return outcome
    this.#link?.sendPubrel(packetId)
    return this.#acknowledged(outcome === 'again' ? undefined : outcome)
  }

  pubcomp(packetId: number): AcknowledgementOutcome {
    const outcome = this.#window.pubcomp(packetId)
    return outcome === 'done' ? this.#acknowledged(undefined) : outcome
  }

  /** Memory that someone else keeps for this client, at the same bounds as the queue. */
  reserve(bytes: number): boolean {
    if (!this.#hasBytesFor(bytes) || !this.#budget.reserve(bytes, this.#tenant)) return false
    this.#reservedBytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#reservedBytes -= bytes
    this.#budget.release(bytes, this.#tenant)
  }

  #acknowledged(outgoing: Outgoing | undefined): 'done' {
    if (outgoing !== undefined) this.#letGo(outgoing)
    this.#send()
    return 'done'
  }

  #enqueue(outgoing: Omit<Outgoing, 'held'>): DeliveryOutcome {
    const { message, qos, retain, walked } = outgoing
    if (this.#queue.length >= this.#limits.maxQueuedMessages) return 'dropped_queue_messages'
    if (!this.#hasBytesFor(message.bytes)) return 'dropped_queue_bytes'
    if (!this.#budget.hold(message, this.#tenant)) return 'dropped_budget'
    ownPayload(message)
    this.#queue.push({ message, qos, retain, held: true, walked })
    this.#budget.countQueued(1)
    return 'queued'
  }

  /** Sends what may be sent now, and one message in any case if it was only the socket that held it. */
  #send(): void {
    this.#owesOne = true
    this.#sendAll()
  }

  #sendAll(): void {
    // A Link that answers within the call comes back here: the loop below goes on for it.
    if (this.#isSending) return
    this.#isSending = true
    try {
      while (this.#sendNext());
    } finally {
      this.#isSending = false
    }
  }

  /** @returns false when there is nothing to send, or no room for it */
  #sendNext(): boolean {
    const link = this.#link
    if (link === undefined || !(this.#owesOne || this.#hasBacklogRoom(link))) return false
    const again = this.#unsent[this.#unsentAt]
    if (again !== undefined) {
      this.#unsentAt++
      this.#publishAgain(link, ...again)
      return true
    }
    if (this.#unsent.length > 0) this.#unsent = []
    const next = this.#queue.first
    if (next === undefined || (next.qos > 0 && this.#isWindowFull(next.message))) return false
    const isAllowed = this.#mayReceive(next.message.topic)
    this.#queue.shift()
    if (next.walked) this.#walked--
    this.#budget.countQueued(-1)
    if (isAllowed) this.#publish(link, next)
    else this.#letGo(next)
    return true
  }

  #publish(link: Link, outgoing: Outgoing): void {
    const { message, qos, retain } = outgoing
    if (qos === 0) {
      this.#owesOne = false
      link.sendPublish(message, retain ? AT_ONCE_RETAINED : AT_ONCE)
      this.#letGo(outgoing)
      return
    }
    const packetId = this.#window.add(outgoing)
    this.#owesOne = false
    link.sendPublish(message, { qos, dup: false, retain, packetId })
  }

  #publishAgain(link: Link, packetId: number, outgoing: Outgoing): void {
    // It may have been acknowledged late, before its turn came.
    if (this.#window.unacknowledged().get(packetId) !== outgoing) return
    const { message, qos, retain } = outgoing
    if (!this.#mayReceive(message.topic)) {
      this.#window.remove(packetId)
      this.#letGo(outgoing)
      return
    }
    this.#owesOne = false
    link.sendPublish(message, { qos, dup: true, retain, packetId })
  }

  #letGo({ message, held }: Outgoing): void {
    if (held) this.#budget.letGo(message, this.#tenant)
  }

  #canSendNow(link: Link, message: Message): boolean {
    return (
      this.#queue.length === 0 &&
      this.#unsent.length === 0 &&
      !this.#isWindowFull(message) &&
      (this.#window.size === 0 || this.#hasBacklogRoom(link))
    )
  }

  #isWindowFull(next: Message): boolean {
    const { size, bytes } = this.#window
    if (size >= Math.min(this.#limits.maxInflightMessages, MAX_PACKET_ID)) return true
    const { maxInflightBytes } = this.#rules
    return maxInflightBytes > 0 && size > 0 && bytes + next.payload.length > maxInflightBytes
  }

  #hasBacklogRoom(link: Link): boolean {
    return link.backlogBytes < this.#limits.maxSocketBacklogBytes
  }

  #hasBytesFor(bytes: number): boolean {
    return this.#queue.bytes + this.#reservedBytes + bytes <= this.#limits.maxQueuedBytes
  }
}
