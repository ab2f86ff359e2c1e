/**
 * What Aedes takes for a socket: our end feeds it packets and takes what it writes.
 *
 * Of a stream Aedes 1.2.0 uses no more than this. A Duplex would put its states, its buffers and
 * four more ticks between the two, for each CONNECT.
 */
import { EventEmitter } from 'node:events'

export class ClientStream extends EventEmitter {
  #unread: Buffer | null = null
  #isDestroyed = false

  /** Bytes Aedes wrote. */
  protected written(_bytes: Buffer): void {}

  /** Aedes, or we, let go; called once. */
  protected released(): void {}

  get destroyed(): boolean {
    return this.#isDestroyed
  }

  /** Asked by `stream.finished`, which would otherwise make an Error of each end. */
  get writableFinished(): boolean {
    return this.#isDestroyed
  }

  /** Aedes reads it within the call, unless it is closed. */
  feed(bytes: Buffer): void {
    this.#unread = bytes
    this.emit('readable')
  }

  read(): Buffer | null {
    const bytes = this.#unread
    this.#unread = null
    return bytes
  }

  write(bytes: Buffer): boolean {
    if (!this.#isDestroyed) this.written(bytes)
    return true
  }

  /** What went wrong, which Aedes names here, is told by our own end. */
  destroy(): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    this.released()
    // Later, as from any stream: Aedes destroys it in the midst of its own closing.
    process.nextTick(() => this.emit('close'))
  }
}
