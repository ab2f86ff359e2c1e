/** Peers that are turned away before CONNECT: counted each, written down at a bounded rate. */
import type { X509Certificate } from 'node:crypto'
import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { ConnectionObserver } from '../ports.ts'
import type { RateLimitedNotes } from '../rate-limited-notes.ts'

export class Refusals {
  readonly #listener: string
  readonly #log: Log
  readonly #metrics: Pick<Metrics, 'connectsRefused'>
  readonly #notes: RateLimitedNotes
  readonly #observer: ConnectionObserver | undefined

  constructor(
    listener: string,
    parts: {
      readonly log: Log
      readonly metrics: Pick<Metrics, 'connectsRefused'>
      readonly refusals: RateLimitedNotes
      readonly observer?: ConnectionObserver | undefined
    },
  ) {
    this.#listener = listener
    this.#log = parts.log
    this.#metrics = parts.metrics
    this.#notes = parts.refusals
    this.#observer = parts.observer
  }

  /** A client certificate that was not admitted; what it says of itself counts only with a CA of ours behind it. */
  certificate(reason: string, detail: string, socket: TLSSocket, peer?: X509Certificate): void {
    this.note(reason, detail, socket)
    if (peer === undefined) return
    this.#observer?.certificateRefused({
      reason,
      listener: this.#listener,
      peer: socket.remoteAddress ?? 'unix',
      fingerprint: peer.fingerprint256.replaceAll(':', '').toLowerCase(),
      commonName: socket.authorized ? commonNameOf(peer) : undefined,
    })
  }

  /** @param reason of a closed set, the label of the metric */
  note(reason: string, detail: string, socket: Socket): void {
    this.#metrics.connectsRefused.inc({ reason })
    this.#notes.note(reason, () =>
      this.#log.warn(
        {
          event: 'peer.refused',
          reason,
          detail,
          listener: this.#listener,
          peer: addressOf(socket),
        },
        `refused before CONNECT: ${reason}`,
      ),
    )
  }
}

/**
 * A TLSSocket whose peer has hung up has no address left; the one beneath it (`_parent`, private to
 * Node 20 to 24) remembers what it was asked for before.
 */
function addressOf(socket: Socket): string | undefined {
  if (socket.remoteAddress !== undefined) return socket.remoteAddress
  const beneath: unknown = '_parent' in socket ? socket._parent : undefined
  return beneath instanceof Socket ? beneath.remoteAddress : undefined
}

/** Of a subject with one CN; X509Certificate writes an RDN per line. */
function commonNameOf({ subject }: X509Certificate): string | undefined {
  const names = subject.split('\n').filter((line) => line.startsWith('CN='))
  return names.length === 1 ? names[0]?.slice(3) : undefined
}
