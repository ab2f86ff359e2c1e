/**
 * From a message to its place: decoded, checked, then pushed to the rows or to the quarantine. Every
 * message takes its turn before anything is known about it, so that whatever becomes of it, and
 * whenever, it settles after those before it.
 */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { runChecks, type Check } from './checks/check.ts'
import { decode, rowOf, type Message } from './decode.ts'
import { IngestOverloaded, IngestStopped } from './errors.ts'
import type { LogLimit } from './log-limit.ts'
import type { Quarantine } from './quarantine.ts'
import type { Registry } from './registry/index.ts'
import type { RowsWriter } from './rows-writer.ts'
import { faultCodeOf } from './sqlstate.ts'
import type { Reason } from './reasons.ts'
import { rejectionOf, type Denied, type Telemetry } from './telemetry.ts'
import { tenantLabel } from './tenant-label.ts'
import type { Turn, Turns } from './turns.ts'

/** What a record costs beside its payload: turn, row, promise, places in queues. */
const RECORD_BYTES = 512

export interface PipelineParts {
  readonly config: Pick<IngestConfig, 'acknowledge' | 'timestamps' | 'messageKey'>
  readonly checks: readonly Check[]
  readonly turns: Turns
  readonly rows: Pick<RowsWriter, 'push'>
  readonly quarantine: Pick<Quarantine, 'record'>
  /** Undefined: devices have no rate, and nothing follows from an accepted message but its row. */
  readonly registry?: Pick<Registry, 'spend' | 'accepted'> | undefined
  readonly clock: Clock
  readonly log: Log
  readonly limit: LogLimit
  readonly metrics: Metrics
}

export class Pipeline {
  readonly #parts: PipelineParts
  #received = 0
  #dropped = 0
  #isStopping = false

  constructor(parts: PipelineParts) {
    this.#parts = parts
  }

  /** Messages offered since the start, taken or not. */
  get received(): number {
    return this.#received
  }

  /** Messages that were not taken and that nobody sends again. */
  get dropped(): number {
    return this.#dropped
  }

  /** From now on nothing is taken. */
  stop(): void {
    this.#isStopping = true
  }

  /**
   * Settles once the message is committed to one table or the other, after all that came before it;
   * with `acknowledge: 'buffer'` as soon as it is in the queue. Runs in the caller's turn of the event
   * loop, a few microseconds.
   *
   * @throws IngestOverloaded, IngestStopped (as a rejection): it was not taken
   */
  append(telemetry: Telemetry): Promise<void> {
    const { turns, config } = this.#parts
    this.#received++
    if (this.#isStopping) return Promise.reject(new IngestStopped())
    const turn = turns.take(telemetry.payload.length + RECORD_BYTES)
    if (turn === undefined) {
      if (telemetry.qos === 0) this.#drop(telemetry)
      return Promise.reject(new IngestOverloaded(turns.records, turns.bytes))
    }
    this.#judge(telemetry, turn)
    if (config.acknowledge === 'commit') return turn.settled
    // Given up at a stop: counted and logged there, and acknowledged long ago.
    turn.settled.catch(() => undefined)
    return Promise.resolve()
  }

  /** Counts and keeps a message that access control turned away. Never throws. */
  recordDenied(denied: Denied): void {
    if (this.#isStopping) return
    const { quarantine, clock } = this.#parts
    const receivedAt = clock.now()
    quarantine.record(
      { ...denied, reason: 'AUTH_FAILED', msgType: undefined, receivedAt },
      undefined,
    )
  }

  #judge(telemetry: Telemetry, turn: Turn): void {
    try {
      const message = decode(telemetry, this.#parts.config.timestamps)
      if (typeof message === 'string') {
        this.#rejectUnread(telemetry, turn, message)
        return
      }
      const answer = runChecks(this.#parts.checks, message)
      if (answer === undefined) this.#accept(message, turn)
      else if (typeof answer === 'string') this.#reject(telemetry, turn, answer)
      else this.#await(answer, message, turn)
    } catch (err) {
      this.#fail(telemetry, turn, err)
    }
  }

  #await(answer: Promise<Reason | undefined>, message: Message, turn: Turn): void {
    answer.then(
      (reason) => {
        if (reason === undefined) this.#accept(message, turn)
        else this.#reject(message.telemetry, turn, reason)
      },
      (err: unknown) => {
        // The turns are given up: its promise says so.
        if (err instanceof IngestStopped) return
        this.#fail(message.telemetry, turn, err)
      },
    )
  }

  #accept(message: Message, turn: Turn): void {
    this.#parts.registry?.accepted(message)
    this.#parts.rows.push({
      telemetry: message.telemetry,
      row: rowOf(message, this.#parts.config.messageKey),
      turn,
    })
  }

  #reject(telemetry: Telemetry, turn: Turn, reason: Reason): void {
    this.#parts.quarantine.record(rejectionOf(telemetry, reason), turn)
  }

  /** What is no JSON object costs a token too, and beyond the device's rate it fills no table. */
  #rejectUnread(telemetry: Telemetry, turn: Turn, reason: Reason): void {
    const isCountedOnly = this.#parts.registry?.spend(telemetry) === false
    const rejection = rejectionOf(telemetry, reason)
    this.#parts.quarantine.record(isCountedOnly ? { ...rejection, isCountedOnly } : rejection, turn)
  }

  /** A bug of ours costs the one message that found it. */
  #fail(telemetry: Telemetry, turn: Turn, err: unknown): void {
    const { log, limit, quarantine } = this.#parts
    limit.pass('message.failed', (suppressed) => {
      log.error({ event: 'message.failed', err, suppressed }, 'a message could not be processed')
    })
    const reason: Reason = `INGEST_EXCEPTION:${faultCodeOf(err)}`
    quarantine.record(rejectionOf(telemetry, reason, messageOf(err)), turn)
  }

  #drop({ publisher, tenantId }: Telemetry): void {
    const { log, limit, metrics } = this.#parts
    this.#dropped++
    metrics.ingestDropped.inc({ tenant_id: tenantLabel(publisher, tenantId) })
    limit.pass('records.dropped', (suppressed) => {
      log.warn(
        { event: 'records.dropped', suppressed },
        'QoS 0 records are dropped: too many wait for PostgreSQL',
      )
    })
  }
}
