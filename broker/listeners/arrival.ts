/** What is known of a peer before its CONNECT. */
import type { Socket } from 'node:net'
import type { PeerCertificate } from '../ports.ts'

export interface Arrival {
  /** IP address, or `unix`; behind a proxy the one the proxy names. */
  readonly address: string
  readonly port: number
  readonly certificate: PeerCertificate | undefined
  /** Proved before MQTT began: identity of a pre-shared key, or CN a proxy has verified. */
  readonly provenName: string | undefined
  /** Does what proved it still hold? Absent: it cannot change, or is asked about elsewhere. */
  readonly isStillProven?: () => boolean
}

export function arrivalOf(socket: Socket): Arrival {
  return {
    address: socket.remoteAddress ?? 'unix',
    port: socket.remotePort ?? 0,
    certificate: undefined,
    provenName: undefined,
  }
}

/** Clients behind a proxy, by the address and port of the proxy's socket, which TLS over it shares. */
export class Proxied {
  readonly #arrivals = new Map<string, Arrival>()

  add(socket: Socket, arrival: Arrival): void {
    const key = keyOf(socket)
    this.#arrivals.set(key, arrival)
    socket.once('close', () => this.#arrivals.delete(key))
  }

  /** The client's own address in place of the proxy's. */
  named(socket: Socket, arrival: Arrival): Arrival {
    const client = this.#arrivals.get(keyOf(socket))
    return client === undefined
      ? arrival
      : { ...arrival, address: client.address, port: client.port }
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''}|${remotePort ?? 0}`
}
