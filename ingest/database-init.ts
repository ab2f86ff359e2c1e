/** Our tables in a database of somebody's, because an operator asked for it. */
import type { DatabaseConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { Database, literal } from './database.ts'
import { SchemaForeign } from './errors.ts'
import { migrate } from './migrate.ts'

const STATEMENT_TIMEOUT_MS = 600_000

/** Column of time, and the length of a chunk that suits a day's readers. */
const HYPERTABLES = [
  { table: 'telemetry', column: 'time' },
  { table: 'audit_log', column: 'timestamp' },
] as const

export interface InitialisedDatabase {
  /** Migrations that were run now; none: the tables were there. */
  readonly applied: readonly string[]
  /** What became of each table; empty without the extension timescaledb. */
  readonly hypertables: readonly Hypertable[]
}

export interface Hypertable {
  readonly table: string
  /** `has_rows`: left as it is, since turning it over locks it for as long as its rows take. */
  readonly outcome: 'made' | 'has_rows'
}

/**
 * Idempotent. Policies (compression, retention) are nobody's but the operator's.
 *
 * @throws SchemaForeign when another migrator owns this database: nothing was done
 */
export async function initDatabase(options: {
  readonly database: DatabaseConfig
  readonly clock: Clock
  readonly log: Log
}): Promise<InitialisedDatabase> {
  const { clock, log } = options
  const database = new Database(options.database, STATEMENT_TIMEOUT_MS, clock, log)
  try {
    const applied = await migrate(database, log)
    if (applied.length === 0 && (await isForeign(database))) throw new SchemaForeign()
    const extension = await timescaleSchema(database)
    const hypertables = extension === undefined ? [] : await makeHypertables(database, extension)
    return { applied, hypertables }
  } finally {
    await database.end()
  }
}

async function isForeign(database: Database): Promise<boolean> {
  const [row] = await database.rows<{ found: boolean }>(
    `SELECT to_regclass('schema_migrations') IS NOT NULL AS found`,
  )
  return row?.found === true
}

/** Where the functions of TimescaleDB are; undefined when this database does not have it. */
async function timescaleSchema(database: Database): Promise<string | undefined> {
  const [row] = await database.rows<{ name: string }>(
    `SELECT n.nspname::text AS name FROM pg_extension e
       JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'`,
  )
  return row?.name
}

/** In one transaction. @param extension schema with TimescaleDB's create_hypertable */
export async function makeHypertables(
  database: Database,
  extension: string,
): Promise<readonly Hypertable[]> {
  const name = `"${extension.replaceAll('"', '""')}"`
  return database.run(async (client) => {
    await client.query(`BEGIN; ${database.setTimeout}`)
    try {
      const made: Hypertable[] = []
      for (const { table, column } of HYPERTABLES) {
        const { rowCount } = await client.query(`SELECT 1 FROM ${table} LIMIT 1`)
        const isEmpty = rowCount === 0
        // `name` tells the call from the one that takes a dimension (TimescaleDB 2.13 and later).
        if (isEmpty) {
          await client.query(
            `SELECT ${name}.create_hypertable(${literal(table)}::regclass, ${literal(column)}::name,
               chunk_time_interval => interval '1 day', if_not_exists => true)`,
          )
        }
        made.push({ table, outcome: isEmpty ? 'made' : 'has_rows' })
      }
      await client.query('COMMIT')
      return made
    } catch (err) {
      await client.query('ROLLBACK').catch(() => undefined)
      throw err
    }
  })
}
