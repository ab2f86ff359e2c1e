/**
 * Reports of devices on their way into `device_state` and `device_commands`. Each takes a turn of a
 * queue of its own: its acknowledgement waits for its COMMIT, in the order of the reports, and a
 * shadow that somebody has locked keeps no telemetry waiting.
 *
 * One transaction at a time, because two reports of one device must not change places.
 */
import type { IngestConfig } from '../../config/types.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { BatchSurroundings } from '../batch.ts'
import { IngestOverloaded, IngestStopped } from '../errors.ts'
import type { LogLimit } from '../log-limit.ts'
import { faultCodeOf, faultOf } from '../sqlstate.ts'
import { rejectionOf, type Rejection } from '../telemetry.ts'
import { Turns, type Turn } from '../turns.ts'
import { BatchWriter } from '../writer.ts'
import {
  decodeReport,
  type CommandAck,
  type DeviceReport,
  type InvalidReport,
  type ShadowReport,
} from './report.ts'
import type { Outcome } from './statements.ts'
import type { ReportStore } from './store.ts'

/** Reports held at the most, and their bytes. */
const MAX_REPORTS = 10_000
const MAX_HELD_BYTES = 32 << 20
/** What a report costs beside its payload. */
const REPORT_BYTES = 512
const MAX_BATCH = 500
const MAX_BATCH_BYTES = 4 << 20

interface Held {
  readonly report: ShadowReport | CommandAck
  readonly bytes: number
  readonly turn: Turn
}

export interface DownlinkParts {
  readonly config: Pick<IngestConfig, 'acknowledge'>
  readonly store: ReportStore
  /** Keeps what is no JSON object, or too large; must not throw. */
  readonly rejected: (rejection: Rejection) => void
  readonly around: BatchSurroundings
  readonly log: Log
  readonly limit: LogLimit
  readonly metrics: Metrics
}

export class Downlink {
  readonly #parts: DownlinkParts
  readonly #turns = new Turns(MAX_REPORTS, MAX_HELD_BYTES)
  readonly #writer: BatchWriter<Held>
  #outcomes: readonly Outcome[] = []
  #isStopping = false

