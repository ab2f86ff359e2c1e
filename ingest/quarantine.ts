/**
 * What becomes of a rejected message: it is counted, logged, and kept in `quarantine_events`, in its
 * turn of the same queue as the rows, so that its acknowledgement means as much as theirs.
 *
 * The quarantine is there for looking at. When PostgreSQL refuses what should go into it, the message
 * is counted as lost to it and the turn passes on: telemetry never waits for a quarantine that is
 * broken. It does wait while the whole database is away, as everything does.
 */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { BatchSurroundings } from './batch.ts'
import type { LogLimit } from './log-limit.ts'
import type { RejectionStore } from './quarantine-store.ts'
import { faultCodeOf, faultOf } from './sqlstate.ts'
import type { Rejection } from './telemetry.ts'
import { tenantLabel } from './tenant-label.ts'
import type { Turn } from './turns.ts'
import { BatchWriter } from './writer.ts'

/** Events that hold no turn (denied messages) waiting at once; beyond, they are only counted. */
const MAX_UNOWNED = 1_000
const MAX_EVENTS = 200
const MAX_BYTES = 1 << 20

interface Held {
  readonly rejection: Rejection
  readonly turn: Turn | undefined
}

export interface QuarantineParts {
  readonly store: RejectionStore
  /** False: messages are counted and logged, none is kept but those that PostgreSQL refused. */
  readonly storesRejects: boolean
  readonly counters: { add(now: number, tenantId: string, reason: string): void } | undefined
  /** Is told of every rejection. Must not throw, nor wait. */
  readonly audit?: { rejected(rejection: Rejection): void }
  readonly around: BatchSurroundings
  readonly clock: Clock
  readonly log: Log
  readonly limit: LogLimit
  readonly metrics: Metrics
}

export class Quarantine {
  readonly #parts: QuarantineParts
  readonly #writer: BatchWriter<Held>
  #rejected = 0
  #unowned = 0

  constructor(parts: QuarantineParts) {
    this.#parts = parts
    this.#writer = new BatchWriter<Held>(
      { maxItems: MAX_EVENTS, maxBytes: MAX_BYTES, inFlight: 1 },
      {
        write: (held) => this.#write(held),
        stored: (held) => this.#settle(held),
        refused: (held, cause) => {
          this.#lose([held], cause)
          this.#settle([held])
        },
        faultOf,
        failed: (cause, fault) => this.#failed(cause, fault),
      },
      parts.around,
      ({ rejection }) => rejection.payload.length + 256,
    )
  }

  /** Messages rejected since the start, stored or not. */
  get rejected(): number {
    return this.#rejected
  }

  /**
   * Takes a rejected message; never throws. `turn` is done once the message is kept, or cannot be.
   * Without a turn it is kept if there is room. A message that was accepted and then refused by
   * PostgreSQL is kept whatever the setting says: it may be acknowledged as stored only then.
   */
  record(rejection: Rejection, turn: Turn | undefined): void {
    const { clock, counters, storesRejects, store } = this.#parts
    this.#rejected++
    this.#count(rejection)
    this.#parts.audit?.rejected(rejection)
    const { tenantId, reason } = rejection
    if (tenantId !== undefined) counters?.add(clock.now(), tenantId, reason)
    const isAccepted = reason.startsWith('ROW_REJECTED:')
    const isKept =
      (storesRejects || isAccepted) &&
      rejection.isCountedOnly !== true &&
      store.isAvailable &&
      tenantId !== undefined
    if (!isKept || (turn === undefined && this.#unowned >= MAX_UNOWNED)) {
      turn?.done()
      return
    }
    if (turn === undefined) this.#unowned++
    this.#writer.push({ rejection, turn })
  }

  /** Settles when every message that is to be kept was. */
  idle(): Promise<void> {
    return this.#writer.idle()
  }

  #count({ reason, tenantId, deviceId, msgType, publisher }: Rejection): void {
    const { log, limit, metrics } = this.#parts
    metrics.ingestMessages.inc({
      tenant_id: tenantLabel(publisher, tenantId),
      result: reason === 'RATE_LIMITED' ? 'rate_limited' : 'rejected',
    })
    // What follows a colon in a reason is not of a closed set.
    const [kind = reason] = reason.split(':', 1)
    limit.pass(`message.quarantined ${kind}`, (suppressed) => {
      log.warn(
        {
          event: 'message.quarantined',
          reason,
          tenant_id: tenantId,
          device_id: deviceId,
          msg_type: msgType,
          suppressed,
        },
        'message quarantined',
      )
    })
  }

  async #write(held: readonly Held[]): Promise<void> {
    try {
      await this.#parts.store.insert(held.map(({ rejection }) => rejection))
    } catch (err) {
      // No privilege, no such table: trying again would hold up the telemetry behind it.
      if (faultOf(err) !== 'unclear') throw err
      this.#lose(held, err)
    }
  }

  #settle(held: readonly Held[]): void {
    for (const { turn } of held) {
      if (turn === undefined) this.#unowned--
      else turn.done()
    }
  }

  #lose(held: readonly Held[], err: unknown): void {
    const { log, limit, metrics } = this.#parts
    metrics.ingestQuarantineLost.inc(held.length)
    const { reason, tenantId, deviceId } = held[0]?.rejection ?? {}
    limit.pass('quarantine.refused', (suppressed) => {
      log.error(
        {
          event: 'quarantine.refused',
          err,
          messages: held.length,
          reason,
          tenant_id: tenantId,
          device_id: deviceId,
          suppressed,
        },
        'PostgreSQL keeps no rejected messages: they are only counted',
      )
    })
  }

  #failed(err: unknown, fault: string): void {
    const { log, limit, metrics } = this.#parts
    metrics.ingestWriteErrors.inc({ sqlstate: faultCodeOf(err) })
    if (fault !== 'transient') return
    metrics.ingestRetries.inc()
    limit.pass('quarantine.retried', (suppressed) => {
      log.warn({ event: 'quarantine.retried', err, suppressed }, 'quarantine waits for PostgreSQL')
    })
  }
}
