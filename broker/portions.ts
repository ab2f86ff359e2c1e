/**
 * Work that may take long (the retained messages owed to 10 000 new subscriptions), cut into portions
 * between which everybody else is served. Those who are at it take turns.
 */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { currentTurn } from './turn.ts'

/** Of one turn of the event loop. */
const PORTION_MS = 5

interface Job {
  step(): boolean
  done(): void
}

export class Portions {
  readonly #clock: Clock
  readonly #log: Log
  readonly #jobs: Job[] = []
  #isScheduled = false
  #atOnceIn = -1
  #end = 0

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /**
   * Calls `step` until it answers false: a portion at once, unless others are at it or had theirs in
   * this turn, and the rest in later turns.
   *
   * @param done called after the last step, if that is in a later turn
   * @returns true when all is done already
   */
  run(step: () => boolean, done: () => void): boolean {
    if (this.#jobs.length === 0 && !this.#first(step)) return true
    this.#jobs.push({ step, done })
    this.#schedule()
    return false
  }

  /** @returns whether there is more to do */
  #first(step: () => boolean): boolean {
    const now = this.#clock.monotonic()
    const turn = currentTurn()
    if (turn !== this.#atOnceIn) {
      this.#atOnceIn = turn
      this.#end = now + PORTION_MS
    }
    if (now >= this.#end) return true
    while (step()) if (this.#clock.monotonic() >= this.#end) return true
    return false
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  #turn(): void {
    const end = this.#clock.monotonic() + PORTION_MS
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
      if (this.#goesOn(job)) this.#jobs.push(job)
      else job.done()
      if (this.#clock.monotonic() >= end) break
    }
    if (this.#jobs.length > 0) this.#schedule()
  }

  #goesOn({ step }: Job): boolean {
    try {
      return step()
    } catch (err) {
      this.#log.error({ event: 'portion.failed', err }, 'work in portions failed on a bug of ours')
      return false
    }
  }
}
