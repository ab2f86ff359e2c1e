import type { Clock } from '../../core/clock.ts'

/** Read at each message, so that a change applies at once. */
export interface RateLimits {
  /** Messages per second and device, refilled continuously; 0: none come after the burst. */
  readonly rateLimitRps: number
  /** Messages at once; below 1 nothing passes. */
  readonly rateLimitBurst: number
}

interface Bucket {
  tokens: number
  /** Of the monotonic clock. */
  at: number
}

export const MAX_BUCKETS = 250_000

/** One bucket of tokens per device, by a clock that never jumps. */
export class TokenBuckets {
  readonly #limits: RateLimits
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #maxBuckets: number
  readonly #buckets = new Map<string, Bucket>()

  /** @param maxBuckets at the bound the oldest goes: its device begins with a full one again */
  constructor(
    limits: RateLimits,
    clock: Pick<Clock, 'monotonic'>,
    maxBuckets: number = MAX_BUCKETS,
  ) {
    this.#limits = limits
    this.#clock = clock
    this.#maxBuckets = maxBuckets
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes a token; false: there is none left. */
  take(device: string): boolean {
    const { rateLimitRps, rateLimitBurst } = this.#limits
    const now = this.#clock.monotonic()
    let bucket = this.#buckets.get(device)
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#maxBuckets) this.#dropOldest()
      bucket = { tokens: rateLimitBurst, at: now }
      this.#buckets.set(device, bucket)
    } else {
      const refilled = bucket.tokens + ((now - bucket.at) / 1000) * rateLimitRps
      bucket.tokens = Math.min(rateLimitBurst, refilled)
      bucket.at = now
    }
    if (!(bucket.tokens >= 1)) return false
    bucket.tokens -= 1
    return true
  }

  /** Forgets buckets that nobody has used for so long. */
  sweep(idleMs: number): void {
    const before = this.#clock.monotonic() - idleMs
    for (const [device, { at }] of this.#buckets) if (at < before) this.#buckets.delete(device)
  }

  #dropOldest(): void {
    for (const device of this.#buckets.keys()) {
      this.#buckets.delete(device)
      return
    }
  }
}
