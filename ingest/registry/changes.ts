/**
 * Looks for what was taken away lately: certificates revoked in the table, devices no longer active.
 * Without it a cached answer would be believed for minutes. Where the tables do not say when a row
 * changed, or row-level security hides other tenants, the caches' own times are all there is.
 */
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Database } from '../database.ts'
import type { LogLimit } from '../log-limit.ts'
import { faultOf } from '../sqlstate.ts'
import { blockRows, preamble } from './block.ts'
import type { RegistryReader } from './reader.ts'
import type { DeviceName } from './records.ts'
import type { RegistrySchema } from './registry-schema.ts'

/** Transactions that began before the last look and were committed after it. */
const OVERLAP_SECONDS = 60
/** A large table is looked at less often: at most a twentieth of the time goes into it. */
const REST = 20

export interface ChangesParts {
  readonly database: Database
  readonly schema: () => RegistrySchema
  readonly reader: Pick<RegistryReader, 'takenAway'>
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly log: Log
  readonly limit: LogLimit
  /** May be called again for the same. `fingerprint`: only that certificate of the device. */
  readonly takenAway: (name: DeviceName, fingerprint: string | undefined) => void
}

export class Changes {
  readonly #parts: ChangesParts
  #lookedAt: number
  #notBefore = -Infinity
  #polling: Promise<boolean> | undefined

  constructor(parts: ChangesParts) {
    this.#parts = parts
    this.#lookedAt = parts.clock.monotonic()
  }

  /** Never rejects; false: what this look has missed is found by the next. */
  poll(): Promise<boolean> {
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined
    })
    return this.#polling
  }

  /** A look that begins after this call, as soon as one is due again. Never rejects. */
  async pollAgain(): Promise<boolean> {
    const { clock, signal } = this.#parts
    await this.#polling
    const rest = this.#notBefore - clock.monotonic()
    if (rest > 0) await clock.sleep(rest, signal)
    return this.poll()
  }

  /**
   * Reads these devices and their certificates whatever their rows say of when they changed, also
   * where one tenant is seen at a time. Never rejects; false: there was no answer.
   */
  async look(names: readonly DeviceName[]): Promise<boolean> {
    const { reader, takenAway } = this.#parts
    try {
      for (const { name, fingerprint } of await reader.takenAway(names)) {
        takenAway(name, fingerprint)
      }
      return true
    } catch (err) {
      this.#unread(err)
      // A name that no row can have must not stand in the way of its neighbours for ever.
      return faultOf(err) === 'rejected' ? this.pollAgain() : false
    }
  }

  #unread(err: unknown): void {
    const { log, limit } = this.#parts
    limit.pass('registry.unread', (suppressed) => {
      const event = { event: 'registry.unread', err, suppressed }
      log.warn(event, 'revocations in the database could not be looked for')
    })
  }

  async #poll(): Promise<boolean> {
    const { database, schema, clock, takenAway } = this.#parts
    const { read, ...tables } = schema()
    const began = clock.monotonic()
    if (read.byTenant) return true
    if (began < this.#notBefore) return false
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
    if (looks.length === 0) return true
    let answered = true
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
      answered = false
      this.#unread(err)
    }
    const now = clock.monotonic()
    this.#notBefore = now + (now - began) * REST
    return answered
  }
}
