/**
 * Packets that came while PUBLISHes before them wait for their COMMIT, in order. Each is a copy, for
 * the smallest would otherwise keep the 64 KiB it was read in, and counts with what an object costs.
 */
import type { Frame } from './packets/index.ts'

/** Of a Frame and its Buffer besides the bytes (measured on Node 20: 280). */
const OVERHEAD_BYTES = 256
/** Taken entries are cut off in portions: a shift moves all that follow. */
const CUT_AT = 256

export class HeldFrames {
  #frames: (Frame | undefined)[] = []
  #head = 0
  #bytes = 0

  get isEmpty(): boolean {
    return this.#head === this.#frames.length
  }

  /** Of memory, by estimate. */
  get bytes(): number {
    return this.#bytes
  }

  push(frame: Frame): void {
    this.#frames.push(copyOf(frame))
    this.#bytes += frame.bytes.length + OVERHEAD_BYTES
  }

  shift(): Frame | undefined {
    const frame = this.#frames[this.#head]
    if (frame === undefined) return undefined
    this.#frames[this.#head++] = undefined
    this.#bytes -= frame.bytes.length + OVERHEAD_BYTES
    if (this.#head === this.#frames.length || (this.#head >= CUT_AT && this.#isMostlyGone)) {
      this.#frames = this.#frames.slice(this.#head)
      this.#head = 0
    }
    return frame
  }

  /** Back to the front: it was its turn, and it could not be served. */
  unshift(frame: Frame): void {
    if (this.#head > 0) this.#frames[--this.#head] = copyOf(frame)
    else this.#frames.unshift(copyOf(frame))
    this.#bytes += frame.bytes.length + OVERHEAD_BYTES
  }

  clear(): void {
    this.#frames = []
    this.#head = 0
    this.#bytes = 0
  }

  get #isMostlyGone(): boolean {
    return this.#head * 2 >= this.#frames.length
  }
}

function copyOf(frame: Frame): Frame {
  const { type, flags, bytes, bodyStart } = frame
  if (bytes.buffer.byteLength === bytes.length) return frame
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return { type, flags, bytes: own, bodyStart }
}
