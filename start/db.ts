/** `midge db init`: our tables in a database that has none. */
import { CommandLineError } from '../config/index.ts'
import type { Environment } from '../config/index.ts'
import { systemClock } from '../core/clock.ts'
import { silentLog } from '../core/log.ts'
import { initDatabase } from '../ingest/index.ts'
import { ingestConfigOf } from './operator-database.ts'

const USAGE = `Usage: midge db init [--data dir]

Makes Midge's tables in the database of DATABASE_URL or PG_*, or in that of the
Midge that runs on the data directory. Where the extension timescaledb is
installed, telemetry and audit_log become hypertables while they are empty.
Does nothing where a table schema_migrations says that somebody else makes the
tables, and ends with exit code 1.
`

interface Surroundings {
  readonly environment: Environment
  readonly stdout: { write(text: string): unknown }
}

/** @returns the exit code */
export async function runDb(args: readonly string[], around: Surroundings): Promise<number> {
  const [command, option, data, ...more] = args
  if (args.length === 0 || args.includes('--help') || args.includes('-h')) {
    around.stdout.write(USAGE)
    return 0
  }
  const isPlain = option === undefined
  const hasData = option === '--data' && data !== undefined && more.length === 0
  if (command !== 'init' || !(isPlain || hasData)) {
    throw new CommandLineError(`midge db takes init and --data dir\n\n${USAGE}`)
  }
  const { database } = await ingestConfigOf(data, around.environment)
  const { applied, hypertables } = await initDatabase({
    database,
    clock: systemClock,
    log: silentLog,
  })
  around.stdout.write(
    applied.length === 0 ? 'the tables are there already\n' : `applied ${applied.join(', ')}\n`,
  )
  for (const { table, outcome } of hypertables) {
    around.stdout.write(
      outcome === 'made'
        ? `${table} is a hypertable\n`
        : `${table} has rows and was left as it is\n`,
    )
  }
  return 0
}
