/**
 * TLS in front of MQTT or WebSocket: mutual TLS on 8883. OpenSSL proves the chain and the possession
 * of the key; whether the peer may come in is decided here, synchronously in the tick in which the
 * handshake ends, before one byte of MQTT is read. A refused peer sees its connection closed; the
 * reason is in our log (Node 20 and 24 send no alert for a refusal after the handshake).
 */
import { constants, createHash, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { TlsConfig } from '../../config/types.ts'
import { codeOf, messageOf } from '../../core/errors.ts'
import type { ClientCertificates, PeerCertificate, ServerCredentials } from '../ports.ts'
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
  readonly #asksForCertificate: boolean
  #credentials: ServerCredentials

  constructor(parts: TlsDoorParts, credentials: ServerCredentials) {
    this.#parts = parts
    const { config } = parts
    this.#credentials = credentials
    this.#asksForCertificate = asksForCertificate(config)
    this.#handshakes = new Handshakes(config.maxHandshakes, config.maxHandshakesPerAddress)
    this.#server = createServer({
      ...this.#contextOptions(credentials),
      requestCert: this.#asksForCertificate,
      // Refusing is ours: with `true` the reason would be lost in a bare ECONNRESET.
      rejectUnauthorized: false,
      handshakeTimeout: config.handshakeTimeoutMs,
    })
    if (parts.keylog !== undefined) this.#server.on('keylog', parts.keylog)
    this.#server.on('secureConnection', (socket) => this.#secured(socket))
    this.#server.on('tlsClientError', (err, socket) => {
      // Before it is destroyed: it has an address no longer then.
      this.#parts.refusals.note('handshake_failed', codeOf(err) ?? messageOf(err), socket)
      // Node leaves the socket open after a handshake timeout.
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

  /** New handshakes use the new certificate; open connections go on. Throws on unusable values. */
  replace(credentials: ServerCredentials): void {
    this.#server.setSecureContext(this.#contextOptions(credentials))
    this.#credentials = credentials
  }

  /**
   * No session that was begun before is resumed from now on: to be called when whom to trust has
   * changed. A resumed session skips OpenSSL's look at the chain; ours it never skips.
   */
  forgetSessions(): void {
    // A new context comes with ticket keys of its own.
    if (this.#parts.config.sessionTickets === true) this.replace(this.#credentials)
  }

  /** Complete each time: `setSecureContext` forgets whatever is not named again. */
  #contextOptions({ key, cert, ca, dhparam }: ServerCredentials): TlsOptions {
    const { minVersion, ciphers, sessionTickets = false } = this.#parts.config
    const { SSL_OP_NO_RENEGOTIATION, SSL_OP_NO_TICKET } = constants
    return {
      key,
      cert,
      // Never left out: Node would trust the public web's roots instead.
      ca: ca ?? [],
      minVersion,
      ...(ciphers === undefined ? {} : { ciphers }),
      ...(dhparam === undefined ? {} : { dhparam }),
      secureOptions: sessionTickets
        ? SSL_OP_NO_RENEGOTIATION
        : SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET,
      // Never `ticketKeys`: they would outlive this context, and with it what it trusts.
      sessionIdContext: sessionContextOf(this.#parts.name),
    }
  }

  #secured(socket: TLSSocket): void {
    this.#handshakes.finished(socket)
    const { certificates, config } = this.#parts
    socket.on('error', () => socket.destroy())
    const peer = socket.getPeerX509Certificate()
    // By its own test, whatever `authorized` says: Node 20 calls a resumed session without any
    // certificate authorized.
    if (peer === undefined && (!config.requireCertificate || !this.#asksForCertificate)) {
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
        ? { ...certificate, subject: subjectOf(certificate, peer) }
        : certificate
    this.#parts.admitted(socket, { ...arrivalOf(socket), certificate: named })
  }
}

/**
 * As Mosquitto: where a certificate is neither required nor the identity, none is asked for, so that
 * whoever comes with one that has expired, or is another service's, is let in by its password.
 */
function asksForCertificate(config: TlsConfig): boolean {
  if (config.cafile === undefined && config.capath === undefined) return false
  return (
    config.requireCertificate ||
    config.useIdentityAsUsername ||
    config.useSubjectAsUsername === true
  )
}

/** Distinct for each listener, and within OpenSSL's 32 octets however long a Unix socket's path is. */
function sessionContextOf(name: string): string {
  return createHash('sha256').update(`midge:${name}`).digest('hex').slice(0, 32)
}

/** A pinned certificate is who its pin says, not who it says itself. */
function subjectOf({ pinned, commonName }: PeerCertificate, { subject }: X509Certificate): string {
  return pinned === true ? commonName : rfc2253(subject)
}

/** Typed as an Error; on the server's side it is a plain string (Node 20 to 24). */
function problemOf(error: unknown): string {
  return typeof error === 'string' ? error : (codeOf(error) ?? 'not verified')
}
