/** Rejected messages looked at by an operator: listed, shown, discarded. `quarantine-replay.ts` tries one again. */
import type { Database } from './database.ts'
import { SchemaUnusable } from './errors.ts'
import { quarantinePayload } from './quarantine-payload.ts'
import type { Schema } from './schema.ts'

/** A row of `quarantine_events` without its payload. Every text may be one that a device chose. */
export interface QuarantinedEvent {
  /** An int64, which a number cannot hold. */
  readonly id: string
  /** ISO 8601 with microseconds, UTC; stands for the time of receipt. */
  readonly ingestedAt: string
  readonly topic: string
  readonly tenantId: string | null
  readonly deviceId: string | null
  readonly siteId: string | null
  readonly msgType: string | null
  readonly reason: string
  /** Null also where the table has no such column. */
  readonly publisher: string | null
}

export interface QuarantinedMessage extends QuarantinedEvent {
  /** JSON text; the token masked, also in rows that another service wrote. */
  readonly payload: string
}

export interface QuarantineFilter {
  readonly tenantId?: string
  readonly deviceId?: string
  /** As a whole, or up to its colon: `ROW_REJECTED` finds `ROW_REJECTED:23514`. */
  readonly reason?: string
  /** Rows that came at this time or later. */
  readonly since?: Date
  /** 1 to 1000; anything beyond is brought there. */
  readonly limit: number
}

const MAX_LISTED = 1_000
const MAX_ID = 2n ** 63n - 1n
const REQUIRED = ['id', 'ingested_at', 'topic', 'tenant_id', 'device_id', 'reason', 'payload']

export class QuarantineReview {
  readonly #database: Database
  readonly #columns: string

  /** @throws SchemaUnusable when `quarantine_events` is not there, or cannot be read */
  constructor(database: Database, schema: Schema) {
    this.#database = database
    this.#columns = eventColumns(schema)
  }

  /** Newest first. */
  list(filter: QuarantineFilter): Promise<QuarantinedEvent[]> {
    const { tenantId = null, deviceId = null, reason = null, since, limit } = filter
    return this.#database.rows<QuarantinedEvent & Record<string, unknown>>(
      `SELECT ${this.#columns} FROM quarantine_events
        WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR device_id = $2)
          AND ($3::text IS NULL OR reason = $3 OR split_part(reason, ':', 1) = $3)
          AND ($4::timestamptz IS NULL OR ingested_at >= $4)
        ORDER BY ingested_at DESC, id DESC LIMIT $5`,
      [
        tenantId,
        deviceId,
        reason,
        since?.toISOString() ?? null,
        Math.min(MAX_LISTED, Math.max(1, Math.trunc(limit) || 1)),
      ],
    )
  }

  /** Undefined: there is no such row (any more). @param id as `isEventId` has it */
  async show(id: string): Promise<QuarantinedMessage | undefined> {
    const event = await readEvent(this.#database, this.#columns, id)
    return event && { ...event, payload: quarantinePayload(Buffer.from(event.payload)) }
  }

  /** Deletes the row for good. False: there is none. */
  async discard(id: string): Promise<boolean> {
    const deleted = await this.#database.rows(
      'DELETE FROM quarantine_events WHERE id = $1 RETURNING id',
      [id],
    )
    return deleted.length > 0
  }
}

/** Can this text be the `id` of a row? */
export function isEventId(text: string): boolean {
  return /^[1-9]\d{0,18}$/u.test(text) && BigInt(text) <= MAX_ID
}

/** With the payload as it is in the table. */
export async function readEvent(
  database: Database,
  columns: string,
  id: string,
): Promise<QuarantinedMessage | undefined> {
  const [found] = await database.rows<QuarantinedMessage & Record<string, unknown>>(
    `SELECT ${columns}, payload::text AS payload FROM quarantine_events WHERE id = $1`,
    [id],
  )
  return found
}

/** @throws SchemaUnusable */
export function eventColumns({ quarantineColumns }: Schema): string {
  const missing = REQUIRED.filter((name) => !quarantineColumns.has(name))
  if (missing.length > 0) {
    const what = quarantineColumns.size === 0 ? 'there is no table' : 'no column'
    const names = quarantineColumns.size === 0 ? '' : ` ${missing.join(', ')} in table`
    throw new SchemaUnusable(`${what}${names} quarantine_events`)
  }
  const optional = (name: string, as: string) =>
    quarantineColumns.has(name) ? `${name} AS "${as}"` : `NULL::text AS "${as}"`
  return `id::text AS id, to_char(ingested_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "ingestedAt", topic, tenant_id AS "tenantId",
    device_id AS "deviceId", ${optional('site_id', 'siteId')}, ${optional('msg_type', 'msgType')},
    reason, ${optional('publisher', 'publisher')}`
}