  constructor(parts: DownlinkParts) {
    this.#parts = parts
    this.#writer = new BatchWriter<Held>(
      { maxItems: MAX_BATCH, maxBytes: MAX_BATCH_BYTES, inFlight: 1 },
      {
        write: (held) => this.#write(held),
        stored: (held) => this.#stored(held),
        refused: (held, cause) => this.#refused([held], cause),
        faultOf,
        failed: (cause, fault) => this.#failed(cause, fault),
      },
      parts.around,
      ({ bytes }) => bytes,
    )
  }

  /** Reports that have not settled. */
  get waiting(): number {
    return this.#turns.records
  }

  get hasRoom(): boolean {
    return this.#turns.hasRoom
  }

  /** Calls once, in a microtask, as soon as there is room. */
  onRoom(then: () => void): void {
    this.#turns.onRoom(then)
  }

  /**
   * Settles once the effect of the report is committed, or there is none to have (which is logged and
   * counted): it must not be sent again. Rejects with IngestOverloaded or IngestStopped when it was
   * not taken.
   */
  report(report: DeviceReport): Promise<void> {
    if (this.#isStopping) return Promise.reject(new IngestStopped())
    const bytes = report.payload.length + REPORT_BYTES
    const turn = this.#turns.take(bytes)
    if (turn === undefined) {
      if (report.qos === 0) this.#count(report.kind, 'dropped')
      return Promise.reject(new IngestOverloaded(this.#turns.records, this.#turns.bytes))
    }
    const decoded = decodeReport(report)
    if (typeof decoded === 'string') {
      this.#refuse(report, decoded)
      turn.done()
    } else this.#writer.push({ report: decoded, bytes, turn })
    if (this.#parts.config.acknowledge === 'commit') return turn.settled
    turn.settled.catch(() => undefined)
    return Promise.resolve()
  }

  /** From now on nothing is taken. */
  stop(): void {
    this.#isStopping = true
  }

  /** Settles when nothing is held. */
  drained(): Promise<void> {
    return this.#turns.drained()
  }

  /** Rejects what has not settled; returns how much that was. */
  giveUp(error: Error): number {
    return this.#turns.giveUp(error)
  }

  #refuse(report: DeviceReport, refusal: InvalidReport): void {
    const { log, limit, rejected } = this.#parts
    const { kind, tenantId, deviceId } = report
    this.#count(kind, 'invalid')
    switch (refusal) {
      case 'INVALID_JSON':
      case 'INVALID_PAYLOAD':
      case 'PAYLOAD_TOO_LARGE': {
        const msgType = kind === 'command_ack' ? 'commands' : 'shadow'
        rejected(rejectionOf({ ...report, msgType }, refusal))
        break
      }
      case 'shadow_reported_invalid_payload':
      case 'command_ack_missing_id':
      case 'command_ack_invalid_details':
        limit.pass(refusal, (suppressed) => {
          const fields = { tenant_id: tenantId, device_id: deviceId, suppressed }
          log.warn({ event: refusal, ...fields }, refusal)
        })
    }
  }

  async #write(held: readonly Held[]): Promise<void> {
    this.#outcomes = []
    try {
      this.#outcomes = await this.#parts.store.apply(held.map(({ report }) => report))
    } catch (err) {
      // No privilege, no such column: trying again would only hold up the reports behind.
      if (faultOf(err) !== 'unclear') throw err
      this.#refused(held, err)
    }
  }

  #stored(held: readonly Held[]): void {
    // Empty when the batch was refused as a whole: its turns are done.
    this.#outcomes.forEach((outcome, i) => {
      const one = held[i]
      if (one !== undefined) this.#tell(one.report, outcome)
    })
    for (const { turn } of held) turn.done()
  }

  #tell(report: ShadowReport | CommandAck, outcome: Outcome): void {
    const { log, limit } = this.#parts
    const { kind, tenantId, deviceId } = report
    this.#count(kind, outcome)
    const fields = { tenant_id: tenantId, device_id: deviceId }
    if (kind === 'command_ack') {
      const updated = outcome === 'applied'
      const command = report.commandId.slice(0, 200)
      const write = (suppressed: number) =>
        log.info(
          { event: 'command_acked', ...fields, command_id: command, updated, suppressed },
          'command_acked',
        )
      // Commands are few; acknowledgements of none are as many as a device cares to send.
      if (updated) write(0)
      else limit.pass('command_acked', write)
    } else if (outcome !== 'applied') {
      limit.pass(`shadow_reported_${outcome}`, (suppressed) =>
        log.warn(
          { event: 'shadow_reported_ignored', ...fields, outcome, suppressed },
          outcome === 'no_row'
            ? 'a shadow was reported and device_state has no row for it yet'
            : 'a shadow was reported by a device that is not ACTIVE in the registry',
        ),
      )
    }
  }

  #refused(held: readonly Held[], err: unknown): void {
    const { log, limit } = this.#parts
    for (const { report, turn } of held) {
      this.#count(report.kind, 'refused')
      turn.done()
    }
    const { tenantId, deviceId } = held[0]?.report ?? {}
    limit.pass('report.refused', (suppressed) =>
      log.error(
        {
          event: 'report.refused',
          err,
          reports: held.length,
          tenant_id: tenantId,
          device_id: deviceId,
          suppressed,
        },
        'PostgreSQL takes no reports of devices: shadows and commands stay as they are',
      ),
    )
  }

  #failed(err: unknown, fault: string): void {
    const { log, limit, metrics } = this.#parts
    metrics.ingestWriteErrors.inc({ sqlstate: faultCodeOf(err) })
    if (fault !== 'transient') return
    metrics.ingestRetries.inc()
    limit.pass('report.retried', (suppressed) =>
      log.warn({ event: 'report.retried', err, suppressed }, 'reports wait for PostgreSQL'),
    )
  }

  #count(kind: DeviceReport['kind'], outcome: string): void {
    this.#parts.metrics.ingestReports.inc({ kind, outcome })
  }
}
