/** Chance that is the same in every run. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** 0 to 1. Mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  /** 0 to `below` - 1. */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)]
    if (picked === undefined) throw new Error('nothing to pick from')
    return picked
  }

  /** One to three changes: bytes cut out, bits flipped, tokens put in or over others. */
  damage(bytes: Buffer, tokens: readonly (string | Buffer)[]): Buffer {
    let damaged = Buffer.from(bytes)
    for (let i = this.below(3); i >= 0; i--) {
      const at = this.below(damaged.length + 1)
      const kind = this.below(4)
      const token = kind === 0 ? Buffer.alloc(0) : Buffer.from(this.pick(tokens))
      const skip = kind === 1 ? 0 : 1 + this.below(3)
      if (kind === 3 && at < damaged.length) damaged[at] = (damaged[at] ?? 0) ^ (1 << this.below(8))
      else damaged = Buffer.concat([damaged.subarray(0, at), token, damaged.subarray(at + skip)])
    }
    return damaged
  }
}
