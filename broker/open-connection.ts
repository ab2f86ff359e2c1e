/** A connection whose client has proved who it is: serves its packets. */
import type { ListenerConfig } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { maySubscribe, type Subject } from './access/index.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { AccessPolicy } from './access-policy.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { CloseReason } from './close-reason.ts'
import type { EngineClient } from './engine/engine.ts'
import { HeldFrames } from './held-frames.ts'
import { keyOf } from './identity/index.ts'
import { createOrigin, type Origin } from './inbound.ts'
import { publishProblem } from './mqtt-rules.ts'
import {
  PacketType,
  checkBodyless,
  encodeAcknowledgement,
  parseAcknowledgement,
  parsePublish,
  type TopicMemo,
  type ConnectPacket,
  type Frame,
  type PublishPacket,
} from './packets/index.ts'
import { SessionLink } from './session-link.ts'
import type { Session } from './store/index.ts'
import { subscribing, unsubscribing, type Subscriber } from './subscribing.ts'

/** The connection's own side: its socket, its state, its log. */
export interface NetworkConnection {
  readonly listener: { readonly config: ListenerConfig; readonly policy: AccessPolicy }
  readonly outbox: { readonly backlogBytes: number; write(bytes: Buffer): void }
  readonly topics: TopicMemo
  readonly log: Log
  readonly isOpening: boolean
  /** CONNACK is out. */
  opened(): void
  /** What could not be served before may be now. */
  serve(): void
  close(reason: CloseReason, detail?: string): void
  /** No Session can be had: CONNACK 3, and the end. */
  unavailable(err: unknown): void
}

/** PUBLISHes of one read of the socket whose payload is copied out of it. */
const COPIED_OF_CHUNK = 32
/** A payload may keep this much more than four times itself. */
const SLACK_BYTES = 1024

export class OpenConnection {
  readonly subject: Subject
  readonly origin: Origin
  /** Of its Session: nobody else's identity can have the same. */
  readonly key: string

  readonly #parts: BrokerParts
  readonly #connection: NetworkConnection
  readonly #connect: ConnectPacket
  readonly #acknowledgements: Acknowledgements
  readonly #link: SessionLink
  #engine: EngineClient | undefined
  #session: Session | undefined

  readonly #held = new HeldFrames()
  #waiting = 0
  #waitingBytes = 0
  #copiedOfChunk = 0
  #untilRoom = false
  #isInPortions = false

