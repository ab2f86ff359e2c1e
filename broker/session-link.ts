/** The way from a Session to its client's socket; asks for the right to each topic at each sending. */
import type { Metrics } from '../core/metrics.ts'
import { mayReceive } from './access/index.ts'
import type { Origin } from './inbound.ts'
import { PacketType, encodeAcknowledgement, encodePublish } from './packets/index.ts'
import type { Link, Message } from './store/index.ts'
import type { Traffic } from './traffic.ts'

interface Counted {
  readonly metrics: Pick<Metrics, 'publishSent'>
  readonly traffic: Pick<Traffic, 'publishesSent' | 'publishBytesSent'>
}

/** Topics whose right is remembered, until the access rules change. */
const REMEMBERED_TOPICS = 64

export class SessionLink implements Link {
  readonly #outbox: { readonly backlogBytes: number; write(bytes: Buffer): void }
  readonly #origin: Origin
  readonly #counted: Counted
  readonly #receivable = new Map<string, boolean>()
  #version = -1

  constructor(
    outbox: { readonly backlogBytes: number; write(bytes: Buffer): void },
    origin: Origin,
    counted: Counted,
  ) {
    this.#outbox = outbox
    this.#origin = origin
    this.#counted = counted
  }

  get backlogBytes(): number {
    return this.#outbox.backlogBytes
  }

  sendPublish(
    { topic: name, payload }: Message,
    options: Parameters<Link['sendPublish']>[1],
  ): void {
    const topic = this.#origin.mountPoint.topicOut(name)
    if (topic === undefined) return
    const { metrics, traffic } = this.#counted
    metrics.publishSent.inc()
    traffic.publishesSent++
    traffic.publishBytesSent += payload.length
    this.#outbox.write(encodePublish({ topic, payload, ...options }))
  }

  sendPubrel(packetId: number): void {
    this.#outbox.write(encodeAcknowledgement(PacketType.PUBREL, packetId))
  }

  mayReceive(topic: string): boolean {
    const { mountPoint, policy, subject } = this.#origin
    if (this.#version !== policy.version || this.#receivable.size >= REMEMBERED_TOPICS) {
      this.#receivable.clear()
      this.#version = policy.version
    }
    const known = this.#receivable.get(topic)
    if (known !== undefined) return known
    const hasName = mountPoint.topicOut(topic) !== undefined
    const allowed = hasName && mayReceive(subject, topic, policy.rules).allowed
    this.#receivable.set(topic, allowed)
    return allowed
  }
}
