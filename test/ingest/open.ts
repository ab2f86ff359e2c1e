/** Ingest, or parts of it, over a database of the test's own. */
import type { IngestConfig } from '../../config/types.ts'
import { systemClock } from '../../core/clock.ts'
import { createMetrics, type Metrics } from '../../core/metrics.ts'
import { Database } from '../../ingest/database.ts'
import { inspectDownlink } from '../../ingest/downlink/tables.ts'
import { createIngest, type Ingest } from '../../ingest/index.ts'
import { migrate } from '../../ingest/migrate.ts'
import { QuarantineRows } from '../../ingest/quarantine-rows.ts'
import { PLAIN, type Access } from '../../ingest/registry/block.ts'
import { inspectSchema, type Schema } from '../../ingest/schema.ts'
import { RememberingLog } from '../helpers/log.ts'
import { testDatabase, type TestConnection, type TestDatabase } from '../helpers/postgres.ts'
import { MAX_PAYLOAD } from './messages.ts'

interface Cleanup {
  after(then: () => Promise<void>): void
}

export function ingestConfig(
  connection: TestConnection,
  changes: Partial<IngestConfig> = {},
): IngestConfig {
  return {
    database: { ...connection, poolMax: 5, migrate: true },
    maxPayloadBytes: MAX_PAYLOAD,
    batchSize: 1000,
    writers: 2,
    maxWaitingRecords: 55_000,
    maxWaitingBytes: 128 << 20,
    statementTimeoutMs: 30_000,
    storeRejects: true,
    acknowledge: 'commit',
    ...changes,
  }
}

export interface Opened {
  readonly ingest: Ingest
  readonly log: RememberingLog
  readonly metrics: Metrics
}

/** Stopped when the test is over. */
export async function openIngest(t: Cleanup, config: IngestConfig): Promise<Opened> {
  const log = new RememberingLog()
  const metrics = createMetrics()
  const ingest = await createIngest({
    config,
    clock: systemClock,
    log: log.log,
    metrics,
    random: Math.random,
  })
  t.after(() => ingest.stop(0))
  return { ingest, log, metrics }
}

export interface OpenedDatabase extends TestDatabase {
  readonly database: Database
  readonly log: RememberingLog
  /** As it is when asked. */
  schema(): Promise<Schema>
}

/** Our tables unless `migrated` is false; `prepare` runs behind it as the owner. */
export async function openDatabase(
  t: Cleanup,
  options: { migrated?: boolean; prepare?: string; timeoutMs?: number } = {},
): Promise<OpenedDatabase> {
  const test = await testDatabase(t)
  const log = new RememberingLog()
  const config = { ...test.connection, poolMax: 4, migrate: true }
  const database = new Database(config, options.timeoutMs ?? 30_000, systemClock, log.log)
  t.after(() => database.end().catch(() => undefined))
  if (options.migrated !== false) await migrate(database, log.log)
  if (options.prepare !== undefined) await test.query(options.prepare)
  return { ...test, database, log, schema: () => inspectSchema(database) }
}

/** The quarantine as an operator called alice has it before her; what she is told goes to `told`. */
export async function quarantineRows(
  { database, schema }: Pick<OpenedDatabase, 'database' | 'schema'>,
  { told = [], access = PLAIN }: { readonly told?: string[]; readonly access?: Access } = {},
): Promise<QuarantineRows> {
  return new QuarantineRows({
    database,
    schema: await schema(),
    access,
    auditColumns: (await inspectDownlink(database)).auditColumns,
    operator: 'alice',
    clock: { now: () => AUDITED_AT },
    unaudited: (problem) => void told.push(problem),
  })
}

export const AUDITED_AT = Date.parse('2026-03-01T12:00:00Z')
