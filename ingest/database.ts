/**
 * The pool, and the only way to a connection of it. What runs on one keeps to PgBouncer's
 * transaction pooling: unnamed statements, no SET outside a transaction, nothing kept between two.
 */
import { Pool, type PoolClient, type PoolConfig, type QueryResultRow } from 'pg'
import type { DatabaseConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { faultOf } from './sqlstate.ts'

/** Beyond the server's own statement_timeout: then the connection is dead rather than slow. */
const GRACE_MS = 5_000
const CONNECT_TIMEOUT_MS = 5_000
const IDLE_TIMEOUT_MS = 60_000

export class Database {
  readonly #pool: Pool
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #inUse = new Set<PoolClient>()

  constructor(config: DatabaseConfig, timeoutMs: number, clock: Clock, log: Log) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#pool = new Pool({
      ...connectionOf(config),
      max: config.poolMax,
      ...(config.poolMin === undefined ? {} : { min: config.poolMin }),
      application_name: 'midge',
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      allowExitOnIdle: true,
    })
    // While a client is checked out the pool does not listen to it, from before we get it until after
    // we gave it back; an 'error' of the server's in between would end the process.
    this.#pool.on('connect', (client) => client.on('error', ignore))
    this.#pool.on('error', (err) => {
      log.debug({ event: 'database.disconnected', err }, 'an idle connection ended')
    })
  }

  /** Connections open. */
  get size(): number {
    return this.#pool.totalCount
  }

  /** Connections open that do nothing, or could be opened. */
  get free(): number {
    return this.#pool.idleCount + (this.#pool.options.max - this.#pool.totalCount)
  }

  /** For a transaction's `SET LOCAL statement_timeout`: it ends with the transaction, PgBouncer or not. */
  get setTimeout(): string {
    return `SET LOCAL statement_timeout = ${Math.max(1, Math.trunc(this.#timeoutMs))}`
  }

  /**
   * Runs `use` with a connection of its own, for as long as one statement may take. The connection
   * is kept only when the server is well: after any fault but that of a value it is closed, so that
   * the next one may find another server (switch-over, restart).
   */
  async run<T>(use: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    this.#inUse.add(client)
    const cancel = this.#clock.after(this.#timeoutMs + GRACE_MS, () => destroy(client))
    let failed = false
    try {
      const result = await use(client)
      // Rows written now would be acknowledged, and undone when the connection ends.
      if (client.getTransactionStatus() !== 'I') throw new Error('a transaction was left open')
      return result
    } catch (err) {
      failed = faultOf(err) !== 'rejected'
      throw err
    } finally {
      cancel()
      this.#inUse.delete(client)
      client.release(failed || client.getTransactionStatus() !== 'I')
    }
  }

  /**
   * Several statements without parameters as one message: one round trip, and one transaction,
   * since PostgreSQL takes them as an implicit block. Whatever comes from outside must have gone
   * through `literal`.
   *
   * @returns the rows that the last statement wrote
   */
  async runBlock(sql: string): Promise<number> {
    const results: unknown = await this.run((client) => client.query(`${this.setTimeout}; ${sql}`))
    const last: unknown = Array.isArray(results) ? results.at(-1) : results
    if (typeof last !== 'object' || last === null || !('rowCount' in last)) return 0
    return typeof last.rowCount === 'number' ? last.rowCount : 0
  }

  /** Rows of one statement in a transaction of its own. */
  async rows<R extends QueryResultRow>(sql: string, values: unknown[] = []): Promise<R[]> {
    return this.run(async (client) => (await client.query<R>(sql, values)).rows)
  }

  /**
   * Commits what `use` does, or nothing. A connection that goes back to the pool is never inside a
   * failed transaction.
   */
  async transaction<T>(use: (client: PoolClient) => Promise<T>): Promise<T> {
    return this.run(async (client) => {
      await client.query(`BEGIN; ${this.setTimeout}`)
      try {
        const result = await use(client)
        await client.query('COMMIT')
        return result
      } catch (err) {
        await client.query('ROLLBACK').catch(() => undefined)
        throw err
      }
    })
  }

  /** Is a server there that answers? */
  async isReachable(): Promise<boolean> {
    try {
      await this.rows('SELECT 1')
      return true
    } catch {
      return false
    }
  }

  /** Cuts every connection in use: what runs on them fails, its outcome unknown. */
  cut(): void {
    for (const client of this.#inUse) destroy(client)
  }

  /** Closes the pool; settles when every connection is closed. */
  async end(): Promise<void> {
    await this.#pool.end()
  }
}

/**
 * A text as an SQL literal, whatever standard_conforming_strings says. Not for U+0000. As pg's
 * escapeLiteral, which goes character by character: with 1000 rows in a text that took five times as
 * long as everything else here.
 */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return quoted.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

/**
 * Tries `attempt` until it works, one second apart, `maxMs` at the most, and says so in the log.
 * Returns the error of the last try, undefined when it worked.
 */
export async function waitForDatabase(
  attempt: () => Promise<void>,
  maxMs: number,
  clock: Clock,
  log: Log,
): Promise<unknown> {
  const until = clock.monotonic() + maxMs
  for (;;) {
    try {
      await attempt()
      return undefined
    } catch (err) {
      if (clock.monotonic() >= until) return err
      log.warn(
        { event: 'database.awaited', err },
        `PostgreSQL is not usable yet: ${messageOf(err)}`,
      )
      await clock.sleep(1_000)
    }
  }
}

/** The fields of a DatabaseConfig that say where, as pg takes them. */
export function connectionOf(config: DatabaseConfig): PoolConfig {
  const { connectionString, host, port, user, password, database } = config
  if (connectionString !== undefined) return { connectionString }
  return {
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database }),
  }
}

function destroy(client: PoolClient): void {
  client.connection.stream.destroy()
}

function ignore(): void {}
