import type { Database } from './database.ts'
import type { Schema } from './schema.ts'

/**
 * Sentences on why "acknowledged means stored" does not hold on this server; none when it does. What
 * PostgreSQL commits is as durable as its settings make it, and no retry of ours adds to that.
 */
export async function durabilityWarnings(database: Database, schema: Schema): Promise<string[]> {
  const [settings] = await database.rows<Record<'fsync' | 'commit' | 'pages', string>>(
    `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
            current_setting('full_page_writes') AS pages`,
  )
  const warnings: string[] = []
  if (settings?.fsync !== 'on') {
    warnings.push('fsync is off: a power cut may lose acknowledged rows and the whole database')
  }
  if (settings?.commit === 'off') {
    warnings.push('synchronous_commit is off: a crash loses the rows acknowledged just before it')
  }
  if (settings?.pages !== 'on') {
    warnings.push('full_page_writes is off: a power cut may leave pages half written')
  }
  if (schema.telemetryIsUnlogged) {
    warnings.push('table telemetry is UNLOGGED: a crash of PostgreSQL empties it')
  }
  return warnings
}
