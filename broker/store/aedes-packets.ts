import { OperationalError } from '../../core/errors.ts'
import { copyOf, type AedesAcknowledgement, type AedesPacket } from './aedes-packet.ts'
import { MESSAGE_OVERHEAD_BYTES } from './message.ts'
import type { Session } from './session.ts'

interface Kept<P> {
  packet: P
  readonly bytes: number
}

/**
 * Packets that Aedes would keep for one Session: its own queue, and QoS 2 packets it has received.
 * They count at the bounds of the Session, which frees that at its end.
 */
export class AedesPackets {
  readonly #session: Session
  readonly #outgoing: Kept<AedesPacket | AedesAcknowledgement>[] = []
  readonly #incoming = new Map<number, Kept<AedesPacket>>()

  constructor(session: Session) {
    this.#session = session
  }

  get outgoing(): (AedesPacket | AedesAcknowledgement)[] {
    return this.#outgoing.map(({ packet }) => packet)
  }

  /** @throws OperationalError `QUEUE_FULL` */
  enqueue(packet: AedesPacket): void {
    this.#outgoing.push(this.#keep(copyOf(packet)))
  }

  /** Gives a queued packet its Packet Identifier, or puts PUBREL in the place of its PUBLISH. */
  update(packet: AedesAcknowledgement): boolean {
    for (const kept of this.#outgoing) {
      const { brokerId, brokerCounter, messageId } = kept.packet
      const isSameBroker = brokerId === packet.brokerId
      if (isSameBroker && brokerCounter === packet.brokerCounter) {
        kept.packet = { ...kept.packet, messageId: packet.messageId }
        return true
      }
      if (!isSameBroker && messageId === packet.messageId) {
        kept.packet = packet
        return true
      }
    }
    return false
  }

  clear(messageId: number): AedesPacket | AedesAcknowledgement | undefined {
    const at = this.#outgoing.findIndex(({ packet }) => packet.messageId === messageId)
    const [kept] = at === -1 ? [] : this.#outgoing.splice(at, 1)
    if (kept !== undefined) this.#session.release(kept.bytes)
    return kept?.packet
  }

  /** @throws OperationalError `QUEUE_FULL` or `TOO_MANY_INFLIGHT` */
  receive(messageId: number, packet: AedesPacket): void {
    this.forget(messageId)
    const kept = this.#keep({ ...copyOf(packet), messageId })
    if (this.#session.beginReceive(messageId) === 'too_many') {
      this.#session.release(kept.bytes)
      throw new OperationalError('TOO_MANY_INFLIGHT', 'too many QoS 2 messages await PUBREL')
    }
    this.#incoming.set(messageId, kept)
  }

  received(messageId: number): AedesPacket | undefined {
    return this.#incoming.get(messageId)?.packet
  }

  forget(messageId: number): void {
    const kept = this.#incoming.get(messageId)
    if (kept === undefined) return
    this.#incoming.delete(messageId)
    this.#session.release(kept.bytes)
    this.#session.endReceive(messageId)
  }

  forgetAll(): void {
    for (const messageId of this.#incoming.keys()) this.forget(messageId)
  }

  #keep<P extends AedesPacket>(packet: P): Kept<P> {
    const { topic, payload } = packet
    const bytes = Buffer.byteLength(topic) + Buffer.byteLength(payload) + MESSAGE_OVERHEAD_BYTES
    if (this.#session.reserve(bytes)) return { packet, bytes }
    throw new OperationalError('QUEUE_FULL', `no room for ${bytes} bytes more for this Session`)
  }
}
