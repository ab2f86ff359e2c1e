/**
 * What an auditor wants to read later: rejected messages, certificates turned away, connections
 * closed by a revocation. Rows of `audit_log`, written by the way: nobody ever waits for one.
 *
 * What a device can cause at will is folded: the first event of a kind within a minute has a row of
 * its own, the others share one, at the end of the minute, with their number.
 */
import type { Clock } from '../core/clock.ts'
import type { Metrics } from '../core/metrics.ts'
import { auditInsert, takesEvents, type AuditEvent, type DatedEvent } from './audit-rows.ts'
import type { Database } from './database.ts'
import { labelsOf } from './decode.ts'
import { Journal, type JournalParts } from './journal.ts'
import type { Denied, Rejection, Row } from './telemetry.ts'

interface Fold {
  readonly minute: number
  readonly first: AuditEvent
  more: number
}

const MINUTE_MS = 60_000
const SWEEP_MS = 5_000
/** Kinds told apart within a minute; of others only the number lost is known. */
const MAX_FOLDS = 10_000
const MAX_TEXT = 500

export interface AuditParts extends Omit<JournalParts<never>, 'name' | 'write'> {
  readonly database: Pick<Database, 'runBlock'>
  /** Of `audit_log`; empty: there is no such table, and nothing is kept. */
  readonly columns: ReadonlySet<string>
}

export class AuditLog {
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #journal: Journal<DatedEvent> | undefined
  readonly #folds = new Map<string, Fold>()
  readonly #stopSweeping: () => void

  constructor(parts: AuditParts) {
    const { clock, metrics, database, columns } = parts
    this.#clock = clock
    this.#metrics = metrics
    const write = async (events: readonly DatedEvent[]) => {
      await database.runBlock(auditInsert(columns, events))
    }
    this.#journal = takesEvents(columns)
      ? new Journal<DatedEvent>({ ...parts, name: 'audit', write })
      : undefined
    this.#stopSweeping = clock.every(SWEEP_MS, () => this.#sweep(minuteOf(clock.now())))
  }

  /** Memory only; never throws, never waits. */
  record(event: AuditEvent): void {
    this.#journal?.add({ at: this.#clock.now(), event })
  }

  /** `record` for what may come in floods. `event` is only called for the first of its key. */
  fold(key: string, event: () => AuditEvent): void {
    if (this.#journal === undefined) return
    const minute = minuteOf(this.#clock.now())
    const known = this.#folds.get(key)
    if (known?.minute === minute) {
      known.more++
      return
    }
    if (known !== undefined) this.#unfold(key, known)
    else if (this.#folds.size >= MAX_FOLDS) {
      this.#metrics.ingestEventsLost.inc({ journal: 'audit' })
      return
    }
    const first = event()
    this.#folds.set(key, { minute, first, more: 0 })
    this.record(first)
  }

  /** `device.rejected`, for a message whose tenant is known. */
  rejected(rejection: Rejection): void {
    const { tenantId, deviceId = 'unknown', reason, msgType, payload } = rejection
    if (tenantId === undefined) return
    this.fold(`rejected/${tenantId}/${deviceId}/${reason}`, () => ({
      tenantId,
      eventType: 'device.rejected',
      category: 'device',
      action: 'reject',
      severity: 'warning',
      entityType: 'device',
      entityId: deviceId,
      message: `Rejected message from ${deviceId}: ${reason}`,
      details: { reason, site_id: labelsOf(payload).siteId ?? null, msg_type: msgType ?? null },
    }))
  }

  /** `access.denied`: a PUBLISH that the connection had no right to. */
  denied({ tenantId, deviceId, topic, publisher }: Denied): void {
    const { kind, userName, clientId } = publisher
    const who = deviceId ?? userName ?? clientId
    this.fold(`denied/${kind}/${userName ?? ''}/${deviceId === undefined ? clientId : ''}`, () => ({
      tenantId,
      eventType: 'access.denied',
      category: 'security',
      action: 'deny',
      severity: 'warning',
      entityType: deviceId === undefined ? kind : 'device',
      entityId: who,
      message: `Denied PUBLISH from ${who}`,
      details: { topic: topic.slice(0, MAX_TEXT), client_id: clientId },
    }))
  }

  /** `device.telemetry`, one for each stored message: as many rows again as telemetry has. */
  stored(rows: readonly Row[]): void {
    for (const { tenantId, deviceId, msgType, metrics } of rows) {
      this.record({
        tenantId,
        eventType: 'device.telemetry',
        category: 'device',
        action: 'receive',
        severity: 'info',
        entityType: 'device',
        entityId: deviceId,
        message: `Received ${msgType} from ${deviceId}`,
        details: { msg_type: msgType, metrics: keysOf(metrics) },
      })
    }
  }

  /** Settles when every event, folded ones too, is written. */
  async idle(): Promise<void> {
    this.#sweep(Number.POSITIVE_INFINITY)
    await this.#journal?.idle()
  }

  close(): void {
    this.#stopSweeping()
    this.#journal?.close()
  }

  #sweep(minute: number): void {
    for (const [key, fold] of this.#folds) if (fold.minute < minute) this.#unfold(key, fold)
  }

  #unfold(key: string, { minute, first, more }: Fold): void {
    this.#folds.delete(key)
    if (more === 0) return
    const message = `${first.message} (${more} more within the minute)`
    const event = { ...first, message, details: { ...first.details, repeated: more } }
    this.#journal?.add({ at: (minute + 1) * MINUTE_MS - 1, event })
  }
}

function minuteOf(now: number): number {
  return Math.floor(now / MINUTE_MS)
}

function keysOf(metrics: Uint8Array): string[] {
  const value: unknown = JSON.parse(Buffer.from(metrics).toString())
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}
