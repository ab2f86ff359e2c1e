/** PROXY headers in front of any listener that asks for them (`enable_proxy_protocol`). */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { ListenerConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import type { Arrival } from './arrival.ts'
import { parseProxyHeader, type ProxiedPeer } from './proxy-header.ts'
import type { Refusals } from './refusals.ts'

export interface ProxyDoorParts {
  readonly config: NonNullable<ListenerConfig['proxyProtocol']>
  readonly clock: Clock
  readonly refusals: Refusals
  /** Milliseconds from the open socket to a complete header. */
  readonly headerTimeoutMs: number
  /** The header is taken out: the next byte is the client's. The socket is paused. */
  admitted(socket: Socket, arrival: Arrival): void
}

export class ProxyDoor {
  readonly #parts: ProxyDoorParts

  constructor(parts: ProxyDoorParts) {
    this.#parts = parts
  }

  take(socket: Socket): void {
    const { clock, config, headerTimeoutMs } = this.#parts
    let gathered: Buffer = Buffer.alloc(0)
    const cancel = clock.after(headerTimeoutMs, () => {
      this.#refuse(socket, 'proxy_header_timeout', 'no complete PROXY header')
    })
    const done = (): void => {
      cancel()
      socket.off('data', onData)
      socket.off('close', done)
      socket.off('end', onEnd)
    }
    const onEnd = (): void => {
      socket.destroy()
    }
    const onData = (chunk: Buffer): void => {
      gathered = Buffer.concat([gathered, chunk])
      const header = parseProxyHeader(config.version, gathered)
      if (header.is === 'incomplete') return
      done()
      if (header.is === 'malformed') this.#refuse(socket, 'proxy_header', header.problem)
      else if (header.is === 'local') socket.destroy()
      else {
        socket.pause()
        const rest = gathered.subarray(header.bytes)
        if (rest.length > 0) socket.unshift(rest)
        this.#pass(socket, header.peer)
      }
    }
    socket.once('close', done)
    socket.once('end', onEnd)
    socket.on('data', onData)
  }

  #pass(socket: Socket, peer: ProxiedPeer): void {
    const { requireTls, requireCertificate = false } = this.#parts.config
    const { address, port, commonName } = peer
    if (requireTls && !peer.tls) {
      this.#refuse(socket, 'proxy_no_tls', `${address}:${port} did not connect using TLS`)
      return
    }
    if (requireCertificate && !peer.verifiedCertificate) {
      this.#refuse(
        socket,
        'proxy_no_certificate',
        `${address}:${port} did not provide a certificate`,
      )
      return
    }
    this.#parts.admitted(socket, {
      address,
      port,
      certificate: undefined,
      provenName: commonName,
    })
  }

  #refuse(socket: Socket, reason: string, detail: string): void {
    this.#parts.refusals.note(reason, detail, socket)
    socket.destroy()
  }
}
