/**
 * Sockets inside a TLS handshake: a handshake costs about two milliseconds of CPU before anything is
 * known of the peer, so their number is capped, in all and for each address.
 */
import type { Socket } from 'node:net'

export class Handshakes {
  readonly #max: number
  readonly #maxPerAddress: number
  /** By remote address and port, which a TLSSocket shares with the socket beneath it. */
  readonly #running = new Map<string, string>()
  readonly #perAddress = new Map<string, number>()

  constructor(max: number, maxPerAddress: number) {
    this.#max = max
    this.#maxPerAddress = maxPerAddress
  }

  /** False when a cap is reached; otherwise the socket counts until `finished` or its close. */
  begin(socket: Socket): boolean {
    const address = socket.remoteAddress
    // A Unix socket has none: who may use it is for the file's mode to say, and `max_connections`
    // bounds how many. (A TCP socket without one is closed already.)
    if (address === undefined) return true
    const key = keyOf(socket)
    const ofAddress = this.#perAddress.get(address) ?? 0
    if (this.#running.size >= this.#max || ofAddress >= this.#maxPerAddress) return false
    this.#running.set(key, address)
    this.#perAddress.set(address, ofAddress + 1)
    socket.once('close', () => this.#end(key))
    return true
  }

  finished(socket: Socket): void {
    this.#end(keyOf(socket))
  }

  #end(key: string): void {
    const address = this.#running.get(key)
    if (address === undefined) return
    this.#running.delete(key)
    const left = (this.#perAddress.get(address) ?? 1) - 1
    if (left === 0) this.#perAddress.delete(address)
    else this.#perAddress.set(address, left)
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''}|${socket.remotePort ?? 0}`
}
