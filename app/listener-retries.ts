/** Listeners that could not be opened when their turn came: tried again, after delays that double. */
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'

const FIRST_DELAY_MS = 1000
const MAX_DELAY_MS = 60_000

interface Failure {
  readonly problem: string
  readonly delayMs: number
  /** Of the next try. */
  cancel(): void
}

export class ListenerRetries {
  readonly #clock: Pick<Clock, 'after'>
  readonly #log: Log
  readonly #metrics: Pick<Metrics, 'listenerFailed'>
  readonly #failures = new Map<string, Failure>()

  constructor(parts: {
    readonly clock: Pick<Clock, 'after'>
    readonly log: Log
    readonly metrics: Pick<Metrics, 'listenerFailed'>
  }) {
    this.#clock = parts.clock
    this.#log = parts.log
    this.#metrics = parts.metrics
  }

  /** What keeps the listener closed; undefined: it never failed, or it opened since. */
  problemOf(listener: string): string | undefined {
    return this.#failures.get(listener)?.problem
  }

  /** It could not be opened; `retry` is called after 1 s at first, and after a minute at the most. */
  failed(listener: string, err: unknown, retry: () => void): void {
    const before = this.#failures.get(listener)
    before?.cancel()
    const delayMs =
      before === undefined ? FIRST_DELAY_MS : Math.min(before.delayMs * 2, MAX_DELAY_MS)
    const problem = messageOf(err)
    const cancel = this.#clock.after(delayMs, retry)
    this.#failures.set(listener, { problem, delayMs, cancel })
    this.#metrics.listenerFailed.set({ listener }, 1)
    const fields = { event: 'listener.failed', listener, err, retryInMs: delayMs }
    this.#log.error(fields, `listener ${listener} could not open, and is tried again`)
  }

  /** It is open. */
  opened(listener: string): void {
    const failure = this.#failures.get(listener)
    if (failure === undefined) return
    failure.cancel()
    this.#failures.delete(listener)
    this.#metrics.listenerFailed.set({ listener }, 0)
  }

  /** Nothing is tried after this. */
  stop(): void {
    for (const { cancel } of this.#failures.values()) cancel()
  }
}
