import type { QueryResult, QueryResultRow } from 'pg'
import { literal, type Database } from '../database.ts'

/** In whose name statements run. */
export interface Access {
  /** Undefined: the login role. */
  readonly role: 'pulse_app' | 'pulse_operator' | undefined
  /** Row-level security shows the rows of one tenant at a time. */
  readonly byTenant: boolean
}

export const PLAIN: Access = { role: undefined, byTenant: false }

/** What stands at the head of a transaction, to be followed by its statements; undone at its end. */
export function preamble(database: Database, { role }: Access, tenantId?: string): string {
  const lines = [database.setTimeout]
  // Before the setting: who may not take the role must not get as far as the tenant's name.
  if (role !== undefined) lines.push(`SET LOCAL ROLE ${role}`)
  if (tenantId !== undefined) {
    lines.push(`SELECT set_config('app.tenant_id', ${literal(tenantId)}, true)`)
  }
  return `${lines.join('; ')};`
}

/**
 * Rows of the last of several statements, which run as one transaction and one round trip. Whatever
 * comes from outside must have gone through `literal`.
 */
export async function blockRows<R extends QueryResultRow>(
  database: Database,
  sql: string,
): Promise<R[]> {
  return database.run(async (client) => lastOf<R>(await client.query<R>(sql)))
}

/** pg gives an array where there was more than one statement, whatever its types say. */
function lastOf<R extends QueryResultRow>(answer: QueryResult<R> | readonly QueryResult<R>[]): R[] {
  return 'rows' in answer ? answer.rows : (answer.at(-1)?.rows ?? [])
}
