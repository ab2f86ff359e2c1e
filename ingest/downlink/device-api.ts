/** What a device may ask for over HTTP, with its provision token as the only proof of who it is. */
import { createHash } from 'node:crypto'
import { OperationalError } from '../../core/errors.ts'
import type { Database } from '../database.ts'
import { faultOf } from '../sqlstate.ts'
import { ackDetailsOf } from './report.ts'
import { acknowledgeCommands, applyShadows, type Outcome } from './statements.ts'
import type { DownlinkTables } from './tables.ts'

export interface TokenDevice {
  readonly tenantId: string
  readonly deviceId: string
}

export interface DesiredShadow {
  /** JSON text, as stored. */
  readonly desired: string
  readonly version: number
}

export interface DeviceApi {
  /** Undefined: the token of no ACTIVE device, or of more than one. */
  identify(token: string): Promise<TokenDevice | undefined>
  /** Undefined: there is no state of this device yet. */
  shadow(device: TokenDevice): Promise<DesiredShadow | undefined>
  /** @param reported JSON text of an object; `false`: PostgreSQL's jsonb cannot hold it */
  report(device: TokenDevice, reported: string, version: number): Promise<boolean>
  /** JSON text of an array: queued and not expired, oldest first, at most 20. */
  pendingCommands(device: TokenDevice): Promise<string>
  /** `unknown`: no such command is queued for this device; `invalid`: jsonb cannot hold the details. */
  acknowledge(
    device: TokenDevice,
    commandId: string,
    answer: { readonly status: string; readonly details: object | null },
  ): Promise<'acknowledged' | 'unknown' | 'invalid'>
}

/** Requests at the database at once: those who write telemetry need its connections too. */
const MAX_AT_ONCE = 2
const MAX_WAITING = 200

/** Too many requests wait for the database already. */
export class DeviceApiBusy extends OperationalError {
  constructor(waiting: number) {
    super('DEVICE_API_BUSY', `${waiting} requests of devices wait for PostgreSQL already`)
  }
}

export class DatabaseDeviceApi implements DeviceApi {
  readonly #database: Database
  readonly #tables: DownlinkTables
  readonly #told: (kind: 'shadow_reported' | 'command_ack', outcome: Outcome) => void
  readonly #queue: (() => void)[] = []
  #running = 0

  constructor(
    database: Database,
    tables: DownlinkTables,
    told: (kind: 'shadow_reported' | 'command_ack', outcome: Outcome) => void,
  ) {
    this.#database = database
    this.#tables = tables
    this.#told = told
  }

  identify(token: string): Promise<TokenDevice | undefined> {
    const { hasRegistry, registryRole } = this.#tables
    if (!hasRegistry) return Promise.resolve(undefined)
    // The index finds a hash, not a token: how long it takes says nothing about any token.
    const hash = createHash('sha256').update(token, 'utf8').digest('hex')
    return this.#admit(async () => {
      const found = await this.#database.run(async (client) => {
        const role = registryRole === undefined ? '' : `; SET LOCAL ROLE ${registryRole}`
        await client.query(`BEGIN READ ONLY; ${this.#database.setTimeout}${role}`)
        try {
          const { rows } = await client.query<{ tenantId: string; deviceId: string }>(
            `SELECT tenant_id AS "tenantId", device_id AS "deviceId" FROM device_registry
              WHERE provision_token_hash = $1 AND status = 'ACTIVE' LIMIT 2`,
            [hash],
          )
          return rows
        } finally {
          await client.query('ROLLBACK').catch(() => undefined)
        }
      })
      return found.length === 1 ? found[0] : undefined
    })
  }

  async shadow({ tenantId, deviceId }: TokenDevice): Promise<DesiredShadow | undefined> {
    if (!this.#tables.hasShadows) return undefined
    const [found] = await this.#rows<{ desired: string; version: number }>(
      tenantId,
      `SELECT desired_state::text AS desired, desired_version AS version FROM device_state
        WHERE tenant_id = $1 AND device_id = $2`,
      [tenantId, deviceId],
    )
    return found
  }

  async report(device: TokenDevice, reported: string, version: number): Promise<boolean> {
    const { hasShadows, hasRegistry, transactions } = this.#tables
    if (!hasShadows) return true
    const { tenantId, deviceId } = device
    const reports = [{ deviceId, reported, version }]
    const outcomes = await this.#unlessRefused(() =>
      transactions.run(async (client, enter) => {
        await enter(tenantId)
        return applyShadows(client, tenantId, reports, hasRegistry)
      }),
    )
    if (outcomes === undefined) return false
    this.#told('shadow_reported', outcomes[0] ?? 'no_row')
    return true
  }

  async pendingCommands({ tenantId, deviceId }: TokenDevice): Promise<string> {
    if (!this.#tables.hasCommands) return '[]'
    const [found] = await this.#rows<{ commands: string }>(
      tenantId,
      // Built by the server: numbers in params stay as they were stored.
      `SELECT coalesce(json_agg(json_build_object('command_id', c.command_id,
                'type', c.command_type, 'params', c.command_params, 'expires_at',
                to_char(c.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                ORDER BY c.created_at, c.command_id), '[]')::text AS commands
         FROM (SELECT * FROM device_commands
                WHERE tenant_id = $1 AND device_id = $2 AND status = 'queued'
                  AND expires_at > now()
                ORDER BY created_at, command_id LIMIT 20) c`,
      [tenantId, deviceId],
    )
    return found?.commands ?? '[]'
  }

  async acknowledge(
    { tenantId, deviceId }: TokenDevice,
    commandId: string,
    { status, details }: { readonly status: string; readonly details: object | null },
  ): Promise<'acknowledged' | 'unknown' | 'invalid'> {
    const { hasCommands, hasRegistry, transactions } = this.#tables
    if (!hasCommands || commandId.includes('\0')) return 'unknown'
    const ackDetails = ackDetailsOf(JSON.stringify(status), JSON.stringify(details))
    const acks = [{ deviceId, commandId, ackDetails }]
    const outcomes = await this.#unlessRefused(() =>
      transactions.run(async (client, enter) => {
        await enter(tenantId)
        return acknowledgeCommands(client, tenantId, acks, hasRegistry)
      }),
    )
    if (outcomes === undefined) return 'invalid'
    this.#told('command_ack', outcomes[0] ?? 'no_row')
    return outcomes[0] === 'applied' ? 'acknowledged' : 'unknown'
  }

  #rows<R extends Record<string, unknown>>(
    tenantId: string,
    sql: string,
    values: unknown[],
  ): Promise<R[]> {
    return this.#admit(() =>
      this.#tables.transactions.run(async (client, enter) => {
        await enter(tenantId)
        return (await client.query<R>(sql, values)).rows
      }),
    )
  }

  /** Undefined when a value is to blame. */
  async #unlessRefused<T>(write: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#admit(write)
    } catch (err) {
      if (faultOf(err) === 'rejected') return undefined
      throw err
    }
  }

  async #admit<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= MAX_AT_ONCE) {
      if (this.#queue.length >= MAX_WAITING) throw new DeviceApiBusy(this.#queue.length)
      // Whoever leaves hands over his place, so that nobody slips in between.
      await new Promise<void>((resolve) => this.#queue.push(resolve))
    } else this.#running++
    try {
      return await work()
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
