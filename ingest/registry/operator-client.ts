/**
 * A connection of an operator's command, and transactions in the name of a tenant: databases differ
 * in who may write there. The owner of the tables and a superuser write as themselves; a login that
 * is only a member of `pulse_app` has to become it, and row-level security wants the tenant's name.
 */
import { Client, type ClientBase } from 'pg'
import type { DatabaseConfig } from '../../config/types.ts'
import { connectionOf, literal } from '../database.ts'

const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 60_000

export type OperatorClient = Pick<ClientBase, 'query'>

/** Runs `use` with a connection that is closed afterwards. */
export async function withClient<T>(
  config: DatabaseConfig,
  use: (client: OperatorClient) => Promise<T>,
): Promise<T> {
  const client = new Client({
    ...connectionOf(config),
    application_name: 'midge',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await use(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Which privilege on which table a transaction is for; table names are ours, never from outside. */
export type Needs = readonly (readonly [table: string, privilege: 'SELECT' | 'INSERT' | 'UPDATE'])[]

/**
 * One transaction with `app.tenant_id` set, as the login role where that may do it and sees every
 * row, else as `pulse_app` where that can be had.
 *
 * @param client outside a transaction
 */
export async function asTenant<T>(
  client: OperatorClient,
  tenantId: string,
  needs: Needs,
  work: () => Promise<T>,
): Promise<T> {
  await client.query(`BEGIN; SELECT set_config('app.tenant_id', ${literal(tenantId)}, true)`)
  try {
    if ((await standing(client, needs)) !== 'all rows') await become(client, 'pulse_app', needs)
    const result = await work()
    await client.query('COMMIT')
    return result
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw err
  }
}

/**
 * One transaction that reads the rows of all tenants: as the login role where that sees them, else
 * as `pulse_operator` where that can be had.
 */
export async function acrossTenants<T>(
  client: OperatorClient,
  needs: Needs,
  work: () => Promise<T>,
): Promise<T> {
  await client.query('BEGIN')
  try {
    if ((await standing(client, needs)) !== 'all rows')
      await become(client, 'pulse_operator', needs)
    const result = await work()
    await client.query('COMMIT')
    return result
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw err
  }
}

/** Takes the role for this transaction, or leaves everything as it is. */
async function become(
  client: OperatorClient,
  role: 'pulse_app' | 'pulse_operator',
  needs: Needs,
): Promise<void> {
  await client.query('SAVEPOINT role')
  try {
    // Membership is not enough from PostgreSQL 16 on (SET option): only trying tells.
    await client.query(`SET LOCAL ROLE ${role}`)
    if ((await standing(client, needs)) !== 'nothing') return
  } catch {
    // No such role, or not ours to take.
  }
  await client.query('ROLLBACK TO SAVEPOINT role')
}

async function standing(
  client: OperatorClient,
  needs: Needs,
): Promise<'all rows' | 'some rows' | 'nothing'> {
  const { rows } = await client.query<{ may: boolean | null; limited: boolean | null }>(
    `SELECT bool_and(has_table_privilege(n.table_name::regclass, n.privilege)) AS may,
            bool_or(row_security_active(n.table_name::regclass)) AS limited
       FROM unnest($1::text[], $2::text[]) AS n (table_name, privilege)`,
    [needs.map(([table]) => table), needs.map(([, privilege]) => privilege)],
  )
  if (rows[0]?.may !== true) return 'nothing'
  return rows[0].limited === true ? 'some rows' : 'all rows'
}