  constructor(
    parts: BrokerParts,
    connection: NetworkConnection,
    subject: Subject,
    connect: ConnectPacket,
  ) {
    this.#parts = parts
    this.#connection = connection
    this.subject = subject
    this.#connect = connect
    const { config, policy } = connection.listener
    this.origin = createOrigin(subject, policy, config.mountPoint)
    this.key = `${keyOf(subject.identity)}:${subject.clientId}`
    this.#link = new SessionLink(connection.outbox, this.origin, parts.metrics)
    const { maxWaitingPublishes } = parts.limits
    this.#acknowledgements = new Acknowledgements(
      (bytes) => connection.outbox.write(bytes),
      (before) => {
        if (before >= maxWaitingPublishes && !this.mustWait) connection.serve()
      },
    )
  }

  get session(): Session | undefined {
    return this.#session
  }

  get #log(): Log {
    return this.#connection.log
  }

  /** Enters the engine: takeover of an older connection, Session, CONNACK. */
  start(): void {
    const { clean, will } = this.#connect
    this.#engine = this.#parts.engine.open({
      key: this.key,
      clean,
      will,
      registered: () => this.#registered(),
      failed: (err) => this.#connection.unavailable(err),
      acknowledged: () => this.#acknowledged(),
      sendWill: (message) => this.#parts.inbound.accept(this.origin, message),
      write: (bytes) => this.#connection.outbox.write(bytes),
      ended: () => this.#connection.close('session_taken_over'),
    })
  }

  /** Session Present [MQTT-3.2.2-2]. The older connection of this key has been closed by now. */
  #registered(): boolean {
    const { store } = this.#parts
    const { clientId } = this.subject
    const { session, present } = store.open(this.key, { clientId, clean: this.#connect.clean })
    this.#session = session
    // In MQTT 3.1 that bit of CONNACK is reserved.
    return present && this.#connect.protocolLevel === 4
  }

  #acknowledged(): void {
    const session = this.#session
    if (session === undefined || !this.#connection.isOpening) return
    if (this.#parts.mqtt.connectionMessages)
      this.#log.info(
        {
          event: 'session.opened',
          clean: this.#connect.clean,
          keepAlive: this.#connect.keepAlive,
          protocolLevel: this.#connect.protocolLevel,
        },
        'session opened',
      )
    this.dropDisallowed()
    session.attach(this.#link, (topic) => this.#link.mayReceive(topic))
    this.#connection.opened()
  }

  /** Takes back what a changed access file no longer allows. */
  dropDisallowed(): void {
    const session = this.#session
    if (session === undefined) return
    for (const filter of session.subscriptions.keys()) {
      if (!maySubscribe(this.subject, filter, this.origin.policy.rules).allowed) {
        this.#parts.store.unsubscribe(session, filter)
      }
    }
  }

  /** The socket is gone: the Session is on its own, or at its end. */
  closed(): void {
    this.#held.clear()
    const session = this.#session
    this.#session = undefined
    if (session !== undefined) {
      // Closed between registration and CONNACK, the Session has no link yet to be told apart by.
      this.#parts.store.close(session, session.connected ? this.#link : undefined)
    }
    this.#engine?.destroy()
  }

  // ---- what comes in

  /** True while the next packet has to stay where it is. */
  get mustWait(): boolean {
    const { maxWaitingPublishes, maxWaitingBytes } = this.#parts.limits
    return (
      this.#untilRoom ||
      this.#isInPortions ||
      this.#waiting >= maxWaitingPublishes ||
      // What need not wait for storage waits for its place among the acknowledgements.
      (this.#waiting > 0 && this.#acknowledgements.size >= maxWaitingPublishes) ||
      this.#waitingBytes >= maxWaitingBytes
    )
  }

  /** PUBLISHes of this connection wait for their COMMIT. */
  get isWaiting(): boolean {
    return this.#waiting > 0 || this.#untilRoom
  }

  get heldBytes(): number {
    return this.#held.bytes
  }

  hold(frame: Frame): void {
    this.#held.push(frame)
  }

  takeHeld(): Frame | undefined {
    return this.#held.shift()
  }

  /** The frames from now on are of another read of the socket. */
  beginChunk(): void {
    this.#copiedOfChunk = 0
  }

  handle(frame: Frame): void {
    const session = this.#session
    if (session === undefined) return
    switch (frame.type) {
      case PacketType.PUBLISH:
        this.#publish(session, frame)
        break
      case PacketType.PUBACK:
        this.#flow(session.puback(parseAcknowledgement(frame)), 'PUBACK')
        break
      case PacketType.PUBREC:
        this.#flow(session.pubrec(parseAcknowledgement(frame)), 'PUBREC')
        break
      case PacketType.PUBCOMP:
        this.#flow(session.pubcomp(parseAcknowledgement(frame)), 'PUBCOMP')
        break
      case PacketType.PUBREL: {
        const packetId = parseAcknowledgement(frame)
        session.endReceive(packetId)
        this.#connection.outbox.write(encodeAcknowledgement(PacketType.PUBCOMP, packetId))
        break
      }
      case PacketType.SUBSCRIBE:
        this.#serveInPortions(subscribing(frame, this.#subscriber(session)))
        break
      case PacketType.UNSUBSCRIBE:
        this.#serveInPortions(unsubscribing(frame, this.#subscriber(session)))
        break
      case PacketType.DISCONNECT:
        checkBodyless(frame)
        this.#engine?.disconnect()
        this.#connection.close('client_disconnected')
        break
      default:
        throw new Error(`packet type ${frame.type} got past the guard`)
    }
  }

  #publish(session: Session, frame: Frame): void {
    const packet = this.#withOwnPayload(parsePublish(frame, this.#connection.topics))
    const { inbound, limits, mqtt } = this.#parts
    const problem = publishProblem(packet, this.#connection.listener.config, mqtt)
    if (problem !== undefined) throw new OperationalError('PUBLISH_NOT_SUPPORTED', problem)
    if (packet.qos > 0 && !inbound.hasRoom) {
      this.#waitForRoom(frame)
      return
    }
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
    const outcome = inbound.accept(this.origin, packet)
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
      this.#log.debug({ event: 'connection.held' }, 'reading waits for COMMIT')
    }
  }

  /**
   * What waits for storage keeps the 64 KiB it was read in. Where many came in one read that is
   * theirs; so that few cannot keep it, the first ones are copied.
   */
  #withOwnPayload(packet: PublishPacket): PublishPacket {
    const { payload } = packet
    if (payload.buffer.byteLength <= 4 * payload.length + SLACK_BYTES) return packet
    if (this.#copiedOfChunk >= COPIED_OF_CHUNK) return packet
    this.#copiedOfChunk++
    const { topic, qos, dup, retain, packetId } = packet
    return { topic, qos, dup, retain, packetId, payload: Buffer.from(payload) }
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

  #flow(outcome: 'done' | 'unknown' | 'wrong_flow', word: string): void {
    if (outcome !== 'wrong_flow') return
    throw new OperationalError('PROTOCOL_ERROR', `${word} in the flow of another QoS`)
  }

  #subscriber(session: Session): Subscriber {
    const { maxQos = 2 } = this.#connection.listener.config
    const { outbox, log } = this.#connection
    const write = (bytes: Buffer): void => outbox.write(bytes)
    return { session, origin: this.origin, maxQos, parts: this.#parts, log, write }
  }

  /** The packets behind this one wait. */
  #serveInPortions(step: () => boolean): void {
    this.#isInPortions = !this.#parts.portions.run(
      () => this.#session !== undefined && step(),
      () => {
        this.#isInPortions = false
        this.#connection.serve()
      },
    )
  }
}
