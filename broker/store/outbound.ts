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
import type { LimitsConfig, MqttConfig } from '../../config/types.ts'
import { InflightWindow, MAX_PACKET_ID } from './inflight-window.ts'
import type { AcknowledgementOutcome, DeliveryOutcome, Link, MayReceive } from './link.ts'
import { ownPayload, releaseChunk, type Message, type QoS } from './message.ts'
import { OutgoingQueue, type Outgoing } from './outgoing-queue.ts'
import type { QueueBudget } from './queue-budget.ts'

/** Taken literally: what 0 means in mosquitto.conf has been settled where that was read. */
export type OutboundLimits = Pick<
  LimitsConfig,
  'maxInflightMessages' | 'maxQueuedMessages' | 'maxQueuedBytes' | 'maxSocketBacklogBytes'
>

/** What mosquitto.conf may want otherwise. */
export type DeliveryRules = Pick<
  MqttConfig,
  'maxInflightBytes' | 'queueQos0' | 'upgradeOutgoingQos'
>

export const PLAIN_DELIVERY: DeliveryRules = {
  maxInflightBytes: 0,
  queueQos0: false,
  upgradeOutgoingQos: false,
}

const AT_ONCE = { qos: 0, dup: false, retain: false, packetId: 0 } as const
const AT_ONCE_RETAINED = { qos: 0, dup: false, retain: true, packetId: 0 } as const

const NEVER: MayReceive = () => false

export class Outbound {
  readonly #limits: OutboundLimits
  readonly #budget: QueueBudget
  readonly #rules: DeliveryRules
  readonly #queuesQos0: boolean
  readonly #queue = new OutgoingQueue()
  readonly #window = new InflightWindow()
  #link: Link | undefined
  #mayReceive = NEVER
  /** In flight since an earlier connection and not yet sent again on this one. */
  #unsent: readonly (readonly [packetId: number, outgoing: Outgoing])[] = []
  #unsentAt = 0
  #reservedBytes = 0
  #isSending = false
  #owesOne = false

  constructor(
    limits: OutboundLimits,
    budget: QueueBudget,
    rules: Partial<DeliveryRules> & { readonly clean?: boolean } = {},
  ) {
    this.#limits = limits
    this.#budget = budget
    this.#rules = { ...PLAIN_DELIVERY, ...rules }
    // Nobody comes back for a clean Session.
    this.#queuesQos0 = this.#rules.queueQos0 && rules.clean !== true
  }

  get link(): Link | undefined {
    return this.#link
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
    for (const outgoing of this.#queue.takeAll()) this.#letGo(outgoing)
    for (const outgoing of this.#window.takeAll()) this.#letGo(outgoing)
    this.release(this.#reservedBytes)
  }

  deliver(message: Message, grantedQos: QoS, retain: boolean): DeliveryOutcome {
    const link = this.#link
    if (link !== undefined && !this.#mayReceive(message.topic)) return 'refused'
    const isLower = message.qos < grantedQos && !this.#rules.upgradeOutgoingQos
    const qos = isLower ? message.qos : grantedQos
    if (qos === 0) {
      // Behind what waits from before, so that QoS 0 keeps its order too.
      const mustQueue = link === undefined || this.#queue.atOnce > 0
      if (mustQueue && this.#queuesQos0) return this.#enqueue(message, qos, retain)
      if (link === undefined) return 'dropped_absent'
      if (link.backlogBytes >= this.#limits.maxSocketBacklogBytes) return 'dropped_backlog'
      link.sendPublish(message, retain ? AT_ONCE_RETAINED : AT_ONCE)
      return 'sent'
    }
    if (link === undefined || !this.#canSendNow(link, message))
      return this.#enqueue(message, qos, retain)
    const held = this.#budget.hold(message)
    // With the budget used up by absent clients, one message at a time still gets through.
    if (!held && this.#window.size > 0) return 'dropped_budget'
    releaseChunk(message)
    this.#publish(link, { message, qos, retain, held })
    return 'sent'
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
    if (!this.#hasBytesFor(bytes) || !this.#budget.reserve(bytes)) return false
    this.#reservedBytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#reservedBytes -= bytes
    this.#budget.release(bytes)
  }

  #acknowledged(outgoing: Outgoing | undefined): 'done' {
    if (outgoing !== undefined) this.#letGo(outgoing)
    this.#send()
    return 'done'
  }

  #enqueue(message: Message, qos: QoS, retain: boolean): DeliveryOutcome {
    if (this.#queue.length >= this.#limits.maxQueuedMessages) return 'dropped_queue_messages'
    if (!this.#hasBytesFor(message.bytes)) return 'dropped_queue_bytes'
    if (!this.#budget.hold(message)) return 'dropped_budget'
    ownPayload(message)
    this.#queue.push({ message, qos, retain, held: true })
    this.#budget.countQueued(1)
    return 'queued'
  }

  /** Sends what may be sent now, and one message in any case if it was only the socket that held it. */
  #send(): void {
    this.#owesOne = true
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
    if (held) this.#budget.letGo(message)
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
