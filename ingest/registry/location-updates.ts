/**
 * Where devices say they are, into device_registry: only what has changed, at most once a minute per
 * device, never over a location that somebody set by hand. No message waits for it or fails by it.
 */
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { literal, type Database } from '../database.ts'
import type { LogLimit } from '../log-limit.ts'
import type { Location } from '../telemetry.ts'
import { preamble } from './block.ts'
import type { DeviceName } from './records.ts'
import type { RegistrySchema } from './registry-schema.ts'

const EVERY_MS = 60_000
const MAX_DEVICES = 50_000
/** Devices in one statement. */
const MAX_ROWS = 500

interface Known {
  readonly key: string
  location: Location
  readonly name: DeviceName
  nextAt: number
}

export class LocationUpdates {
  readonly #database: Database
  readonly #schema: () => RegistrySchema
  readonly #clock: Clock
  readonly #log: Log
  readonly #limit: LogLimit
  readonly #known = new Map<string, Known>()
  /** Changed since they were written, by device. */
  readonly #changed = new Map<string, Known>()
  #flushing: Promise<void> | undefined

  constructor(parts: {
    readonly database: Database
    readonly schema: () => RegistrySchema
    readonly clock: Clock
    readonly log: Log
    readonly limit: LogLimit
  }) {
    this.#database = parts.database
    this.#schema = parts.schema
    this.#clock = parts.clock
    this.#log = parts.log
    this.#limit = parts.limit
  }

  /** Memory only; never throws. */
  moved(key: string, { tenantId, deviceId }: DeviceName, location: Location): void {
    const known = this.#known.get(key)
    if (known === undefined) {
      if (this.#known.size >= MAX_DEVICES) this.#forgetOldest()
      const fresh = { key, location, name: { tenantId, deviceId }, nextAt: -Infinity }
      this.#known.set(key, fresh)
      this.#changed.set(key, fresh)
      return
    }
    const { latitude, longitude } = known.location
    if (latitude === location.latitude && longitude === location.longitude) return
    known.location = location
    this.#changed.set(key, known)
  }

  /** Writes what is due; never rejects. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  async #flush(): Promise<void> {
    const { deviceRegistry } = this.#schema()
    const columns = ['latitude', 'longitude', 'location_source']
    if (!columns.every((name) => deviceRegistry.has(name))) {
      this.#changed.clear()
      return
    }
    const now = this.#clock.monotonic()
    const byTenant = new Map<string, Known[]>()
    for (const [key, known] of this.#changed) {
      if (known.nextAt > now) continue
      this.#changed.delete(key)
      known.nextAt = now + EVERY_MS
      const { tenantId } = known.name
      const others = byTenant.get(tenantId)
      if (others === undefined) byTenant.set(tenantId, [known])
      else others.push(known)
    }
    for (const [tenantId, devices] of byTenant) {
      for (let i = 0; i < devices.length; i += MAX_ROWS) {
        await this.#write(tenantId, devices.slice(i, i + MAX_ROWS))
      }
    }
  }

  async #write(tenantId: string, devices: readonly Known[]): Promise<void> {
    const json = JSON.stringify(
      devices.map(({ name, location }) => ({ d: name.deviceId, ...location })),
    )
    try {
      await this.#database.run((client) =>
        client.query(
          `${preamble(this.#database, this.#schema().write, tenantId)}
           UPDATE device_registry r
              SET latitude = k.latitude, longitude = k.longitude, location_source = 'auto'
             FROM jsonb_to_recordset(${literal(json)}::jsonb)
                  AS k (d text, latitude float8, longitude float8)
            WHERE r.tenant_id = ${literal(tenantId)} AND r.device_id = k.d
              AND (r.location_source IS NULL OR r.location_source = 'auto')
              AND (r.latitude, r.longitude) IS DISTINCT FROM (k.latitude, k.longitude)`,
        ),
      )
    } catch (err) {
      for (const known of devices) this.#changed.set(known.key, known)
      this.#limit.pass('location.failed', (suppressed) => {
        this.#log.warn({ event: 'location.failed', err, suppressed }, 'locations were not written')
      })
    }
  }

  #forgetOldest(): void {
    for (const key of this.#known.keys()) {
      this.#known.delete(key)
      this.#changed.delete(key)
      return
    }
  }
}
