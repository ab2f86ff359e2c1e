/**
 * Log lines that strangers can cause: a few per second and kind, then only a count. Metrics carry
 * the full numbers.
 */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'

const PER_SECOND = 5

export class RateLimitedNotes {
  readonly #clock: Clock
  readonly #log: Log
  readonly #kinds = new Map<string, { second: number; notes: number; withheld: number }>()

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** @param kind of a closed set: one entry of memory each */
  note(kind: string, write: () => void): void {
    const second = Math.floor(this.#clock.monotonic() / 1000)
    let state = this.#kinds.get(kind)
    if (state === undefined || state.second !== second) {
      if (state !== undefined && state.withheld > 0) {
        const { withheld } = state
        this.#log.warn(
          { event: 'notes.withheld', kind, withheld },
          `${withheld} more lines of this kind withheld within a second`,
        )
      }
      state = { second, notes: 0, withheld: 0 }
      this.#kinds.set(kind, state)
    }
    if (++state.notes <= PER_SECOND) write()
    else state.withheld++
  }
}
