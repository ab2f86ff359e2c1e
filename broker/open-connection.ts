/** A connection whose client has proved who it is: serves its packets. */
import { OperationalError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { TenantId } from '../core/names.ts'
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
  #forsaken: 'keep' | 'discard' | undefined
  #isWalking = false
  #hasEntered = false

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
    this.#link = new SessionLink(connection.outbox, this.origin, {
      metrics: parts.metrics,
      traffic: parts.wire.traffic,
    })
    this.#publishes = new ReceivedPublishes(parts, connection, this.origin, this.#held)
  }

  get session(): Session | undefined {
    return this.#session
  }

  /** User name of CONNECT, proved or not. */
  get presentedName(): string | undefined {
    return this.#connect.userName
  }

  get #tenant(): TenantId | undefined {
    const { identity } = this.subject
    return identity.kind === 'device' ? identity.tenantId : undefined
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
      write: (connack) => {
        this.#announce()
        this.#connection.outbox.write(connack)
      },
      ended: () => this.#connection.close('session_taken_over'),
    })
  }

  /** Session Present [MQTT-3.2.2-2]. The older connection of this key has been closed by now. */
  #registered(): boolean {
    const { store } = this.#parts
    const { clientId, identity } = this.subject
    const tenant = this.#tenant
    this.#parts.tenantConnections.enter(tenant)
    this.#hasEntered = true
    const { clean } = this.#connect
    const { session, present } = store.open(this.key, { clientId, clean, tenant })
    this.#session = session
    if (!clean) {
      const { revokedSessions } = this.#parts
      revokedSessions.opened(this.key, identity, this.#connection.listener.certificates)
    }
    // In MQTT 3.1 that bit of CONNACK is reserved.
    return present && this.#connect.protocolLevel === 4
  }

  /** Before CONNACK goes out, as Mosquitto has it. */
  #announce(): void {
    if (this.#session === undefined || !this.#connection.isOpening) return
    if (!this.#parts.mqtt.connectionMessages) return
    const { clean, keepAlive, protocolLevel, will } = this.#connect
    this.#log.info(
      { event: 'session.opened', clean, keepAlive, protocolLevel, will: willFields(will) },
      'session opened',
    )
  }

  #acknowledged(): void {
    const session = this.#session
    if (session === undefined || !this.#connection.isOpening) return
    this.dropDisallowed()
    session.attach(this.#link, (topic) => this.#link.mayReceive(topic))
    this.#connection.opened()
    this.#walkRetained()
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

  /**
   * To be called before it is closed for a revocation: its Will is not sent.
   *
   * @param session what becomes of its Session; `discard` only where the setting says so, too
   */
  forsake(session: 'keep' | 'discard'): void {
    this.#forsaken = session
  }

  /** The socket is gone: the Session is on its own, or at its end. */
  closed(): void {
    this.#held.clear()
    if (this.#hasEntered) this.#parts.tenantConnections.leave(this.#tenant)
    this.#hasEntered = false
    const session = this.#session
    this.#session = undefined
    if (session !== undefined) {
      // Closed between registration and CONNACK, the Session has no link yet to be told apart by.
      this.#parts.store.close(session, session.connected ? this.#link : undefined)
    }
    // As after DISCONNECT: whoever may say nothing more has no last words either.
    if (this.#forsaken !== undefined) this.#engine?.disconnect()
    if (this.#forsaken === 'discard' && session !== undefined) {
      this.#parts.revokedSessions.discard(this.key)
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

  /** The socket has taken what it was given last. */
  drained(): void {
    this.#session?.drained()
    this.#walkRetained()
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
    if (outcome !== 'wrong_flow') return this.#walkRetained()
    throw new OperationalError('PROTOCOL_ERROR', `${word} in the flow of another QoS`)
  }

  #subscriber(session: Session): Subscriber {
    const { maxQos = 2 } = this.#connection.listener.config
    const { outbox, log } = this.#connection
    const write = (bytes: Buffer): void => outbox.write(bytes)
    return { session, origin: this.origin, maxQos, parts: this.#parts, log, write }
  }

  /**
   * Goes on with what subscriptions are owed, in portions, until the client has to acknowledge or its
   * socket to drain; either calls again.
   */
  #walkRetained(): void {
    const session = this.#session
    if (session?.owesRetained !== true || this.#isWalking || this.#isInPortions) return
    this.#isWalking = !this.#parts.portions.run(
      () => this.#session === session && session.walkRetained(),
      () => {
        this.#isWalking = false
      },
    )
  }

  /** The packets behind this one wait. */
  #serveInPortions(step: () => boolean): void {
    this.#isInPortions = !this.#parts.portions.run(
      () => this.#session !== undefined && step(),
      () => {
        this.#isInPortions = false
        this.#connection.serve()
        this.#walkRetained()
      },
    )
  }
}

function willFields(will: ConnectPacket['will']): Readonly<Record<string, unknown>> | undefined {
  if (will === undefined) return undefined
  const { topic, qos, retain, payload } = will
  return { topic, qos, retain, payloadBytes: payload.length }
}
