/**
 * The rows of `quarantine_events` for an operator: read, and taken out, by the login role, or by
 * pulse_operator where row-level security shows the login role nothing. What is taken out leaves a
 * line in `audit_log`, in the same transaction.
 */
import type { PoolClient } from 'pg'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { auditInsert, takesEvents } from './audit-rows.ts'
import type { Database } from './database.ts'
import { QuarantineForbidden, SchemaUnusable } from './errors.ts'
import type {
  QuarantinedEvent,
  QuarantinedMessage,
  QuarantineFilter,
} from './quarantined-message.ts'
import type { Access } from './registry/block.ts'
import type { Schema } from './schema.ts'
import { sqlstateOf } from './sqlstate.ts'

export interface QuarantineRowsParts {
  readonly database: Database
  readonly schema: Schema
  /** Of table quarantine_events; see `readAccess`. */
  readonly access: Access
  /** Of `audit_log`; empty: there is no such table. */
  readonly auditColumns: ReadonlySet<string>
  /** Who does it, by the name the operating system has for them. */
  readonly operator: string
  readonly clock: Pick<Clock, 'now'>
  /** Is told why `audit_log` has no line about what was done. */
  readonly unaudited: (problem: string) => void
}

/** What was done to a message, in the words of `audit_log`. */
export interface Removal {
  readonly action: 'replay' | 'discard'
  /** `replayed` or `discarded`. */
  readonly done: string
  readonly details?: Readonly<Record<string, unknown>>
}

const MAX_LISTED = 1_000
const REQUIRED = ['id', 'ingested_at', 'topic', 'tenant_id', 'device_id', 'reason', 'payload']

export class QuarantineRows {
  readonly #parts: QuarantineRowsParts
  readonly #columns: string

  /** @throws SchemaUnusable when `quarantine_events` is not there, or lacks what is read of it */
  constructor(parts: QuarantineRowsParts) {
    this.#parts = parts
    this.#columns = eventColumns(parts.schema)
  }

  /** Newest first. */
  list(filter: QuarantineFilter): Promise<QuarantinedEvent[]> {
    const { tenantId = null, deviceId = null, reason = null, since, limit } = filter
    return this.#rows<QuarantinedEvent>(
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

  /** With the payload as it is in the table. Undefined: there is no such row (any more). */
  async read(id: string): Promise<QuarantinedMessage | undefined> {
    const [found] = await this.#rows<QuarantinedMessage>(
      `SELECT ${this.#columns}, payload::text AS payload FROM quarantine_events WHERE id = $1`,
      [id],
    )
    return found
  }

  /**
   * Takes the row out, and does `also` in the same transaction, as the login role. False: there was
   * none; whoever else had it in hand was waited for.
   *
   * @throws QuarantineForbidden
   */
  async remove(
    id: string,
    removal: Removal,
    also: (client: PoolClient) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<boolean> {
    const { database, access } = this.#parts
    return database.transaction(async (client) => {
      if (access.role !== undefined) await client.query(`SET LOCAL ROLE ${access.role}`)
      const deleted = await client
        .query<QuarantinedEvent & Record<string, unknown>>(
          `DELETE FROM quarantine_events WHERE id = $1 RETURNING ${this.#columns}`,
          [id],
        )
        .catch(explainPrivilege)
      if (access.role !== undefined) await client.query('SET LOCAL ROLE NONE')
      const [event] = deleted.rows
      if (event === undefined) return false
      await also(client)
      await this.#audit(client, event, removal)
      return true
    })
  }

  async #rows<R>(sql: string, values: unknown[]): Promise<R[]> {
    const { database, access } = this.#parts
    if (access.role === undefined) return database.rows<R & Record<string, unknown>>(sql, values)
    return database.transaction(async (client) => {
      await client.query(`SET LOCAL ROLE ${access.role}`)
      return (await client.query<R & Record<string, unknown>>(sql, values)).rows
    })
  }

  /** An audit_log that takes nothing (row-level security) keeps nobody from doing their work. */
  async #audit(client: PoolClient, event: QuarantinedEvent, removal: Removal): Promise<void> {
    const { auditColumns, operator, clock, unaudited } = this.#parts
    if (!takesEvents(auditColumns)) {
      unaudited('there is no table audit_log')
      return
    }
    const { id, tenantId, deviceId, topic, reason, ingestedAt } = event
    const { action, done, details } = removal
    const device = deviceId ?? 'unknown'
    const row = {
      at: clock.now(),
      event: {
        tenantId: tenantId ?? undefined,
        eventType: `quarantine.${done}`,
        category: 'device',
        action,
        severity: 'info' as const,
        entityType: 'device',
        entityId: device,
        message: `${done === 'replayed' ? 'Replayed' : 'Discarded'} message ${id} of ${device}: ${reason}`,
        details: { quarantine_id: id, reason, topic, ingested_at: ingestedAt, ...details },
        actor: operator,
      },
    }
    await client.query('SAVEPOINT audit')
    try {
      await client.query(auditInsert(auditColumns, [row]))
    } catch (err) {
      await client.query('ROLLBACK TO SAVEPOINT audit')
      unaudited(messageOf(err))
    }
  }
}

function explainPrivilege(err: unknown): never {
  throw sqlstateOf(err) === '42501' ? new QuarantineForbidden(err, messageOf(err)) : err
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
