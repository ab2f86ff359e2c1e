/**
 * Which tables of the registry are there, with which columns, and in whose name they can be read and
 * written: databases of several generations and several ways of separating tenants are in use. Looked
 * at when ingest starts, and again when a table or column turns out to be gone.
 */
import type { IngestConfig } from '../../config/types.ts'
import type { Database } from '../database.ts'
import { SchemaUnusable } from '../errors.ts'
import { sqlstateOf } from '../sqlstate.ts'
import { blockRows, PLAIN, preamble, type Access } from './block.ts'

/** Names of the columns; empty when there is no such table. */
export type Columns = ReadonlySet<string>

export interface RegistrySchema {
  readonly deviceRegistry: Columns
  readonly deviceCertificates: Columns
  /** One for many devices, named by device_registry.subscription_id; gone in newer databases. */
  readonly subscriptions: Columns
  /** Of one device each. */
  readonly deviceSubscriptions: Columns
  readonly tenants: Columns
  readonly appSettings: Columns
  readonly read: Access
  readonly write: Access
  /** Row-level security hides devices, and no role that sees them all can be taken. */
  readonly seesPartly: boolean
}

const TABLES = [
  'device_registry',
  'device_certificates',
  'subscriptions',
  'device_subscriptions',
  'tenants',
  'app_settings',
] as const
const READ = ['device_registry', 'device_certificates', 'subscriptions', 'device_subscriptions']
const REQUIRED = ['tenant_id', 'device_id', 'site_id', 'status']

export async function inspectRegistry(database: Database): Promise<RegistrySchema> {
  const columns = await database.rows<{ relation: string; name: string }>(
    `SELECT c.relname::text AS relation, a.attname::text AS name
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.oid IN (${TABLES.map((name) => `to_regclass('${name}')`).join(', ')})
        AND a.attnum > 0 AND NOT a.attisdropped`,
  )
  const of = (table: (typeof TABLES)[number]): Columns =>
    new Set(columns.filter(({ relation }) => relation === table).map(({ name }) => name))
  const found = READ.filter((table) => columns.some(({ relation }) => relation === table))
  const read = await readAccess(database, found)
  return {
    deviceRegistry: of('device_registry'),
    deviceCertificates: of('device_certificates'),
    subscriptions: of('subscriptions'),
    deviceSubscriptions: of('device_subscriptions'),
    tenants: of('tenants'),
    appSettings: of('app_settings'),
    read,
    write: await writeAccess(database, found),
    seesPartly: read.byTenant && read.role === undefined,
  }
}

/** Table device_registry is there, with what every decision needs. */
export function isUsable({ deviceRegistry }: RegistrySchema): boolean {
  return REQUIRED.every((name) => deviceRegistry.has(name))
}

/** Undefined: the registry is not asked. @throws SchemaUnusable when it is to be and cannot be */
export async function wantedRegistry(
  { registry }: Pick<IngestConfig, 'registry'>,
  database: Database,
): Promise<RegistrySchema | undefined> {
  if (registry === undefined || registry.mode === 'off') return undefined
  const schema = await inspectRegistry(database)
  if (isUsable(schema)) return schema
  // A table that is there and lacks a column is a mistake; none at all is a database without one.
  if (registry.mode === 'auto' && schema.deviceRegistry.size === 0) return undefined
  throw new SchemaUnusable(
    'there is no table device_registry with tenant_id, device_id, site_id and status',
  )
}

/** As the login role if it sees every row; else as the role that reads all tenants, or one of them. */
export async function readAccess(database: Database, tables: readonly string[]): Promise<Access> {
  if (tables.length === 0) return PLAIN
  if (await seesAll(database, PLAIN, tables)) return PLAIN
  const operator: Access = { role: 'pulse_operator', byTenant: false }
  if (await seesAll(database, operator, tables)) return operator
  const app: Access = { role: 'pulse_app', byTenant: true }
  const may = await privileges(database, app, tables, 'SELECT')
  return may === undefined ? { role: undefined, byTenant: true } : app
}

/** As the role that writes in the name of a tenant, where there is one. */
async function writeAccess(database: Database, tables: readonly string[]): Promise<Access> {
  const app: Access = { role: 'pulse_app', byTenant: true }
  const registry = tables.filter((table) => table === 'device_registry')
  const may = await privileges(database, app, registry, 'UPDATE')
  return may === undefined ? { role: undefined, byTenant: true } : app
}

async function seesAll(
  database: Database,
  access: Access,
  tables: readonly string[],
): Promise<boolean> {
  return (await privileges(database, access, tables, 'SELECT')) === 'all rows'
}

/** Undefined: the role cannot be taken, or lacks the privilege on one of the tables. */
async function privileges(
  database: Database,
  access: Access,
  tables: readonly string[],
  privilege: 'SELECT' | 'UPDATE',
): Promise<'all rows' | 'some rows' | undefined> {
  try {
    const [row] = await blockRows<{ active: boolean | null; may: boolean | null }>(
      database,
      `${preamble(database, access)}
       SELECT bool_or(row_security_active(t.name::regclass)) AS active,
              bool_and(has_table_privilege(t.name::regclass, '${privilege}')) AS may
         FROM unnest(ARRAY[${tables.map((name) => `'${name}'`).join(', ')}]::text[]) AS t (name)`,
    )
    if (row?.may !== true) return undefined
    return row.active === true ? 'some rows' : 'all rows'
  } catch (err) {
    // No such role, not a member of it, no USAGE on the schema.
    if (['22023', '42501', '42704', '42P01'].includes(sqlstateOf(err) ?? '')) return undefined
    throw err
  }
}
