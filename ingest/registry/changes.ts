/**
 * Looks for what was taken away lately: certificates revoked in the table, devices no longer active.
 * Without it a cached answer would be believed for minutes. Where the tables do not say when a row
 * changed, or row-level security hides other tenants, the caches' own times are all there is.
 */
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Database } from '../database.ts'
import type { LogLimit } from '../log-limit.ts'
import { blockRows, preamble } from './block.ts'
import type { DeviceName } from './records.ts'
import type { RegistrySchema } from './registry-schema.ts'

/** Transactions that began before the last look and were committed after it. */
const OVERLAP_SECONDS = 60
/** A large table is looked at less often: at most a twentieth of the time goes into it. */
const REST = 20

export interface ChangesParts {
  readonly database: Database
  readonly schema: () => RegistrySchema
  readonly clock: Clock
  readonly log: Log
  readonly limit: LogLimit
  /** May be called again for the same. `fingerprint`: only that certificate of the device. */
  readonly takenAway: (name: DeviceName, fingerprint: string | undefined) => void
}

export class Changes {
  readonly #parts: ChangesParts
  #lookedAt: number
  #notBefore = -Infinity
  #polling: Promise<void> | undefined

  constructor(parts: ChangesParts) {
    this.#parts = parts
    this.#lookedAt = parts.clock.monotonic()
  }

  /** Never rejects; what a failed look has missed is found by the next. */
  poll(): Promise<void> {
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined
    })
    return this.#polling
  }

  async #poll(): Promise<void> {
    const { database, schema, clock, log, limit, takenAway } = this.#parts
    const { read, ...tables } = schema()
    const began = clock.monotonic()
    if (read.byTenant || began < this.#notBefore) return
    const seconds = Math.ceil((began - this.#lookedAt) / 1000) + OVERLAP_SECONDS
    const since = `now() - interval '${seconds} seconds'`
    const looks: string[] = []
    if (tables.deviceCertificates.has('revoked_at')) {
      looks.push(`SELECT tenant_id::text, device_id::text, fingerprint_sha256::text AS fingerprint
                    FROM device_certificates WHERE status = 'REVOKED' AND revoked_at > ${since}`)
    }
    if (tables.deviceRegistry.has('updated_at')) {
      looks.push(`SELECT tenant_id::text, device_id::text, NULL::text AS fingerprint
                    FROM device_registry WHERE status <> 'ACTIVE' AND updated_at > ${since}`)
    }
    if (looks.length === 0) return
    try {
      const rows = await blockRows<{
        tenant_id: string
        device_id: string
        fingerprint: string | null
      }>(database, `${preamble(database, read)} ${looks.join(' UNION ALL ')}`)
      this.#lookedAt = began
      for (const { tenant_id: tenantId, device_id: deviceId, fingerprint } of rows) {
        takenAway({ tenantId, deviceId }, fingerprint ?? undefined)
      }
    } catch (err) {
      limit.pass('registry.unread', (suppressed) => {
        const event = { event: 'registry.unread', err, suppressed }
        log.warn(event, 'revocations in the database could not be looked for')
      })
    }
    const now = clock.monotonic()
    this.#notBefore = now + (now - began) * REST
  }
}
