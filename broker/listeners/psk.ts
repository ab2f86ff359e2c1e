/**
 * TLS by pre-shared keys (RFC 4279), in place of certificates. TLS 1.2 only: the keys are for its
 * PSK cipher suites, as at Mosquitto.
 */
import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { PskConfig } from '../../config/types.ts'
import { codeOf, messageOf } from '../../core/errors.ts'
import type { PreSharedKeys } from '../ports.ts'
import { arrivalOf, type Arrival } from './arrival.ts'
import { Handshakes } from './handshakes.ts'
import type { Refusals } from './refusals.ts'

/** Forward secrecy first; the plain ones are all that small devices have. */
const CIPHERS = 'ECDHE-PSK+HIGH:DHE-PSK+HIGH:kPSK+HIGH:!eNULL:!aNULL:!3DES:!kRSAPSK'

export interface PskDoorParts {
  readonly config: PskConfig
  readonly keys: PreSharedKeys
  readonly refusals: Refusals
  readonly keylog: ((line: Buffer) => void) | undefined
  admitted(socket: TLSSocket, arrival: Arrival): void
}

export class PskDoor {
  readonly #parts: PskDoorParts
  readonly #server: Server
  readonly #handshakes: Handshakes
  readonly #proven = new WeakMap<TLSSocket, { readonly identity: string; readonly key: Buffer }>()

  /** Throws what OpenSSL says of a cipher list it cannot use. */
  constructor(parts: PskDoorParts) {
    this.#parts = parts
    const { config, keys, keylog } = parts
    this.#handshakes = new Handshakes(config.maxHandshakes, config.maxHandshakesPerAddress)
    this.#server = createServer({
      pskIdentityHint: config.hint,
      pskCallback: (socket, identity) => {
        const key = keys.keyOf(identity)
        if (key === undefined) return null
        this.#proven.set(socket, { identity, key })
        return key
      },
      ciphers: config.ciphers ?? CIPHERS,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
      handshakeTimeout: config.handshakeTimeoutMs,
    })
    if (keylog !== undefined) this.#server.on('keylog', keylog)
    this.#server.on('secureConnection', (socket) => this.#secured(socket))
    this.#server.on('tlsClientError', (err, socket) => {
      parts.refusals.note('handshake_failed', codeOf(err) ?? messageOf(err), socket)
      socket.destroy()
    })
  }

  /** Takes a fresh TCP socket and leads it through the handshake. */
  take(raw: Socket): void {
    if (!this.#handshakes.begin(raw)) {
      this.#parts.refusals.note('too_many_handshakes', 'too many sockets in handshake', raw)
      raw.destroy()
      return
    }
    this.#server.emit('connection', raw)
  }

  #secured(socket: TLSSocket): void {
    this.#handshakes.finished(socket)
    socket.on('error', () => socket.destroy())
    const proven = this.#proven.get(socket)
    // A session that is resumed proves its key and never asked for it: whoever lost the key since
    // would come in.
    if (proven === undefined || socket.isSessionReused()) {
      this.#parts.refusals.note('no_identity', 'no pre-shared key in this handshake', socket)
      socket.destroy()
      return
    }
    const { identity, key } = proven
    // Its CONNECT may be long in coming, and the file may be another one by then.
    const isStillProven = (): boolean => this.#parts.keys.keyOf(identity)?.equals(key) === true
    this.#parts.admitted(socket, { ...arrivalOf(socket), provenName: identity, isStillProven })
  }
}
