/** Rows of `telemetry` for people: the demo and the command that shows what arrives. */
import { Client, type QueryResultRow } from 'pg'
import type { DatabaseConfig } from '../config/types.ts'
import { connectionOf } from './database.ts'

/** A row as text. */
export interface StoredRow {
  /** ISO 8601 with microseconds, UTC. */
  readonly time: string
  readonly tenantId: string
  readonly deviceId: string
  readonly siteId: string | null
  readonly msgType: string
  /** An int64, which a number cannot hold. */
  readonly seq: string | null
  /** JSON text. */
  readonly metrics: string
}

type Rows = <R extends QueryResultRow>(sql: string, values: unknown[]) => Promise<R[]>

/**
 * Latest `time` first. There is an index by tenant and time, and none by time: so the tenants are
 * found by skipping along that index, and each gives its own latest. Cheap with any number of rows,
 * not with a great many tenants.
 */
const LAST_ROWS = `
  WITH RECURSIVE t AS (
    (SELECT tenant_id FROM telemetry ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT n.tenant_id FROM telemetry n
             WHERE n.tenant_id > t.tenant_id ORDER BY n.tenant_id LIMIT 1)
      FROM t WHERE t.tenant_id IS NOT NULL
  )
  SELECT to_char(r."time" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "time",
         r.tenant_id AS "tenantId", r.device_id AS "deviceId", r.site_id AS "siteId",
         r.msg_type AS "msgType", r.seq::text AS seq, r.metrics::text AS metrics
    FROM t CROSS JOIN LATERAL (
      SELECT * FROM telemetry x WHERE x.tenant_id = t.tenant_id ORDER BY x."time" DESC LIMIT $1
    ) r
   ORDER BY r."time" DESC LIMIT $1`

/** @param limit 1 to 1000; anything beyond is brought there */
export function lastRows(rows: Rows, limit: number): Promise<StoredRow[]> {
  return rows<StoredRow & QueryResultRow>(LAST_ROWS, [
    Math.min(1_000, Math.max(1, Math.trunc(limit) || 1)),
  ])
}

/** Reads every row of the tenant's index. */
export async function countRows(rows: Rows, tenantId: string): Promise<number> {
  const [found] = await rows<{ count: string }>(
    'SELECT count(*) AS count FROM telemetry WHERE tenant_id = $1',
    [tenantId],
  )
  return Number(found?.count ?? 0)
}

/** `lastRows` over a connection of its own, for a process without ingest. */
export async function readLastRows(config: DatabaseConfig, limit: number): Promise<StoredRow[]> {
  const client = new Client(connectionOf(config))
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await lastRows(async (sql, values) => (await client.query(sql, values)).rows, limit)
  } finally {
    await client.end()
  }
}
