/** How many sockets a listener holds; the next one over a cap is closed right after accept. */
import type { Socket } from 'node:net'
import type { Metrics } from '../../core/metrics.ts'

export interface TotalCap {
  open: number
  readonly max: number
}

export class Gate {
  readonly #listener: string
  readonly #max: number
  readonly #total: TotalCap
  readonly #metrics: Pick<Metrics, 'connectionsOpen' | 'connectsRefused'>
  readonly #refused: (socket: Socket) => void
  readonly #sockets = new Set<Socket>()

  /** @param max sockets of this listener; negative: no cap */
  constructor(
    listener: string,
    max: number,
    total: TotalCap,
    metrics: Pick<Metrics, 'connectionsOpen' | 'connectsRefused'>,
    refused: (socket: Socket) => void = () => undefined,
  ) {
    this.#refused = refused
    this.#listener = listener
    this.#max = max
    this.#total = total
    this.#metrics = metrics
  }

  /** False: the socket was closed, without a word as from Mosquitto. */
  admit(socket: Socket): boolean {
    const full = this.#max >= 0 && this.#sockets.size >= this.#max
    if (full || this.#total.open >= this.#total.max) {
      this.#metrics.connectsRefused.inc({ reason: 'max_connections' })
      this.#refused(socket)
      socket.destroy()
      return false
    }
    this.#sockets.add(socket)
    this.#total.open++
    this.#metrics.connectionsOpen.set({ listener: this.#listener }, this.#sockets.size)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#total.open--
      this.#metrics.connectionsOpen.set({ listener: this.#listener }, this.#sockets.size)
    })
    return true
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
