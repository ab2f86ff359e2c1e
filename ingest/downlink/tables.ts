/** What is there of the tables around telemetry; looked at once, at start. */
import type { Database } from '../database.ts'
import { TenantTransactions, tenantRoleFor } from '../tenant-transactions.ts'

export interface DownlinkTables {
  /** `device_state` with the columns of a shadow. */
  readonly hasShadows: boolean
  readonly hasCommands: boolean
  readonly hasRegistry: boolean
  readonly hasConnectionEvents: boolean
  /** Of `audit_log`; empty when there is no such table. */
  readonly auditColumns: ReadonlySet<string>
  /** The role that sees every tenant's devices, where row-level security would hide them from us. */
  readonly registryRole: string | undefined
  /** For shadows and commands. */
  readonly transactions: TenantTransactions
  /** For connection events. */
  readonly eventTransactions: TenantTransactions
}

const SHADOW = [
  'reported_state',
  'reported_version',
  'desired_state',
  'desired_version',
  'last_seen_at',
]

export async function inspectDownlink(database: Database): Promise<DownlinkTables> {
  const columns = await database.rows<{ relation: string; name: string }>(
    `SELECT c.relname::text AS relation, a.attname::text AS name
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.oid IN (to_regclass('device_state'), to_regclass('device_commands'),
                      to_regclass('device_registry'), to_regclass('device_connection_events'),
                      to_regclass('audit_log'))
        AND a.attnum > 0 AND NOT a.attisdropped`,
  )
  const of = (relation: string) =>
    new Set(columns.filter((column) => column.relation === relation).map(({ name }) => name))
  const state = of('device_state')
  const hasRegistry = of('device_registry').has('provision_token_hash')
  const events = [{ name: 'device_connection_events', privilege: 'INSERT' }] as const
  const written = [
    { name: 'device_state', privilege: 'UPDATE' },
    { name: 'device_commands', privilege: 'UPDATE' },
  ] as const
  return {
    hasShadows: SHADOW.every((name) => state.has(name)),
    hasCommands: of('device_commands').has('ack_details'),
    hasRegistry,
    hasConnectionEvents: of('device_connection_events').size > 0,
    auditColumns: of('audit_log'),
    registryRole: hasRegistry ? await registryRole(database) : undefined,
    transactions: new TenantTransactions(database, await tenantRoleFor(database, written)),
    eventTransactions: new TenantTransactions(database, await tenantRoleFor(database, events)),
  }
}

async function registryRole(database: Database): Promise<string | undefined> {
  const [found] = await database.rows<{ name: string }>(
    `SELECT rolname::text AS name FROM pg_roles
      WHERE rolname = 'pulse_operator' AND row_security_active('device_registry')
        AND pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                  THEN 'SET' ELSE 'MEMBER' END)
        AND has_table_privilege(oid, to_regclass('device_registry'), 'SELECT')`,
  )
  return found?.name
}
