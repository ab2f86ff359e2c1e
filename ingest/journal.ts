/**
 * Events that are worth a row but nobody's wait: kept in memory for a moment, written together. When
 * more come than can be written the oldest are lost, and counted. A batch that fails is tried again;
 * one that PostgreSQL does not let in at all (row-level security, no privilege) is lost, said once,
 * and tried again a minute later with others.
 */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { writeBatch, type BatchSurroundings, type BatchTarget } from './batch.ts'
import { Fifo } from './fifo.ts'
import type { LogLimit } from './log-limit.ts'
import { faultCodeOf, faultOf } from './sqlstate.ts'

const FLUSH_MS = 100
const MAX_BATCH = 1_000
const MAX_HELD = 50_000
const REFUSED_MS = 60_000

export interface JournalParts<T> {
  /** For logs and metrics. */
  readonly name: string
  /** One transaction: all or none. */
  readonly write: (events: readonly T[]) => Promise<void>
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  readonly limit: LogLimit
  readonly metrics: Metrics
  /** Default 50 000. */
  readonly maxHeld?: number
}

export class Journal<T> {
  readonly #parts: JournalParts<T>
  readonly #target: BatchTarget<T>
  readonly #around: BatchSurroundings
  readonly #abort = new AbortController()
  readonly #waiting = new Fifo<T>()
  #inFlight = 0
  #cancelTimer: (() => void) | undefined
  #idlers: (() => void)[] = []
  #refusedUntil = Number.NEGATIVE_INFINITY
  #isRefusalSaid = false

  constructor(parts: JournalParts<T>) {
    this.#parts = parts
    const { clock, random } = parts
    this.#around = { clock, random, signal: this.#abort.signal, commits: 0 }
    this.#target = {
      write: (events) => this.#write(events),
      stored: () => undefined,
      refused: (_event, cause) => this.#lose(1, cause),
      faultOf,
      failed: (cause, fault) => this.#failed(cause, fault),
    }
  }

  /** Events that are not written yet. */
  get held(): number {
    return this.#waiting.length + this.#inFlight
  }

  /** Memory only; never throws. */
  add(event: T): void {
    const { clock, maxHeld = MAX_HELD } = this.#parts
    if (this.#abort.signal.aborted || clock.monotonic() < this.#refusedUntil) {
      this.#count(1)
      return
    }
    if (this.held >= maxHeld) this.#lose(this.#waiting.shift() === undefined ? 0 : 1)
    this.#waiting.push(event)
    if (this.#inFlight > 0) return
    if (this.#waiting.length >= MAX_BATCH) this.#start()
    else this.#cancelTimer ??= clock.after(FLUSH_MS, () => this.#start())
  }

  /** Writes what is held without waiting for more; settles when nothing is held, or at `close`. */
  idle(): Promise<void> {
    if (this.held === 0 || this.#abort.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idlers.push(resolve)
      if (this.#inFlight === 0) this.#start()
    })
  }

  /** What is held is lost. */
  close(): void {
    this.#cancelTimer?.()
    this.#abort.abort()
    if (this.held > 0) this.#lose(this.held)
    this.#settleIdlers()
  }

  #start(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#inFlight > 0 || this.#abort.signal.aborted) return
    const batch: T[] = []
    while (batch.length < MAX_BATCH) {
      const event = this.#waiting.shift()
      if (event === undefined) break
      batch.push(event)
    }
    if (batch.length === 0) return this.#settleIdlers()
    this.#inFlight = batch.length
    void writeBatch(batch, this.#target, this.#around).finally(() => {
      this.#inFlight = 0
      if (this.#waiting.length >= MAX_BATCH || this.#idlers.length > 0) this.#start()
      else if (this.#waiting.length > 0) {
        this.#cancelTimer ??= this.#parts.clock.after(FLUSH_MS, () => this.#start())
      }
    })
  }

  #settleIdlers(): void {
    for (const resolve of this.#idlers.splice(0)) resolve()
  }

  async #write(events: readonly T[]): Promise<void> {
    try {
      await this.#parts.write(events)
      this.#isRefusalSaid = false
    } catch (err) {
      if (faultOf(err) !== 'unclear') throw err
      this.#refused(events.length, err)
    }
  }

  #refused(events: number, err: unknown): void {
    const { clock, log, name } = this.#parts
    this.#count(events)
    this.#refusedUntil = clock.monotonic() + REFUSED_MS
    if (this.#isRefusalSaid) return
    this.#isRefusalSaid = true
    const text = `PostgreSQL lets nothing into the ${name} journal: its events are lost, and counted`
    log.error({ event: 'journal.refused', journal: name, err }, text)
  }

  #lose(events: number, err?: unknown): void {
    if (events === 0) return
    const { limit, log, name } = this.#parts
    this.#count(events)
    limit.pass(`journal.lost.${name}`, (suppressed) =>
      log.warn(
        { event: 'journal.lost', journal: name, events, err, suppressed },
        `events of the ${name} journal are lost`,
      ),
    )
  }

  #count(events: number): void {
    this.#parts.metrics.ingestEventsLost.inc({ journal: this.#parts.name }, events)
  }

  #failed(err: unknown, fault: string): void {
    const { limit, log, metrics, name } = this.#parts
    metrics.ingestWriteErrors.inc({ sqlstate: faultCodeOf(err) })
    if (fault !== 'transient') return
    limit.pass(`journal.retried.${name}`, (suppressed) =>
      log.warn(
        { event: 'journal.retried', journal: name, err, suppressed },
        `the ${name} journal waits for PostgreSQL`,
      ),
    )
  }
}
