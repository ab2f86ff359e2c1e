/** The database ingest writes to: the one that was configured, or the embedded default. */
import { randomBytes } from 'node:crypto'
import type { Config, DatabaseConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { createIngest, type Ingest } from '../ingest/index.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../postgres/index.ts'

export interface Storage {
  /** Undefined: a plain broker, nothing is stored. */
  readonly ingest: Ingest | undefined
  /** Ours to stop; undefined when the server is somebody else's. */
  readonly postgres: EmbeddedPostgres | undefined
  /** Where rows go; holds the password. */
  readonly database: DatabaseConfig | undefined
}

/** @throws OperationalError when the database cannot be had; nothing is left running then */
export async function startStorage(options: {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}): Promise<Storage> {
  const { config, clock, log, metrics } = options
  const settings = config.ingest
  if (settings === undefined) return { ingest: undefined, postgres: undefined, database: undefined }
  const parts = { clock, log: log.child({ part: 'ingest' }), metrics, random: Math.random }
  const { database } = settings
  if (database !== 'embedded') {
    const ingest = await createIngest({ config: { ...settings, database }, ...parts })
    return { ingest, postgres: undefined, database }
  }
  const directory = config.dataDirectory
  if (directory === undefined) throw new Error('the embedded database needs a data directory')
  const postgres = await startEmbeddedPostgres({
    directory,
    log: log.child({ part: 'postgres' }),
    clock,
    random: randomBytes,
  })
  try {
    const embedded = {
      ...postgres.connection,
      connectionString: undefined,
      // Beside the writers: quarantine, counters, notifications, registry and settings.
      poolMax: settings.writers + 8,
      migrate: true,
    }
    const ingest = await createIngest({ config: { ...settings, database: embedded }, ...parts })
    return { ingest, postgres, database: embedded }
  } catch (err) {
    await postgres.stop()
    throw err
  }
}
