/** Parts of the registry over the platform's tables, in a database of the test's own. */
import { systemClock } from '../../../core/clock.ts'
import { Database } from '../../../ingest/database.ts'
import { LogLimit } from '../../../ingest/log-limit.ts'
import type { Persistence } from '../../../ingest/registry/persistence.ts'
import { inspectRegistry, type RegistrySchema } from '../../../ingest/registry/registry-schema.ts'
import { RememberingLog } from '../../helpers/log.ts'
import {
  platformDatabase,
  type PlatformDatabase,
  type PlatformOptions,
} from '../../helpers/platform-schema.ts'
import type { TestConnection } from '../../helpers/postgres.ts'

interface Cleanup {
  after(then: () => Promise<void>): void
}

export interface OpenedRegistry extends PlatformDatabase {
  readonly database: Database
  readonly schema: () => RegistrySchema
  readonly log: RememberingLog
  readonly limit: LogLimit
  readonly persistence: Persistence
}

export function openPool(t: Cleanup, connection: TestConnection, log: RememberingLog): Database {
  const config = { ...connection, poolMax: 5, migrate: false }
  const database = new Database(config, 30_000, systemClock, log.log)
  t.after(() => database.end().catch(() => undefined))
  return database
}

/** @param prepare run as a superuser, before the tables are looked at */
export async function openRegistry(
  t: Cleanup,
  options: PlatformOptions & { readonly prepare?: string } = {},
): Promise<OpenedRegistry> {
  const platform = await platformDatabase(t, options)
  if (options.prepare !== undefined) await platform.query(options.prepare)
  const log = new RememberingLog()
  const database = openPool(t, platform.connection, log)
  const found = await inspectRegistry(database)
  const persistence: Persistence = {
    clock: systemClock,
    random: Math.random,
    signal: new AbortController().signal,
    failed: (cause) => {
      throw cause
    },
    answered: () => undefined,
  }
  const limit = new LogLimit(systemClock)
  return { ...platform, database, schema: () => found, log, limit, persistence }
}

/** Tenant acme with device pump-7 at north; more columns as SQL. */
export const PUMP = `
  INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme'), ('other', 'Other');
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'pump-7', 'north')`

export const FORCED = `
  ALTER TABLE device_registry FORCE ROW LEVEL SECURITY;
  ALTER TABLE device_certificates FORCE ROW LEVEL SECURITY`
