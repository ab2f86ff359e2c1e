/**
 * The packet guard: one Network Connection from its first byte to its last.
 *
 * It frames every packet and lets through only what MQTT 3.1 and 3.1.1 allow at that moment. Nothing
 * of a client reaches the engine before the client has proved who it is. PUBLISH in both directions,
 * subscriptions and acknowledgements are served here; the engine sees CONNECT and DISCONNECT.
 *
 *   awaiting CONNECT → authenticating → opening (engine) → open → closed
 *
 * While PUBLISHes wait for their COMMIT, reading goes on within bounds, PINGREQ is answered and the
 * Keep Alive does not run out: an outage of the database disconnects nobody.
 */
import type { Duplex } from 'node:stream'
import { OperationalError, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { CloseReason } from './close-reason.ts'
import { arrivalLog, clientLog, noteClosed, noteOpened } from './connection-log.ts'
import {
  assertConnectOnce,
  negotiate,
  reportRefusal,
  reportUnavailable,
} from './connect-negotiation.ts'
import { failureOf } from './failure.ts'
import type { Arrival } from './listeners/arrival.ts'
import type { Listener } from './listeners/listener.ts'
import { Liveness } from './liveness.ts'
import { observeClosed, observeOpened } from './observed-connection.ts'
import { Outbox } from './outbox.ts'
import { endSocket, Reading } from './socket.ts'
import {
  Framer,
  MalformedPacket,
  PINGRESP,
  PacketType,
  TopicMemo,
  assertClientPacket,
  checkBodyless,
  encodeConnack,
  parseConnect,
  type ConnectPacket,
  type Frame,
} from './packets/index.ts'
import { OpenConnection } from './open-connection.ts'
import { TurnShare } from './turn.ts'

type State = 'awaiting_connect' | 'authenticating' | 'opening' | 'open' | 'closed'

export class Connection {
  readonly listener: Listener
  readonly peer: Arrival
  readonly certificate: Arrival['certificate']
  readonly outbox: Outbox
  readonly topics = new TopicMemo()
  /** The same in every line of this connection. */
  readonly traceId: string
  log: Log

  readonly #parts: BrokerParts
  readonly #socket: Duplex
  readonly #framer: Framer
  readonly #liveness: Liveness
  #state: State = 'awaiting_connect'
  /** Behind `connect_refused`: one word of a closed set, for the metric. */
  #refusal: string | undefined
  /** Client Identifier of a CONNECT that was refused: a claim, for the log. */
  #claimedId: string | undefined
  #open: OpenConnection | undefined
  readonly #reading: Reading
  #isLost = false
  readonly #share = new TurnShare(() => this.serve())
  #draining = false

  constructor(parts: BrokerParts, listener: Listener, socket: Duplex, peer: Arrival) {
    this.#parts = parts
    this.listener = listener
    this.#socket = socket
    this.#reading = new Reading(socket)
    this.peer = peer
    this.certificate = peer.certificate
    const { trace, traffic } = parts.wire
    this.traceId = parts.wire.nextTraceId()
    this.log = arrivalLog(parts.log, this)
    this.outbox = new Outbox(
      socket,
      () => {
        this.#liveness.progressed(parts.sweptAt())
        this.#open?.drained()
        if (!this.#reading.isOn) this.serve()
      },
      { trace, traffic, traced: (bytes) => trace.sent(bytes, this.log) },
    )
    this.#framer = new Framer(parts.limits.maxConnectBytes)
    this.#liveness = new Liveness(parts.clock.monotonic())
    traffic.socketsOpened++
    if (parts.mqtt.connectionMessages) noteOpened(this.log, this)
    socket.on('data', (chunk: Buffer) => {
      traffic.bytesReceived += chunk.length
      this.#framer.append(chunk)
      this.#liveness.heard(parts.sweptAt())
      this.serve()
    })
    socket.on('error', (err) => {
      // What WebSocket's own framing finds; everything else is the network's.
      if (err instanceof MalformedPacket) this.#fail(err)
      else this.close('connection_lost', messageOf(err))
    })
    for (const event of ['close', 'end'] as const) socket.on(event, () => this.#lost())
  }

  get isOpening(): boolean {
    return this.#state === 'opening'
  }

  /** More of what has arrived is served in the next turn. */
  get #goesOn(): boolean {
    return this.#share.isOver && this.#open?.mustWait !== true
  }

  /** Set once the identity is known. */
  get open(): OpenConnection | undefined {
    return this.#open
  }

  /** Serves nothing new from now on; what waits for its COMMIT is still acknowledged. */
  drain(): void {
    this.#draining = true
    this.#regulateReading()
  }

  /** Works off what has arrived, as far as may be; called again when something may have changed. */
  serve(): void {
    try {
      for (;;) {
        if (this.#state !== 'awaiting_connect' && this.#state !== 'open') break
        if (this.#draining || this.#open?.mustWait === true || !this.#share.take()) break
        const frame = this.#open?.takeHeld() ?? this.#nextFrame()
        if (frame === undefined) break
        this.#handle(frame)
      }
      if (this.#state === 'open' && this.#open?.mustWait === true) this.#answerPings(this.#open)
    } catch (err) {
      this.#fail(err)
    }
    this.#regulateReading()
    if (this.#isLost && this.#state === 'open' && !this.#goesOn) this.close('connection_lost')
  }

  /** Ends the connection, once; the engine then sends the Will unless DISCONNECT came first. */
  close(reason: CloseReason, detail?: string): void {
    if (this.#state === 'closed') return
    const wasOpen = this.#state === 'open'
    this.#state = 'closed'
    this.outbox.finish()
    this.#open?.closed()
    this.#parts.connections.delete(this)
    if (wasOpen) observeClosed(this.#parts.observer, this, reason)
    const [refusal, claimedId, isKnown] = [this.#refusal, this.#claimedId, this.#open !== undefined]
    noteClosed(this.#parts, this.log, { reason, detail, refusal, claimedId, isKnown, wasOpen })
    endSocket(this.#socket, this.#parts.clock)
  }

  /** About once a second: what no event would ever end. */
  sweep(now: number): void {
    if (this.#state === 'closed') return
    if (this.#state !== 'open') {
      const { connectTimeoutMs } = this.#parts.limits
      if (this.#liveness.isLate(now, connectTimeoutMs)) this.close('connect_timeout')
      return
    }
    const isWaiting = this.#open?.isWaiting === true
    const { backlogBytes } = this.outbox
    const isRead = this.#reading.isOn
    const failing = this.#liveness.look(now, { isWaiting, isRead, backlogBytes })
    if (failing !== undefined) this.close(failing.reason, failing.detail)
  }

  #handle(frame: Frame): void {
    assertClientPacket(frame)
    const { trace } = this.#parts.wire
    if (trace.isOn) trace.received(frame, this.log)
    const isFirst = this.#state === 'awaiting_connect'
    assertConnectOnce(frame, isFirst)
    if (isFirst) {
      void this.#connect(parseConnect(frame))
      return
    }
    if (frame.type === PacketType.PINGREQ) {
      checkBodyless(frame)
      this.outbox.write(PINGRESP)
      return
    }
    this.#open?.handle(frame)
  }

  async #connect(packet: ConnectPacket): Promise<void> {
    this.#state = 'authenticating'
    this.#parts.wire.traffic.connectsReceived++
    try {
      const isGone = (): boolean => this.#state === 'closed'
      const outcome = await negotiate(packet, this.#parts, this.listener, this.peer, isGone)
      if (this.#state !== 'authenticating') return
      if (!outcome.accepted) {
        const { returnCode, reason } = outcome.refusal
        this.#claimedId = packet.clientId
        reportRefusal(reason, packet, this.#parts, this)
        const reply = returnCode === undefined ? undefined : encodeConnack(returnCode, false)
        this.#refuse(reason, reply, reason)
        return
      }
      const { identity, clientId } = outcome
      this.#state = 'opening'
      this.#framer.maxBytes = this.#parts.limits.maxPacketBytes
      this.#framer.protocolLevel = packet.protocolLevel
      this.#liveness.keepAliveMs = packet.keepAlive * 1500
      this.log = clientLog(this.log, identity, clientId)
      this.#open = new OpenConnection(this.#parts, this, { identity, clientId }, packet)
      this.#open.start()
    } catch (err) {
      this.#fail(err)
    }
  }

  /** The engine has written CONNACK: everything held so far may go its way. */
  opened(): void {
    if (this.#state !== 'opening') return
    this.#state = 'open'
    this.#liveness.heard(this.#parts.sweptAt())
    this.#liveness.progressed(this.#parts.sweptAt())
    observeOpened(this.#parts.observer, this)
    this.serve()
  }

  /**
   * What a client said before it hung up is served all the same, CONNECT among it: it need not wait
   * for CONNACK (MQTT 3.1.1 §3.1.4).
   */
  #lost(): void {
    this.#isLost = true
    const isOnItsWay = this.#goesOn || /^(?:authenticating|opening)$/u.test(this.#state)
    const rest = this.#framer.pendingBytes + (this.#open?.heldBytes ?? 0)
    if (!isOnItsWay || rest === 0) this.close('connection_lost')
  }

  unavailable(err: unknown): void {
    if (!(err instanceof OperationalError)) return this.#fail(err)
    const reason = reportUnavailable(err, this.#parts, this.log)
    this.#refuse(reason, encodeConnack(3, false), err.message)
  }

  #refuse(reason: string, reply: Buffer | undefined, detail: string): void {
    this.#refusal = reason
    if (reply !== undefined) this.outbox.write(reply)
    this.close('connect_refused', detail)
  }

  #fail(err: unknown): void {
    const { reason, detail, rejected, isBug } = failureOf(err)
    if (err instanceof MalformedPacket) this.#parts.metrics.malformed.inc()
    if (isBug === true) {
      this.log.error({ event: 'connection.failed', err }, 'a connection failed on a bug of ours')
    }
    if (rejected === undefined) this.close(reason, detail)
    else this.#refuse(rejected.reason, rejected.reply, detail)
  }

  /** Each packet comes by here once, also one that then has to wait. */
  #nextFrame(): Frame | undefined {
    const frame = this.#framer.next()
    if (frame !== undefined) this.#parts.wire.traffic.packetsReceived++
    return frame
  }

  /** Behind held PUBLISHes a PINGREQ is looked for and answered; the rest keeps its order. */
  #answerPings(open: OpenConnection): void {
    while (open.heldBytes < this.#parts.limits.maxWaitingBytes && this.#share.take()) {
      const frame = this.#nextFrame()
      if (frame === undefined) return
      if (frame.type === PacketType.PINGREQ) this.#handle(frame)
      else open.hold(frame)
    }
  }

  #regulateReading(): void {
    const { limits } = this.#parts
    const full =
      this.#draining ||
      this.#framer.pendingBytes > this.#framer.maxBytes ||
      (this.#state !== 'open' && this.#framer.pendingBytes > limits.maxConnectBytes) ||
      (this.#open !== undefined && this.#open.heldBytes >= limits.maxWaitingBytes) ||
      this.outbox.backlogBytes > limits.maxSocketBacklogBytes
    this.#reading.regulate(!full)
  }
}
