/**
 * Registers devices that send although nobody registered them, while the tenant's subscription has
 * room. One at a time in this process, and one per device among all processes: each takes an advisory
 * lock by a hash of the device's name that is the same everywhere.
 */
import { createHash } from 'node:crypto'
import type { PoolClient } from 'pg'
import type { Log } from '../../core/log.ts'
import { literal, type Database } from '../database.ts'
import { preamble } from './block.ts'
import { untilAnswered, type Persistence } from './persistence.ts'
import type { DeviceName } from './records.ts'
import type { RegistrySchema } from './registry-schema.ts'

export type Provisioned = 'registered' | 'no_capacity'

interface Subscription {
  readonly subscription_id: string
  readonly has_room: boolean | null
}

export class AutoProvision {
  readonly #database: Database
  readonly #schema: () => RegistrySchema
  readonly #persistence: Persistence
  readonly #log: Log
  readonly #underway = new Map<string, Promise<Provisioned>>()
  #last: Promise<unknown> = Promise.resolve()
  #hasExplained = false

  constructor(parts: {
    readonly database: Database
    readonly schema: () => RegistrySchema
    readonly persistence: Persistence
    readonly log: Log
  }) {
    this.#database = parts.database
    this.#schema = parts.schema
    this.#persistence = parts.persistence
    this.#log = parts.log
  }

  /**
   * `registered` also when somebody else was faster. Those who ask for the same device share the
   * answer.
   *
   * @throws IngestStopped, or what PostgreSQL says against the device
   */
  provision(key: string, name: DeviceName, siteId: string): Promise<Provisioned> {
    const known = this.#underway.get(key)
    if (known !== undefined) return known
    const turn = this.#last.then(() =>
      untilAnswered(() => this.#attempt(key, name, siteId), this.#persistence),
    )
    const answer = turn.finally(() => this.#underway.delete(key))
    this.#underway.set(key, answer)
    this.#last = answer.catch(() => undefined)
    return answer
  }

  async #attempt(key: string, name: DeviceName, siteId: string): Promise<Provisioned> {
    const schema = this.#schema()
    if (schema.subscriptions.size === 0 || !schema.deviceRegistry.has('subscription_id')) {
      if (!this.#hasExplained) {
        this.#hasExplained = true
        this.#log.warn(
          { event: 'provision.refused' },
          'AUTO_PROVISION has no effect: there is no table subscriptions to count devices by',
        )
      }
      return 'no_capacity'
    }
    const { tenantId, deviceId } = name
    const outcome = await this.#database.run(async (client) => {
      await client.query(`BEGIN; ${preamble(this.#database, schema.write, tenantId)}
        SELECT pg_advisory_xact_lock(${lockOf(key)})`)
      try {
        const done = await register(client, name, siteId)
        await client.query(done === 'made' ? 'COMMIT' : 'ROLLBACK')
        return done
      } catch (err) {
        // The connection may be used again, and must not keep lock and role.
        await client.query('ROLLBACK').catch(() => undefined)
        throw err
      }
    })
    if (outcome === 'made') {
      this.#log.info(
        { event: 'device.provisioned', tenant_id: tenantId, device_id: deviceId, site_id: siteId },
        'an unknown device was registered',
      )
    }
    return outcome === 'no_capacity' ? 'no_capacity' : 'registered'
  }
}

/** Within a transaction that holds the device's lock. */
async function register(
  client: PoolClient,
  { tenantId, deviceId }: DeviceName,
  siteId: string,
): Promise<'known' | 'no_capacity' | 'made'> {
  const known = await client.query(
    'SELECT 1 FROM device_registry WHERE tenant_id = $1 AND device_id = $2',
    [tenantId, deviceId],
  )
  if (known.rows.length > 0) return 'known'
  const oldest = await client.query<Subscription>(
    `SELECT subscription_id, active_device_count < device_limit AS has_room FROM subscriptions
      WHERE tenant_id = $1 AND status = 'ACTIVE' AND subscription_type = 'MAIN'
      ORDER BY created_at, subscription_id LIMIT 1 FOR UPDATE`,
    [tenantId],
  )
  const [subscription] = oldest.rows
  if (subscription?.has_room !== true) return 'no_capacity'
  await client.query(
    `INSERT INTO device_registry (tenant_id, device_id, site_id, status, subscription_id)
     VALUES ($1, $2, $3, 'ACTIVE', $4)`,
    [tenantId, deviceId, siteId, subscription.subscription_id],
  )
  await client.query(
    `UPDATE subscriptions SET active_device_count = active_device_count + 1, updated_at = now()
      WHERE subscription_id = $1`,
    [subscription.subscription_id],
  )
  return 'made'
}

/** An int64 as SQL. */
function lockOf(key: string): string {
  const hash = createHash('sha256').update(`midge:provision:${key}`).digest()
  return `${literal(String(hash.readBigInt64BE(0)))}::bigint`
}
