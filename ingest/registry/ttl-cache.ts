import type { Clock } from '../../core/clock.ts'

export interface CacheStatistics {
  readonly hits: number
  readonly misses: number
  readonly size: number
}

/** Entries by text, each for its time, at most `maxEntries`. Memory only; never throws. */
export class TtlCache<V> {
  readonly #maxEntries: number
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #dropped: (key: string, value: V) => void
  /** In the order of `put`. */
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>()
  #hits = 0
  #misses = 0

  /** @param dropped called for each entry that leaves, for whatever reason */
  constructor(
    maxEntries: number,
    clock: Pick<Clock, 'monotonic'>,
    dropped: (key: string, value: V) => void = () => undefined,
  ) {
    this.#maxEntries = maxEntries
    this.#clock = clock
    this.#dropped = dropped
  }

  get statistics(): CacheStatistics {
    return { hits: this.#hits, misses: this.#misses, size: this.#entries.size }
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry !== undefined && this.#clock.monotonic() < entry.until) {
      this.#hits++
      return entry.value
    }
    this.#misses++
    return undefined
  }

  /** Like `get`, and counts as nothing. */
  peek(key: string): V | undefined {
    const entry = this.#entries.get(key)
    return entry !== undefined && this.#clock.monotonic() < entry.until ? entry.value : undefined
  }

  put(key: string, value: V, ttlMs: number): void {
    this.delete(key)
    if (this.#entries.size >= this.#maxEntries) this.#makeRoom()
    this.#entries.set(key, { value, until: this.#clock.monotonic() + ttlMs })
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#dropped(key, entry.value)
  }

  clear(): void {
    for (const key of this.#entries.keys()) this.delete(key)
  }

  /**
   * What has expired, or else the oldest tenth: then the next look at every entry is a tenth of the
   * cache away.
   */
  #makeRoom(): void {
    const now = this.#clock.monotonic()
    const before = this.#entries.size
    for (const [key, { until }] of this.#entries) if (until <= now) this.delete(key)
    if (this.#entries.size < before) return
    let left = Math.max(1, Math.trunc(this.#maxEntries / 10))
    for (const key of this.#entries.keys()) {
      if (left-- === 0) break
      this.delete(key)
    }
  }
}
