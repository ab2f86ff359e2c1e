/** The database a command works on, and how ingest is set up there. */
import { resolve } from 'node:path'
import { newcomerConfig } from '../config/index.ts'
import type { Environment } from '../config/index.ts'
import type { IngestConfig } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { databaseOfRunning } from './run-file.ts'

/**
 * `DATABASE_URL` or `PG_*` where they are set; else that of the Midge which runs on the data
 * directory. The other settings are those of the environment: give the command the one Midge has.
 *
 * @throws OperationalError `NOT_RUNNING`, `INGEST_OFF`; ConfigErrors
 */
export async function ingestConfigOf(
  data: string | undefined,
  environment: Environment,
): Promise<IngestConfig> {
  const directory = resolve(data ?? environment['MIDGE_DATA'] ?? 'data')
  const { ingest } = newcomerConfig({ dataDirectory: directory, environment })
  if (ingest === undefined) {
    throw new OperationalError(
      'INGEST_OFF',
      'MIDGE_INGEST is "off": there is no database to look at',
    )
  }
  const { registry, ...rest } = ingest
  if (ingest.database !== 'embedded') return { ...ingest, database: ingest.database }
  const database = await databaseOfRunning(directory)
  if (registry === undefined) return { ...rest, database }
  // The default of a database that is ours; what runs may have another one, which says so itself.
  const isGiven = (environment['CERT_AUTH_ENABLED'] ?? '') !== ''
  const certAuthEnabled = registry.certAuthEnabled && (database.migrate || isGiven)
  return { ...rest, database, registry: { ...registry, certAuthEnabled } }
}
