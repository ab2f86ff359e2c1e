/** The quarantine of a database for a process without ingest: the command an operator types. */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { Database } from './database.ts'
import { inspectDownlink } from './downlink/tables.ts'
import { QuarantineReplay, type ReplayOutcome } from './quarantine-replay.ts'
import { QuarantineReview } from './quarantine-review.ts'
import { QuarantineRows } from './quarantine-rows.ts'
import { PLAIN, type Access } from './registry/block.ts'
import { readAccess, wantedRegistry } from './registry/registry-schema.ts'
import { inspectSchema, type Schema } from './schema.ts'

export interface OpenQuarantine {
  readonly review: QuarantineReview
  /**
   * Each message on its own, in this order; calls back with what became of it. Stops at the first
   * failure that is not the message's, and throws it.
   */
  replay(
    ids: readonly string[],
    vouched: boolean,
    told: (id: string, outcome: ReplayOutcome) => void,
  ): Promise<void>
  close(): Promise<void>
}

/** @throws SchemaUnusable, or what connecting throws */
export async function openQuarantine(options: {
  readonly config: IngestConfig
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** 0 to 1. */
  readonly random: () => number
  /** Who does it, by the name the operating system has for them: for `audit_log`. */
  readonly operator: string
  /** Something that the operator should know of, in words; the command goes on. */
  readonly warn: (text: string) => void
}): Promise<OpenQuarantine> {
  const { config, clock, log, operator, warn } = options
  const database = new Database(config.database, config.statementTimeoutMs, clock, log)
  try {
    const schema = await inspectSchema(database)
    const rows = new QuarantineRows({
      database,
      schema,
      access: await accessOf(database, schema, warn),
      auditColumns: (await inspectDownlink(database)).auditColumns,
      operator,
      clock,
      unaudited: (problem) => warn(`audit_log has no line about this: ${problem}`),
    })
    return {
      review: new QuarantineReview(rows),
      replay: async (ids, vouched, told) => {
        const registrySchema = await wantedRegistry(config, database)
        const parts = { ...options, database, schema, rows, registrySchema, vouched }
        const replay = await QuarantineReplay.start(parts)
        try {
          for (const id of ids) told(id, await replay.replay(id))
        } finally {
          await replay.stop()
        }
      },
      close: () => database.end(),
    }
  } catch (err) {
    await database.end()
    throw err
  }
}

/** In whose name rows are read and taken out: the login role if it sees them all. */
async function accessOf(
  database: Database,
  { quarantineColumns }: Schema,
  warn: (text: string) => void,
): Promise<Access> {
  if (quarantineColumns.size === 0) return PLAIN
  const access = await readAccess(database, ['quarantine_events'])
  if (!access.byTenant) return access
  warn('row-level security may hide messages: let the login role become pulse_operator')
  return PLAIN
}
