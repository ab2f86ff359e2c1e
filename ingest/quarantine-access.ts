/** The quarantine of a database for a process without ingest: the command an operator types. */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { Database } from './database.ts'
import { QuarantineReplay, type ReplayOutcome } from './quarantine-replay.ts'
import { QuarantineReview } from './quarantine-review.ts'
import { wantedRegistry } from './registry/registry-schema.ts'
import { inspectSchema } from './schema.ts'

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
}): Promise<OpenQuarantine> {
  const { config, clock, log } = options
  const database = new Database(config.database, config.statementTimeoutMs, clock, log)
  try {
    const schema = await inspectSchema(database)
    return {
      review: new QuarantineReview(database, schema),
      replay: async (ids, vouched, told) => {
        const registrySchema = await wantedRegistry(config, database)
        const parts = { ...options, database, schema, registrySchema, vouched }
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
