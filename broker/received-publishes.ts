/**
 * PUBLISHes a client has sent: handed on, each with its place among the acknowledgements, and held
 * back where more wait for their COMMIT than may.
 */
import { OperationalError } from '../core/errors.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { HeldFrames } from './held-frames.ts'
import type { Origin } from './inbound.ts'
import { publishProblem } from './mqtt-rules.ts'
import type { NetworkConnection } from './network-connection.ts'
import { PacketType, parsePublish, type Frame, type PublishPacket } from './packets/index.ts'
import type { Session } from './store/index.ts'

export class ReceivedPublishes {
  readonly #parts: BrokerParts
  readonly #connection: NetworkConnection
  readonly #origin: Origin
  readonly #held: HeldFrames
  readonly #acknowledgements: Acknowledgements
  #waiting = 0
  #waitingBytes = 0
  #untilRoom = false

  constructor(parts: BrokerParts, connection: NetworkConnection, origin: Origin, held: HeldFrames) {
    this.#parts = parts
    this.#connection = connection
    this.#origin = origin
    this.#held = held
    const { maxWaitingPublishes } = parts.limits
    this.#acknowledgements = new Acknowledgements(
      (bytes, packets) => connection.outbox.write(bytes, packets),
      (before) => {
        if (before >= maxWaitingPublishes && !this.mustWait) connection.serve()
      },
    )
  }

  /** True while the next packet has to stay where it is. */
  get mustWait(): boolean {
    const { maxWaitingPublishes, maxWaitingBytes } = this.#parts.limits
    return (
      this.#untilRoom ||
      this.#waiting >= maxWaitingPublishes ||
      // What need not wait for storage waits for its place among the acknowledgements.
      (this.#waiting > 0 && this.#acknowledgements.size >= maxWaitingPublishes) ||
      this.#waitingBytes >= maxWaitingBytes
    )
  }

  /** Some wait for their COMMIT. */
  get isWaiting(): boolean {
    return this.#waiting > 0 || this.#untilRoom
  }

  take(session: Session, frame: Frame): void {
    const packet = parsePublish(frame, this.#connection.topics)
    const { inbound, limits, mqtt } = this.#parts
    const problem = publishProblem(packet, this.#connection.listener.config, mqtt)
    if (problem !== undefined) throw new OperationalError('PUBLISH_NOT_SUPPORTED', problem)
    if (packet.qos > 0 && !inbound.hasRoom) {
      this.#waitForRoom(frame)
      return
    }
    const { trace, traffic } = this.#parts.wire
    traffic.publishesReceived++
    traffic.publishBytesReceived += packet.payload.length
    if (trace.isOn) trace.publish(packet, this.#connection.log)
    if (packet.qos === 2) {
      const known = session.beginReceive(packet.packetId)
      if (known === 'too_many') {
        throw new OperationalError(
          'TOO_MANY_INFLIGHT',
          'more QoS 2 messages await PUBREL than one Session may have',
        )
      }
      if (known === 'duplicate') {
        this.#owe(packet, this.#parts.receiving.of(session, packet.packetId))
        return
      }
    }
    const outcome = inbound.accept(this.#origin, packet)
    if (outcome === 'refused' && trace.isOn) trace.denied(packet, this.#connection.log)
    if (outcome === 'refused' && this.#parts.deniedPublish === 'disconnect') {
      this.#connection.close('publish_denied', packet.topic)
      return
    }
    if (typeof outcome === 'string') {
      this.#owe(packet, undefined)
      return
    }
    if (packet.qos === 2) this.#parts.receiving.begin(session, packet.packetId, outcome)
    this.#owe(packet, outcome)
    if (this.#waiting === limits.maxWaitingPublishes) {
      this.#connection.log.debug({ event: 'connection.held' }, 'reading waits for COMMIT')
    }
  }

  /** Acknowledges once `stored` settles; a message that was not taken ends the connection instead. */
  #owe(packet: PublishPacket, stored: Promise<void> | undefined): void {
    const settle =
      packet.qos === 0
        ? undefined
        : this.#acknowledgements.owe(
            packet.qos === 1 ? PacketType.PUBACK : PacketType.PUBREC,
            packet.packetId,
          )
    if (stored === undefined) {
      settle?.()
      return
    }
    if (settle === undefined) {
      // QoS 0 is stored but gates nothing; a drop was counted where it happened.
      stored.catch(() => undefined)
      return
    }
    const bytes = packet.payload.length
    const held = this.mustWait
    this.#waiting++
    this.#waitingBytes += bytes
    stored.then(
      () => {
        const waited = held || this.mustWait
        this.#waiting--
        this.#waitingBytes -= bytes
        settle()
        if (waited && !this.mustWait) this.#connection.serve()
      },
      (err: unknown) => {
        this.#waiting--
        this.#waitingBytes -= bytes
        this.#connection.close('not_stored', err instanceof Error ? err.message : undefined)
      },
    )
  }

  #waitForRoom(frame: Frame): void {
    this.#held.unshift(frame)
    this.#untilRoom = true
    this.#parts.inbound.onRoom(() => {
      this.#untilRoom = false
      this.#connection.serve()
    })
  }
}
