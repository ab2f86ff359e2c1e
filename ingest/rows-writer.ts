/** Accepted messages into `telemetry`: BatchWriter over a store, with its metrics, log and state. */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { BatchSurroundings } from './batch.ts'
import type { LogLimit } from './log-limit.ts'
import { faultCodeOf, faultOf, type Fault } from './sqlstate.ts'
import { TelemetryStore, type RowStore } from './store.ts'
import type { Row, Telemetry } from './telemetry.ts'
import { tenantLabel } from './tenant-label.ts'
import type { Turn } from './turns.ts'
import { BatchWriter } from './writer.ts'

/** Bytes of one batch at the most; a COPY is one message in PostgreSQL's memory. */
const MAX_BATCH_BYTES = 8 << 20
/** A batch that takes longer is a word in the log. */
const SLOW_MS = 100

/** A message on its way into the table. */
export interface Accepted {
  readonly telemetry: Telemetry
  readonly row: Row
  readonly turn: Turn
}

export interface RowsWriterParts {
  readonly config: Pick<IngestConfig, 'batchSize' | 'writers'>
  readonly store: RowStore
  /** Called after a COMMIT; must not throw. */
  readonly committed: (rows: readonly Row[]) => void
  /** A row that PostgreSQL refused when it was alone. */
  readonly refused: (accepted: Accepted, code: string) => void
  readonly around: BatchSurroundings
  readonly clock: Clock
  readonly log: Log
  readonly limit: LogLimit
  readonly metrics: Metrics
}

export class RowsWriter {
  readonly #parts: RowsWriterParts
  readonly #writer: BatchWriter<Accepted>
  #written = 0
  #batches = 0
  #errors = 0
  #lastBatchMs: number | undefined
  #lastWriteAt: number | undefined
  #trouble: Exclude<Fault, 'rejected'> | undefined

  constructor(parts: RowsWriterParts) {
    this.#parts = parts
    const { batchSize, writers } = parts.config
    this.#writer = new BatchWriter<Accepted>(
      { maxItems: batchSize, maxBytes: MAX_BATCH_BYTES, inFlight: writers },
      {
        write: (batch) => this.#write(batch),
        stored: (batch) => this.#stored(batch),
        refused: (accepted, cause) => {
          parts.metrics.ingestRowsIsolated.inc()
          parts.refused(accepted, faultCodeOf(cause))
        },
        faultOf,
        suspectOf: (cause) => TelemetryStore.suspectOf(cause),
        failed: (cause, fault, items) => this.#failed(cause, fault, items),
      },
      parts.around,
      ({ telemetry }) => telemetry.payload.length + 256,
    )
  }

  /** Rows committed since the start. */
  get written(): number {
    return this.#written
  }

  /** Of the last COMMIT, milliseconds since 1970. */
  get lastWriteAt(): number | undefined {
    return this.#lastWriteAt
  }

  /** For the line of statistics, under the names the platform has for them. */
  get statistics(): {
    readonly batches_flushed: number
    readonly write_errors: number
    readonly last_flush_latency_ms: number | null
  } {
    return {
      batches_flushed: this.#batches,
      write_errors: this.#errors,
      last_flush_latency_ms: this.#lastBatchMs ?? null,
    }
  }

  /** Why the last write failed; undefined when it did not. */
  get trouble(): Exclude<Fault, 'rejected'> | undefined {
    return this.#trouble
  }

  push(accepted: Accepted): void {
    this.#writer.push(accepted)
  }

  async #write(batch: readonly Accepted[]): Promise<void> {
    const { store, clock, log, limit, metrics } = this.#parts
    const began = clock.monotonic()
    await store.insert(batch.map(({ row }) => row))
    const ms = clock.monotonic() - began
    metrics.ingestBatchSeconds.observe({ tenant_id: '__all__' }, ms / 1000)
    this.#batches++
    this.#lastBatchMs = Math.round(ms)
    if (ms <= SLOW_MS) return
    limit.pass('batch.slow', (suppressed) => {
      const event = { event: 'batch.slow', rows: batch.length, ms: Math.round(ms), suppressed }
      log.warn(event, 'PostgreSQL took long to commit a batch')
    })
  }

  #stored(batch: readonly Accepted[]): void {
    const { committed, clock, metrics } = this.#parts
    this.#trouble = undefined
    this.#written += batch.length
    this.#lastWriteAt = clock.now()
    for (const { turn } of batch) turn.done()
    committed(batch.map(({ row }) => row))
    metrics.ingestRowsCommitted.inc(batch.length)
    metrics.ingestBatchRows.observe(batch.length)
    for (const [tenant_id, count] of countByLabel(batch)) {
      metrics.ingestMessages.inc({ tenant_id, result: 'accepted' }, count)
    }
  }

  #failed(err: unknown, fault: Fault, rows: number): void {
    const { log, limit, metrics } = this.#parts
    metrics.ingestWriteErrors.inc({ sqlstate: faultCodeOf(err) })
    this.#errors++
    if (fault === 'rejected') return
    this.#trouble = fault
    metrics.ingestRetries.inc()
    limit.pass(`batch.${fault}`, (suppressed) => {
      if (fault === 'transient') {
        log.warn(
          { event: 'batch.retried', err, rows, suppressed },
          'rows wait for PostgreSQL and are not acknowledged',
        )
      } else {
        log.error(
          { event: 'batch.held', err, rows, suppressed },
          'PostgreSQL refuses rows for a reason that may not be theirs: they are held',
        )
      }
    })
  }
}

function countByLabel(batch: readonly Accepted[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { telemetry } of batch) {
    const label = tenantLabel(telemetry.publisher, telemetry.tenantId)
    counts.set(label, (counts.get(label) ?? 0) + 1)
  }
  return counts
}
