/** Our own tables in a database of our own: numbered SQL files, each once. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../core/log.ts'
import { packageRoot } from '../core/package-root.ts'
import type { Database } from './database.ts'

/** Any number, the same in every process that migrates. */
const ADVISORY_LOCK = 5_918_276_341

/** Where the files are: they are not compiled. */
export function migrationsDirectory(): string {
  return join(packageRoot(), 'ingest', 'migrations')
}

/**
 * Runs what table `midge_migrations` does not name yet, all in one transaction; a second process
 * waits for it and finds nothing to do.
 *
 * Creates nothing where table `schema_migrations` exists: that database has a migrator of its own,
 * which would take tables of ours for its work.
 *
 * @returns the files that were run
 */
export async function migrate(database: Database, log: Log): Promise<readonly string[]> {
  const directory = migrationsDirectory()
  const files = (await readdir(directory)).filter((name) => /^\d{4}_\w+\.sql$/u.test(name)).sort()
  const applied: string[] = []
  const isForeign = await database.run(async (client) => {
    await client.query('BEGIN')
    await client.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCK])
    const foreign = await client.query<{ found: boolean }>(
      `SELECT to_regclass('schema_migrations') IS NOT NULL AS found`,
    )
    if (foreign.rows[0]?.found === true) {
      await client.query('ROLLBACK')
      return true
    }
    await client.query(
      `CREATE TABLE IF NOT EXISTS midge_migrations (
         name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
    )
    const known = await client.query<{ name: string }>('SELECT name FROM midge_migrations')
    const done = new Set(known.rows.map(({ name }) => name))
    for (const name of files.filter((file) => !done.has(file))) {
      await client.query(await readFile(join(directory, name), 'utf8'))
      await client.query('INSERT INTO midge_migrations (name) VALUES ($1)', [name])
      applied.push(name)
    }
    await client.query('COMMIT')
    return false
  })
  if (isForeign) {
    log.warn(
      { event: 'migrations.skipped' },
      'table schema_migrations exists: this database has a migrator of its own, no table is created',
    )
  } else if (applied.length > 0) {
    log.info({ event: 'migrations.applied', applied }, `applied ${applied.join(', ')}`)
  }
  return applied
}
