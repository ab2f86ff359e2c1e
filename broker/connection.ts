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
import { negotiate, reportRefusal, type Refusal } from './connect-negotiation.ts'
import type { Arrival } from './listeners/arrival.ts'
import type { Listener } from './listeners/listener.ts'
import { Liveness, STALLED_MS } from './liveness.ts'
import { observeClosed, observeOpened } from './observed-connection.ts'
import { Outbox } from './outbox.ts'
import type { PeerCertificate } from './ports.ts'
import {
  ConnectRejected,
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

type State = 'awaiting_connect' | 'authenticating' | 'opening' | 'open' | 'closed'

export class Connection {
  readonly listener: Listener
  readonly peer: Arrival
  readonly certificate: PeerCertificate | undefined
  readonly outbox: Outbox
  readonly topics = new TopicMemo()
  log: Log

  readonly #parts: BrokerParts
  readonly #socket: Duplex
  readonly #framer: Framer
  readonly #liveness: Liveness
  #state: State = 'awaiting_connect'
  #closeReason: CloseReason | undefined
  /** Behind `connect_refused`: one word of a closed set, for the metric. */
  #refusal: string | undefined
  /** Client Identifier of a CONNECT that was refused: a claim, for the log. */
  #claimedId: string | undefined
  #open: OpenConnection | undefined
  #reading = true
  #isLost = false
  #draining = false

  constructor(parts: BrokerParts, listener: Listener, socket: Duplex, peer: Arrival) {
    this.#parts = parts
    this.listener = listener
    this.#socket = socket
    this.peer = peer
    this.certificate = peer.certificate
    this.outbox = new Outbox(socket, () => {
      this.#liveness.progressed(parts.sweptAt())
      if (!this.#reading) this.serve()
    })
    this.log = parts.log
    this.#framer = new Framer(parts.limits.maxConnectBytes)
    this.#liveness = new Liveness(parts.clock.monotonic())
    if (parts.mqtt.connectionMessages)
      parts.log.debug(
        {
          event: 'connection.opened',
          listener: listener.name,
          listenerPort: listener.ports[0] ?? listener.config.port,
          peer: peer.address,
          peerPort: peer.port,
        },
        'connection opened',
      )
    socket.on('data', (chunk: Buffer) => {
      this.#framer.append(chunk)
      this.#open?.beginChunk()
      this.#liveness.heard(parts.sweptAt())
      this.serve()
    })
    socket.on('error', (err) => {
      // What WebSocket's own framing finds; everything else is the network's.
      if (err instanceof MalformedPacket) this.#fail(err)
      else this.close('connection_lost', messageOf(err))
    })
    socket.on('close', () => this.#lost())
    socket.on('end', () => this.#lost())
  }

  get isOpening(): boolean {
    return this.#state === 'opening'
  }

  get closeReason(): CloseReason | undefined {
    return this.#closeReason
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
        if (this.#draining || this.#open?.mustWait === true) break
        const frame = this.#open?.takeHeld() ?? this.#framer.next()
        if (frame === undefined) break
        this.#handle(frame)
      }
      if (this.#state === 'open' && this.#open?.mustWait === true) this.#answerPings(this.#open)
    } catch (err) {
      this.#fail(err)
    }
    this.#regulateReading()
  }

  /** Ends the connection, once; the engine then sends the Will unless DISCONNECT came first. */
  close(reason: CloseReason, detail?: string): void {
    if (this.#state === 'closed') return
    const { metrics } = this.#parts
    const wasOpen = this.#state === 'open'
    this.#state = 'closed'
    this.#closeReason = reason
    this.outbox.finish()
    this.#open?.closed()
    this.#parts.connections.delete(this)
    if (wasOpen) observeClosed(this.#parts.observer, this, reason)
    if (this.#open === undefined || this.#refusal !== undefined) {
      metrics.connectsRefused.inc({ reason: this.#refusal ?? reason })
    } else metrics.sessionsClosed.inc({ reason })
    const fields = {
      event: 'connection.closed',
      reason,
      detail,
      refusal: this.#refusal,
      ...(this.#open === undefined
        ? { peer: this.peer.address, peerPort: this.peer.port, clientId: this.#claimedId }
        : {}),
    }
    const routine = reason === 'client_disconnected' || reason === 'connection_lost'
    if (this.#parts.mqtt.connectionMessages) {
      const level = wasOpen && !routine ? 'warn' : 'debug'
      this.log[level](fields, `connection closed: ${reason}`)
    }
    // What was written last (CONNACK with a refusal) still leaves before the socket goes.
    if (this.#socket.destroyed) return
    this.#socket.end(() => this.#socket.destroy())
    if (this.#socket.writableLength > 0) this.#parts.clock.after(1000, () => this.#socket.destroy())
    else this.#socket.destroy()
  }

  /** About once a second: what no event would ever end. */
  sweep(now: number): void {
    const liveness = this.#liveness
    if (this.#state === 'open') {
      const isWaiting = this.#open?.isWaiting === true
      if (isWaiting || this.outbox.backlogBytes === 0) liveness.progressed(now)
      // Who is not read cannot be heard.
      if (isWaiting || !this.#reading) liveness.heard(now)
      const reason = liveness.failing(now)
      if (reason === 'too_slow') {
        this.close(reason, `${this.outbox.backlogBytes} bytes unsent for ${STALLED_MS} ms`)
      } else if (reason !== undefined) {
        this.close(reason)
      }
    } else if (this.#state !== 'closed') {
      const { connectTimeoutMs } = this.#parts.limits
      if (liveness.isLate(now, connectTimeoutMs)) this.close('connect_timeout')
    }
  }

  #handle(frame: Frame): void {
    assertClientPacket(frame)
    if (this.#state === 'awaiting_connect') {
      if (frame.type !== PacketType.CONNECT) {
        throw new MalformedPacket('the first packet is not CONNECT [MQTT-3.1.0-1]')
      }
      void this.#connect(parseConnect(frame))
      return
    }
    if (frame.type === PacketType.PINGREQ) {
      checkBodyless(frame)
      this.outbox.write(PINGRESP)
      return
    }
    if (frame.type === PacketType.CONNECT) {
      throw new OperationalError('PROTOCOL_ERROR', 'a second CONNECT [MQTT-3.1.0-2]')
    }
    this.#open?.handle(frame)
  }

  async #connect(packet: ConnectPacket): Promise<void> {
    this.#state = 'authenticating'
    try {
      const outcome = await negotiate(packet, this.#parts, this.listener, this.peer)
      if (this.#state !== 'authenticating') return
      if (!outcome.accepted) {
        this.#refuse(outcome.refusal, packet)
        return
      }
      const { identity, clientId } = outcome
      this.#state = 'opening'
      this.#framer.maxBytes = this.#parts.limits.maxPacketBytes
      this.#framer.protocolLevel = packet.protocolLevel
      this.#liveness.keepAliveMs = packet.keepAlive * 1500
      this.log = this.#parts.log.child({
        listener: this.listener.name,
        peer: this.peer.address,
        peerPort: this.peer.port,
        user: identity.userName,
        ...(identity.kind === 'device'
          ? { tenantId: identity.tenantId, deviceId: identity.deviceId }
          : {}),
        clientId,
      })
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
    if (this.#isLost) this.close('connection_lost')
  }

  /**
   * A client need not wait for CONNACK (MQTT 3.1.1 §3.1.4): one that says CONNECT, PUBLISH and
   * DISCONNECT in one breath and hangs up is served all the same.
   */
  #lost(): void {
    this.#isLost = true
    const isOnItsWay = this.#state === 'authenticating' || this.#state === 'opening'
    if (!isOnItsWay || this.#framer.pendingBytes === 0) this.close('connection_lost')
  }

  unavailable(err: unknown): void {
    if (!(err instanceof OperationalError)) {
      this.#fail(err)
      return
    }
    const reason = err.code.toLowerCase()
    this.#parts.refusals.note(reason, () =>
      this.log.warn({ event: 'connect.refused', reason }, `CONNECT refused: ${err.message}`),
    )
    this.#refusal = reason
    this.outbox.write(encodeConnack(3, false))
    this.close('connect_refused', err.message)
  }

  #refuse({ returnCode, reason }: Refusal, packet: ConnectPacket): void {
    this.#claimedId = packet.clientId
    this.#refusal = reason
    reportRefusal(reason, packet, this.#parts, this.listener.name, this.peer)
    if (returnCode !== undefined) this.outbox.write(encodeConnack(returnCode, false))
    this.close('connect_refused', reason)
  }

  #fail(err: unknown): void {
    if (err instanceof ConnectRejected) {
      this.#refusal = err.reason
      this.outbox.write(err.reply)
      this.close('connect_refused', err.message)
    } else if (err instanceof MalformedPacket) {
      this.#parts.metrics.malformed.inc()
      this.close(
        err.code === 'PACKET_TOO_LARGE' ? 'packet_too_large' : 'malformed_packet',
        err.message,
      )
    } else if (err instanceof OperationalError) {
      this.close('protocol_error', err.message)
    } else {
      this.log.error({ event: 'connection.failed', err }, 'a connection failed on a bug of ours')
      this.close('internal_error', messageOf(err))
    }
  }

  /** Behind held PUBLISHes a PINGREQ is looked for and answered; the rest keeps its order. */
  #answerPings(open: OpenConnection): void {
    while (open.heldBytes < this.#parts.limits.maxWaitingBytes) {
      const frame = this.#framer.next()
      if (frame === undefined) return
      if (frame.type === PacketType.PINGREQ) this.#handle(frame)
      else open.hold(frame)
    }
  }

  #regulateReading(): void {
    const { limits } = this.#parts
    const full =
      this.#draining ||
      this.#framer.pendingBytes > limits.maxPacketBytes ||
      (this.#state !== 'open' && this.#framer.pendingBytes > limits.maxConnectBytes) ||
      (this.#open !== undefined && this.#open.heldBytes >= limits.maxWaitingBytes) ||
      this.outbox.backlogBytes > limits.maxSocketBacklogBytes
    if (full === !this.#reading) return
    this.#reading = !full
    if (full) this.#socket.pause()
    else this.#socket.resume()
  }
}
