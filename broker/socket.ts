import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'

/** How long what was written last may take to leave. */
const LINGER_MS = 1000

/** Whether a socket is read: it is not while what it says could only be kept. */
export class Reading {
  readonly #socket: Duplex
  #isOn = true

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  get isOn(): boolean {
    return this.#isOn
  }

  regulate(isOn: boolean): void {
    if (isOn === this.#isOn) return
    this.#isOn = isOn
    if (isOn) this.#socket.resume()
    else this.#socket.pause()
  }
}

/** What was written last (CONNACK with a refusal) still leaves before the socket goes. */
export function endSocket(socket: Duplex, clock: Clock): void {
  if (socket.destroyed) return
  socket.end()
  if (socket.writableLength === 0) {
    socket.destroy()
    return
  }
  socket.once('finish', () => socket.destroy())
  clock.after(LINGER_MS, () => socket.destroy())
}
