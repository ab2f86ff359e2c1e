import type { Clock } from '../core/clock.ts'

/** Lets one line per key and second through: a fault that hits every message must not fill a disk. */
export class LogLimit {
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #keys = new Map<string, { until: number; suppressed: number }>()

  constructor(clock: Clock, everyMs = 1_000) {
    this.#clock = clock
    this.#everyMs = everyMs
  }

  /** Calls `write` with the number of lines held back since the last one. `key`: a closed set. */
  pass(key: string, write: (suppressed: number) => void): void {
    const now = this.#clock.monotonic()
    const state = this.#keys.get(key)
    if (state !== undefined && now < state.until) {
      state.suppressed++
      return
    }
    this.#keys.set(key, { until: now + this.#everyMs, suppressed: 0 })
    write(state?.suppressed ?? 0)
  }
}
