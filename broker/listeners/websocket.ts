/**
 * MQTT over WebSocket (MQTT 3.1.1 §6): upgrades on `/` and `/mqtt` with sub-protocol `mqtt` or
 * `mqttv3.1`, binary messages only, a packet may span messages.
 */
import { STATUS_CODES, createServer, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer, createWebSocketStream, type Server as UpgradeServer } from 'ws'
import type { Clock } from '../../core/clock.ts'
import { codeOf, messageOf } from '../../core/errors.ts'
import { BinaryWebSocket } from './binary-web-socket.ts'
import type { Refusals } from './refusals.ts'

const PATHS: ReadonlySet<string> = new Set(['/', '/mqtt'])
const SUBPROTOCOLS: readonly string[] = ['mqtt', 'mqttv3.1']
/** Milliseconds a peer has to answer our Close frame. */
const CLOSE_TIMEOUT_MS = 5000

export interface WebSocketDoorParts {
  readonly clock: Clock
  readonly refusals: Refusals
  /** Bytes of one WebSocket message, asked at each upgrade; a longer one ends the connection. */
  maxMessageBytes(): number
  /** Milliseconds from the open socket to a complete upgrade request. */
  readonly upgradeTimeoutMs: number
  /** Origin headers that may upgrade; undefined: any. */
  readonly origins?: readonly string[] | undefined
  /** A connection whose upgrade is done; `socket` is what it runs over. */
  upgraded(stream: Duplex, socket: Socket): void
}

/** A socket on its way to the upgrade. */
interface Waiting {
  readonly socket: Socket
  done(): void
}

export class WebSocketDoor {
  readonly #http: Server
  readonly #upgrades: UpgradeServer<typeof BinaryWebSocket>
  readonly #parts: WebSocketDoorParts
  readonly #waiting = new WeakMap<Duplex, Waiting>()

  constructor(parts: WebSocketDoorParts) {
    this.#parts = parts
    const options = {
      noServer: true,
      WebSocket: BinaryWebSocket,
      maxPayload: parts.maxMessageBytes(),
      perMessageDeflate: false,
      // BinaryWebSocket answers pings.
      autoPong: false,
      closeTimeout: CLOSE_TIMEOUT_MS,
      handleProtocols: (offered: Set<string>): string | false =>
        SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
    }
    this.#upgrades = new WebSocketServer(options)
    this.#http = createServer((request, response) => {
      this.#refuse('not_a_websocket', `${request.method ?? ''} without upgrade`, request.socket)
      response.writeHead(426, { 'content-type': 'text/plain', connection: 'close' })
      response.end('This is an MQTT broker: connect by WebSocket with sub-protocol mqtt.\n')
    })
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    this.#http.on('clientError', (err, socket) => {
      // Without bytes it is only a peer that went away.
      const code = codeOf(err) ?? messageOf(err)
      if (code !== 'ECONNRESET') this.#refuse('not_a_websocket', code, socket)
      socket.destroy()
    })
  }

  /** Takes a socket that speaks HTTP from here on. */
  take(socket: Socket): void {
    // Of our own: the deadlines of node:http only run on a server that listens itself.
    const cancel = this.#parts.clock.after(this.#parts.upgradeTimeoutMs, () => {
      this.#refuse('upgrade_timeout', 'no complete upgrade request', socket)
      socket.destroy()
    })
    const done = (): void => {
      cancel()
      socket.off('close', done)
    }
    socket.once('close', done)
    this.#waiting.set(socket, { socket, done })
    this.#http.emit('connection', socket)
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const [path = ''] = (request.url ?? '').split('?')
    if (!PATHS.has(path)) {
      this.#answer(404, 'unknown_path', path.slice(0, 60), socket)
      return
    }
    // Only browsers send one, and they always do: it keeps other sites' pages out, nobody else.
    const { origin } = request.headers
    if (origin !== undefined && this.#parts.origins?.includes(origin) === false) {
      this.#answer(403, 'foreign_origin', origin.slice(0, 60), socket)
      return
    }
    const offered = request.headers['sec-websocket-protocol'] ?? ''
    if (!offered.split(',').some((name) => SUBPROTOCOLS.includes(name.trim()))) {
      this.#answer(400, 'unknown_subprotocol', offered.slice(0, 60), socket)
      return
    }
    this.#upgrades.options.maxPayload = this.#parts.maxMessageBytes()
    this.#upgrades.handleUpgrade(request, socket, head, (webSocket) => {
      const waiting = this.#waiting.get(socket)
      if (waiting === undefined) return webSocket.terminate()
      waiting.done()
      this.#parts.upgraded(createWebSocketStream(webSocket), waiting.socket)
    })
  }

  #answer(status: 400 | 403 | 404, reason: string, detail: string, socket: Duplex): void {
    this.#refuse(reason, detail, socket)
    // The peer may never close its side.
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`, () =>
      socket.destroy(),
    )
  }

  #refuse(reason: string, detail: string, socket: Duplex): void {
    const waiting = this.#waiting.get(socket)
    if (waiting !== undefined) this.#parts.refusals.note(reason, detail, waiting.socket)
  }
}
