/** A connection whose client has proved who it is: serves its packets. */
import { OperationalError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { maySubscribe, type Subject } from './access/index.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { EngineClient } from './engine/engine.ts'
import { HeldFrames } from './held-frames.ts'
import type { NetworkConnection } from './network-connection.ts'
import { keyOf } from './identity/index.ts'
import { createOrigin, type Origin } from './inbound.ts'
import {
  PacketType,
  checkBodyless,
  encodeAcknowledgement,
  parseAcknowledgement,
  type ConnectPacket,
  type Frame,
} from './packets/index.ts'
import { ReceivedPublishes } from './received-publishes.ts'
import { SessionLink } from './session-link.ts'
import type { Session } from './store/index.ts'
import { subscribing, unsubscribing, type Subscriber } from './subscribing.ts'

export class OpenConnection {
  readonly subject: Subject
  readonly origin: Origin
  /** Of its Session: nobody else's identity can have the same. */
  readonly key: string

  readonly #parts: BrokerParts
  readonly #connection: NetworkConnection
  readonly #connect: ConnectPacket
  readonly #publishes: ReceivedPublishes
  readonly #link: SessionLink
  #engine: EngineClient | undefined
  #session: Session | undefined

  readonly #held = new HeldFrames()
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
    this.#publishes = new ReceivedPublishes(parts, connection, this.origin, this.#held)
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
    return this.#isInPortions || this.#publishes.mustWait
  }

  /** PUBLISHes of this connection wait for their COMMIT. */
  get isWaiting(): boolean {
    return this.#publishes.isWaiting
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
    this.#publishes.beginChunk()
  }

  handle(frame: Frame): void {
    const session = this.#session
    if (session === undefined) return
    switch (frame.type) {
      case PacketType.PUBLISH:
        this.#publishes.take(session, frame)
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
