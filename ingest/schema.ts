/**
 * What the tables look like that are there: ours, or those of a platform with columns we do not know
 * and without some that we do. Looked at once, at start.
 */
import type { Database } from './database.ts'
import { SchemaUnusable } from './errors.ts'

export interface Schema {
  /** Every column of a row has exactly the type whose binary form we write. */
  readonly telemetryTakesBinary: boolean
  readonly telemetryHasPublisher: boolean
  /** Rows of `telemetry` are gone after a crash of the server. */
  readonly telemetryIsUnlogged: boolean
  /** Of `quarantine_events`; empty when there is no such table. */
  readonly quarantineColumns: ReadonlySet<string>
  readonly hasQuarantineCounters: boolean
}

const TEXT = ['text', 'character varying']
const TELEMETRY: ReadonlyMap<string, readonly string[]> = new Map([
  ['time', ['timestamp with time zone']],
  ['tenant_id', TEXT],
  ['device_id', TEXT],
  ['site_id', TEXT],
  ['msg_type', TEXT],
  ['seq', ['bigint']],
  ['metrics', ['jsonb']],
])

interface Column extends Record<string, unknown> {
  readonly relation: string
  readonly persistence: string
  readonly name: string
  readonly type: string
}

/** @throws SchemaUnusable when `telemetry` cannot take a row */
export async function inspectSchema(database: Database): Promise<Schema> {
  const columns = await database.rows<Column>(
    `SELECT c.relname::text AS relation, c.relpersistence::text AS persistence,
            a.attname::text AS name, format_type(a.atttypid, NULL) AS type
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.oid IN (to_regclass('telemetry'), to_regclass('quarantine_events'),
                      to_regclass('quarantine_counters_minute'))
        AND a.attnum > 0 AND NOT a.attisdropped`,
  )
  const of = (relation: string) =>
    new Map(columns.filter((c) => c.relation === relation).map((c) => [c.name, c]))
  const telemetry = of('telemetry')
  if (telemetry.size === 0) throw new SchemaUnusable('there is no table telemetry')
  const missing = [...TELEMETRY.keys()].filter((name) => !telemetry.has(name))
  if (missing.length > 0) {
    throw new SchemaUnusable(`table telemetry has no column ${missing.join(', ')}`)
  }
  const publisher = telemetry.get('publisher')
  return {
    telemetryTakesBinary: [...TELEMETRY].every(([name, types]) =>
      types.includes(telemetry.get(name)?.type ?? ''),
    ),
    telemetryHasPublisher: publisher !== undefined && TEXT.includes(publisher.type),
    telemetryIsUnlogged: telemetry.get('time')?.persistence === 'u',
    quarantineColumns: new Set(of('quarantine_events').keys()),
    hasQuarantineCounters: of('quarantine_counters_minute').size > 0,
  }
}
