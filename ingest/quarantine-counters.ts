/** How many messages of a tenant were rejected in a minute and why: `quarantine_counters_minute`. */
import type { PoolClient } from 'pg'
import type { Log } from '../core/log.ts'
import type { Database } from './database.ts'
import type { LogLimit } from './log-limit.ts'
import { faultOf } from './sqlstate.ts'
import { formatTimestamp } from './timestamp.ts'

/** Counters held at the most, of all minutes that are not written yet. */
const MAX_KEYS = 10_000
const MINUTE_MS = 60_000

interface Count {
  readonly minute: number
  readonly tenantId: string
  readonly reason: string
  count: number
}

export class QuarantineCounters {
  readonly #database: Database
  readonly #log: Log
  readonly #limit: LogLimit
  #counts = new Map<string, Count>()
  #flushing: Promise<void> | undefined

  constructor(database: Database, log: Log, limit: LogLimit) {
    this.#database = database
    this.#log = log
    this.#limit = limit
  }

  /** Memory only. Beyond the bound a rejection of a new kind is not counted. */
  add(now: number, tenantId: string, reason: string, count = 1): void {
    const minute = now - (now % MINUTE_MS)
    const key = `${minute} ${reason} ${tenantId}`
    const known = this.#counts.get(key)
    if (known !== undefined) known.count += count
    else if (this.#counts.size < MAX_KEYS) {
      this.#counts.set(key, { minute, tenantId, reason, count })
    }
  }

  /**
   * Adds what was counted to the table; never rejects. Without a database the counts are kept for the
   * next time; a COMMIT whose outcome got lost is counted twice.
   */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  async #flush(): Promise<void> {
    if (this.#counts.size === 0) return
    const counts = this.#counts
    this.#counts = new Map()
    const byTenant = new Map<string, Count[]>()
    for (const count of counts.values()) {
      const known = byTenant.get(count.tenantId)
      if (known === undefined) byTenant.set(count.tenantId, [count])
      else known.push(count)
    }
    try {
      await this.#database.transaction((client) => this.#upsert(client, byTenant))
    } catch (err) {
      const again = faultOf(err) === 'transient'
      if (again) {
        for (const c of counts.values()) this.add(c.minute, c.tenantId, c.reason, c.count)
      }
      this.#limit.pass('counters.failed', (suppressed) => {
        this.#log.warn(
          { event: 'counters.failed', err, suppressed },
          again ? 'rejections are counted later' : 'rejections could not be counted',
        )
      })
    }
  }

  /** Tenants and keys in one order everywhere, so that two processes cannot wait for each other. */
  async #upsert(
    client: PoolClient,
    byTenant: ReadonlyMap<string, readonly Count[]>,
  ): Promise<void> {
    for (const [tenantId, counts] of [...byTenant].sort(([a], [b]) => (a < b ? -1 : 1))) {
      // Row-level security lets a tenant's counters be written only in the tenant's name.
      await client.query(`SELECT set_config('app.tenant_id', $1, true)`, [tenantId])
      await client.query(
        `INSERT INTO quarantine_counters_minute AS c (bucket_minute, tenant_id, reason, cnt)
         SELECT u.minute, $1, u.reason, u.cnt
           FROM unnest($2::timestamptz[], $3::text[], $4::bigint[]) AS u (minute, reason, cnt)
          ORDER BY 1, 3
         ON CONFLICT (bucket_minute, tenant_id, reason) DO UPDATE SET cnt = c.cnt + excluded.cnt`,
        [
          tenantId,
          counts.map(({ minute }) => formatTimestamp({ ms: minute, us: 0 })),
          counts.map(({ reason }) => reason),
          counts.map(({ count }) => count),
        ],
      )
    }
  }
}
