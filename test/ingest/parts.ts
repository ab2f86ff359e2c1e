/** A pipeline over stores that a test decides on, without a database. */
import type { IngestConfig } from '../../config/types.ts'
import { systemClock } from '../../core/clock.ts'
import { createMetrics, type Metrics } from '../../core/metrics.ts'
import type { BatchSurroundings } from '../../ingest/batch.ts'
import type { Check } from '../../ingest/checks/check.ts'
import { checksOf } from '../../ingest/checks/index.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import { Pipeline } from '../../ingest/pipeline.ts'
import { Quarantine } from '../../ingest/quarantine.ts'
import { RowsWriter } from '../../ingest/rows-writer.ts'
import { rejectionOf, type Rejection, type Row } from '../../ingest/telemetry.ts'
import { Turns } from '../../ingest/turns.ts'
import { RememberingLog } from '../helpers/log.ts'
import { MAX_PAYLOAD } from './messages.ts'

/** Commits when the test says so; `open` lets everything through at once. */
export class FakeStore<T> {
  readonly isAvailable = true
  readonly writes: { readonly items: readonly T[]; commit(): void; fail(err: Error): void }[] = []
  readonly committed: T[] = []
  open = true
  #watchers: { count: number; resolve: () => void }[] = []

  insert(items: readonly T[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const commit = () => {
        this.committed.push(...items)
        resolve()
      }
      this.writes.push({ items, commit, fail: reject })
      if (this.open) commit()
      this.#watchers = this.#watchers.filter((watcher) => {
        if (this.writes.length < watcher.count) return true
        watcher.resolve()
        return false
      })
    })
  }

  /** Settles once so many writes were begun. */
  begun(count: number): Promise<void> {
    if (this.writes.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#watchers.push({ count, resolve }))
  }

  write(index: number): { readonly items: readonly T[]; commit(): void; fail(err: Error): void } {
    const write = this.writes[index]
    if (write === undefined) throw new Error(`there is no write ${index}`)
    return write
  }
}

export interface Parts {
  readonly pipeline: Pipeline
  readonly turns: Turns
  readonly rows: FakeStore<Row>
  readonly rowsWriter: RowsWriter
  readonly rejections: FakeStore<Rejection>
  readonly quarantine: Quarantine
  readonly counted: string[]
  readonly log: RememberingLog
  readonly metrics: Metrics
  readonly abort: AbortController
}

export function makeParts(
  options: Partial<Omit<IngestConfig, 'database'>> & {
    readonly checks?: readonly Check[]
    readonly limit?: LogLimit
  } = {},
): Parts {
  const config = { batchSize: 10, writers: 2, acknowledge: 'commit', ...options } as const
  const clock = { ...systemClock, sleep: () => new Promise<void>((done) => setImmediate(done)) }
  const log = new RememberingLog()
  const metrics = createMetrics()
  const abort = new AbortController()
  const around = (): BatchSurroundings => ({
    clock,
    random: () => 1,
    signal: abort.signal,
    commits: 0,
  })
  const shared = {
    config,
    clock,
    log: log.log,
    limit: options.limit ?? new LogLimit(clock, 0),
    metrics,
  }
  const rows = new FakeStore<Row>()
  const rejections = new FakeStore<Rejection>()
  const counted: string[] = []
  const quarantine = new Quarantine({
    ...shared,
    store: rejections,
    storesRejects: options.storeRejects ?? true,
    counters: { add: (_, tenantId, reason) => counted.push(`${tenantId} ${reason}`) },
    around: around(),
  })
  const rowsWriter = new RowsWriter({
    ...shared,
    store: rows,
    committed: () => undefined,
    refused: ({ telemetry, turn }, code) => {
      quarantine.record(rejectionOf(telemetry, `ROW_REJECTED:${code}`), turn)
    },
    around: around(),
  })
  const turns = new Turns(options.maxWaitingRecords ?? 1000, options.maxWaitingBytes ?? 1 << 20)
  const pipeline = new Pipeline({
    ...shared,
    checks: options.checks ?? checksOf({ maxPayloadBytes: MAX_PAYLOAD }),
    turns,
    rows: rowsWriter,
    quarantine,
  })
  return { pipeline, turns, rows, rowsWriter, rejections, quarantine, counted, log, metrics, abort }
}

/** Everything that was begun in this turn of the event loop, and what follows from it. */
export function quiet(): Promise<void> {
  return new Promise((resolve) => {
    let turns = 10
    const next = () => (turns-- === 0 ? resolve() : setImmediate(next))
    next()
  })
}
