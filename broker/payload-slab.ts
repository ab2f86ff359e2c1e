/**
 * Memory for small payloads that wait for storage. A payload is a view of the 64 KiB its socket was
 * read in, and would keep them; copied into Node's own pool it would share that with whatever short-lived
 * Buffer was made at the time. Here stand only payloads, one behind the other: those of a slab come
 * together, are stored together and go together.
 */
const SLAB_BYTES = 16_384
/** A larger one has memory of its own. */
const SMALL_BYTES = 2048
/** A payload may keep this much more than twice itself. */
const SLACK_BYTES = 1024

export class PayloadSlab {
  #slab = Buffer.alloc(0)
  #used = 0

  /** The payload itself where it keeps little else, or a copy. Hot path. */
  own(payload: Buffer): Buffer {
    const { length } = payload
    if (length === 0 || payload.buffer.byteLength <= 2 * length + SLACK_BYTES) return payload
    if (length > SMALL_BYTES) {
      const own = Buffer.allocUnsafeSlow(length)
      payload.copy(own)
      return own
    }
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#used = 0
    }
    const start = this.#used
    this.#used += length
    payload.copy(this.#slab, start)
    return this.#slab.subarray(start, this.#used)
  }
}
