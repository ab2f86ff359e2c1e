/**
 * Transactions in the name of a tenant, for tables with row-level security: `SET LOCAL ROLE pulse_app`
 * and `app.tenant_id`. It works for a superuser and for an owner, who need neither, and for a member
 * of the owner's role, whom forced row-level security would else show nothing.
 */
import type { PoolClient } from 'pg'
import type { Database } from './database.ts'

/** The platform's role for whatever belongs to one tenant; a role is of the whole server. */
const TENANT_ROLE = 'pulse_app'
/** Somebody else may hold a row; better to try again than to hold a connection. */
const LOCK_TIMEOUT_MS = 5_000

export class TenantTransactions {
  readonly #database: Database
  readonly #role: string | undefined

  /** @param role to take in each transaction; undefined: stay who we are */
  constructor(database: Database, role: string | undefined) {
    this.#database = database
    this.#role = role
  }

  /**
   * Commits what `use` does, or nothing. `enter` puts the statements that follow in a tenant's name;
   * a transaction may enter several, one after the other, each with a tenant that was validated.
   */
  run<T>(use: (client: PoolClient, enter: Enter) => Promise<T>): Promise<T> {
    return this.#database.run(async (client) => {
      const role = this.#role === undefined ? '' : `; SET LOCAL ROLE ${this.#role}`
      const lock = `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`
      await client.query(`BEGIN; ${this.#database.setTimeout}; ${lock}${role}`)
      try {
        const result = await use(client, async (tenantId) => {
          await client.query(`SELECT set_config('app.tenant_id', $1, true)`, [tenantId])
        })
        await client.query('COMMIT')
        return result
      } catch (err) {
        // A connection that goes back to the pool must not be inside a failed transaction.
        await client.query('ROLLBACK').catch(() => undefined)
        throw err
      }
    })
  }
}

export type Enter = (tenantId: string) => Promise<void>

/**
 * The role to write these tables with: pulse_app where the server has it, we may become it, and it
 * may write them all. Undefined otherwise: in a database that does not know it, it could do nothing.
 */
export async function tenantRoleFor(
  database: Database,
  tables: readonly { readonly name: string; readonly privilege: 'INSERT' | 'UPDATE' }[],
): Promise<string | undefined> {
  const [found] = await database.rows<{ usable: boolean }>(
    `SELECT pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                    THEN 'SET' ELSE 'MEMBER' END)
        AND coalesce((SELECT bool_and(CASE t.privilege
                WHEN 'INSERT' THEN has_table_privilege(r.oid, to_regclass(t.name), 'INSERT')
                ELSE has_any_column_privilege(r.oid, to_regclass(t.name), 'UPDATE') END)
              FROM unnest($2::text[], $3::text[]) AS t (name, privilege)
             WHERE to_regclass(t.name) IS NOT NULL), false) AS usable
       FROM pg_roles r WHERE r.rolname = $1`,
    [TENANT_ROLE, tables.map(({ name }) => name), tables.map(({ privilege }) => privilege)],
  )
  return found?.usable === true ? TENANT_ROLE : undefined
}
