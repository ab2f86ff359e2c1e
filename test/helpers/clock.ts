import type { Clock } from '../../core/clock.ts'

interface Timer {
  at: number
  readonly everyMs: number | undefined
  readonly run: () => void
}

/** A Clock that stands still until a test moves it; timers run in order of time, synchronously. */
export class FakeClock implements Clock {
  #now: number
  readonly #timers = new Set<Timer>()

  constructor(now: number = Date.parse('2026-03-01T00:00:00Z')) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.after(ms, resolve)
      signal?.addEventListener('abort', () => {
        cancel()
        resolve()
      })
    })
  }

  every(ms: number, tick: () => void): () => void {
    return this.#add({ at: this.#now + ms, everyMs: ms, run: tick })
  }

  after(ms: number, then: () => void): () => void {
    return this.#add({ at: this.#now + ms, everyMs: undefined, run: then })
  }

  /** Timers that are due later. */
  get pending(): number {
    return this.#timers.size
  }

  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at)
      if (next === undefined || next.at > end) break
      this.#now = next.at
      if (next.everyMs === undefined) this.#timers.delete(next)
      else next.at += next.everyMs
      next.run()
    }
    this.#now = end
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }
}
