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
  /** Column `message_key`, and the unique index that lets no row in twice. */
  readonly telemetryHasMessageKey: boolean
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
  const hasKeyColumn = telemetry.get('message_key')?.type === 'uuid'
  return {
    telemetryTakesBinary: [...TELEMETRY].every(([name, types]) =>
      types.includes(telemetry.get(name)?.type ?? ''),
    ),
    telemetryHasPublisher: publisher !== undefined && TEXT.includes(publisher.type),
    telemetryHasMessageKey: hasKeyColumn && (await hasKeyIndex(database)),
    telemetryIsUnlogged: telemetry.get('time')?.persistence === 'u',
    quarantineColumns: new Set(of('quarantine_events').keys()),
    hasQuarantineCounters: of('quarantine_counters_minute').size > 0,
  }
}

/** What `ON CONFLICT ("time", message_key)` needs to be taken: exactly that index, of no other rows. */
async function hasKeyIndex(database: Database): Promise<boolean> {
  const found = await database.rows(
    `SELECT 1 FROM pg_index i
      WHERE i.indrelid = to_regclass('telemetry') AND i.indisunique AND i.indisvalid
        AND i.indnkeyatts = 2 AND i.indexprs IS NULL
        AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = '(message_key IS NOT NULL)')
        AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]))
            = ARRAY['message_key', 'time']`,
  )
  return found.length > 0
}
