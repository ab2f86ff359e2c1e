/**
 * TLS in front of MQTT or WebSocket: mutual TLS on 8883. OpenSSL proves the chain and the possession
 * of the key; whether the peer may come in is decided here, synchronously in the tick in which the
 * handshake ends, before one byte of MQTT is read. A refused peer sees its connection closed; the
 * reason is in our log (Node 20 and 24 send no alert for a refusal after the handshake).
 */
import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { TlsConfig } from '../../config/types.ts'
import { codeOf, messageOf } from '../../core/errors.ts'
import type { ClientCertificates, ServerCredentials } from '../ports.ts'
import { arrivalOf, type Arrival } from './arrival.ts'
import { Handshakes } from './handshakes.ts'
import type { Refusals } from './refusals.ts'
import { rfc2253 } from './subject.ts'

export interface TlsDoorParts {
  readonly name: string
  readonly config: TlsConfig
  readonly certificates: ClientCertificates
  readonly refusals: Refusals
  readonly keylog?: ((line: Buffer) => void) | undefined
  /** A peer that may come in; its certificate is undefined where none is required and none came. */
  admitted(socket: TLSSocket, arrival: Arrival): void
}

export class TlsDoor {
  readonly #parts: TlsDoorParts
  readonly #server: Server
  readonly #handshakes: Handshakes

  constructor(parts: TlsDoorParts, credentials: ServerCredentials) {
    this.#parts = parts
    const { config } = parts
    this.#handshakes = new Handshakes(config.maxHandshakes, config.maxHandshakesPerAddress)
    this.#server = createServer({
      ...this.#contextOptions(credentials),
      requestCert: config.cafile !== undefined,
      // Refusing is ours: with `true` the reason would be lost in a bare ECONNRESET.
      rejectUnauthorized: false,
      handshakeTimeout: config.handshakeTimeoutMs,
    })
    if (parts.keylog !== undefined) this.#server.on('keylog', parts.keylog)
    this.#server.on('secureConnection', (socket) => this.#secured(socket))
    this.#server.on('tlsClientError', (err, socket) => {
      // Node leaves the socket open after a handshake timeout.
      socket.destroy()
      this.#parts.refusals.note('handshake_failed', codeOf(err) ?? messageOf(err), socket)
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

  /** New handshakes use the new certificate; open connections go on. Throws on unusable values. */
  replace(credentials: ServerCredentials): void {
    this.#server.setSecureContext(this.#contextOptions(credentials))
  }

  /** Complete each time: `setSecureContext` forgets whatever is not named again. */
  #contextOptions({ key, cert, ca }: ServerCredentials): TlsOptions {
    const { minVersion, ciphers } = this.#parts.config
    return {
      key,
      cert,
      // Never left out: Node would trust the public web's roots instead.
      ca: ca ?? [],
      minVersion,
      ...(ciphers === undefined ? {} : { ciphers }),
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
      sessionIdContext: `midge:${this.#parts.name}`.slice(0, 32),
    }
  }

  #secured(socket: TLSSocket): void {
    this.#handshakes.finished(socket)
    const { certificates, config } = this.#parts
    socket.on('error', () => socket.destroy())
    const peer = socket.getPeerX509Certificate()
    if (peer === undefined && (!config.requireCertificate || config.cafile === undefined)) {
      this.#parts.admitted(socket, arrivalOf(socket))
      return
    }
    const verification = socket.authorized ? undefined : problemOf(socket.authorizationError)
    const admission = certificates.admit(peer, verification)
    if (!admission.admitted) {
      this.#parts.refusals.certificate(admission.reason, admission.detail, socket, peer)
      socket.destroy()
      return
    }
    const { certificate } = admission
    const named =
      config.useSubjectAsUsername === true && peer !== undefined
        ? { ...certificate, subject: rfc2253(peer.subject) }
        : certificate
    this.#parts.admitted(socket, { ...arrivalOf(socket), certificate: named })
  }
}

/** Typed as an Error; on the server's side it is a plain string (Node 20 to 24). */
function problemOf(error: unknown): string {
  return typeof error === 'string' ? error : (codeOf(error) ?? 'not verified')
}
