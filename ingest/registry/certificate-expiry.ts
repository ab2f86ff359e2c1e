/** What the calendar does to certificates, written down: ACTIVE and past its notAfter is EXPIRED. */
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Database } from '../database.ts'
import { literal } from '../database.ts'
import { blockRows, preamble } from './block.ts'
import { inspectRegistry, type RegistrySchema } from './registry-schema.ts'

const HOUR_MS = 3_600_000
const PAST = `status = 'ACTIVE' AND not_after < now()`

/**
 * Now and every hour. No decision waits for it, since each looks at notAfter itself; it is for those
 * who read the table.
 *
 * @returns ends it
 */
export function expireHourly(parts: {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
}): () => void {
  let isStopped = false
  const { database, clock, log } = parts
  const run = () => {
    expireCertificates(database, log).catch((err: unknown) => {
      if (isStopped) return
      log.warn(
        { event: 'certificates.unexpired', err },
        'certificates past their notAfter could not be marked EXPIRED; again in an hour',
      )
    })
  }
  const stop = clock.every(HOUR_MS, run)
  run()
  return () => {
    isStopped = true
    stop()
  }
}

/** One transaction per tenant, in its name. @returns how many rows changed */
export async function expireCertificates(database: Database, log: Log): Promise<number> {
  const schema = await inspectRegistry(database)
  const columns = schema.deviceCertificates
  if (!['tenant_id', 'status', 'not_after'].every((name) => columns.has(name))) return 0
  const touched = columns.has('updated_at') ? ', updated_at = now()' : ''
  let total = 0
  for (const tenantId of await tenantsOf(database, schema)) {
    const expired = await database.runBlock(
      `${preamble(database, schema.write, tenantId)}
       UPDATE device_certificates SET status = 'EXPIRED'${touched}
        WHERE tenant_id = ${literal(tenantId)} AND ${PAST}`,
    )
    if (expired === 0) continue
    total += expired
    const event = { event: 'certificates.expired', tenant_id: tenantId, certificates: expired }
    log.info(event, 'certificates past their notAfter are EXPIRED now')
  }
  return total
}

/** Those that have any; where only one tenant's rows can be seen at a time, all there are. */
async function tenantsOf(database: Database, schema: RegistrySchema): Promise<readonly string[]> {
  const { read, tenants } = schema
  if (read.byTenant && tenants.size === 0) return []
  const from = read.byTenant ? 'tenants' : `device_certificates WHERE ${PAST}`
  const rows = await blockRows<{ tenant_id: string }>(
    database,
    `${preamble(database, read.byTenant ? { ...read, role: undefined } : read)}
     SELECT DISTINCT tenant_id::text AS tenant_id FROM ${from} ORDER BY 1`,
  )
  return rows.map(({ tenant_id }) => tenant_id)
}
