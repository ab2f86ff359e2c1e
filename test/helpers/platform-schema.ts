/**
 * The platform's tables as ingest meets them in operation: made by somebody else, with row-level
 * security by tenant, and a login role that is no superuser. Two generations: the newer one has
 * `device_subscriptions`, the older one `subscriptions` and device_state without the shadow.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { packageRoot } from '../../core/package-root.ts'
import { testDatabase, type Query, type TestConnection } from './postgres.ts'

export interface PlatformOptions {
  readonly generation?: 'current' | 'old'
  /**
   * Who logs in: the owner of the tables, a member of the role that owns them, the same but not a
   * member of pulse_app, or a superuser.
   */
  readonly login?: 'owner' | 'member' | 'outsider' | 'superuser'
}

export interface PlatformDatabase {
  /** For ingest. */
  readonly connection: TestConnection
  /** As a superuser: sees and does everything. */
  readonly query: Query
}

interface Cleanup {
  after(then: () => Promise<void>): void
}

/** Tables with a policy by `app.tenant_id` for pulse_app; `forced` ones bind their owner too. */
const TENANT_TABLES = new Map([
  ['device_registry', ''],
  ['device_state', 'forced'],
  ['device_certificates', ''],
  ['device_commands', ''],
  ['device_connection_events', ''],
  ['device_subscriptions', ''],
])

const ROLES = `
  DO $$ BEGIN
    CREATE ROLE pulse_app NOLOGIN;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
  DO $$ BEGIN
    CREATE ROLE pulse_operator NOLOGIN BYPASSRLS;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`

/** A database of the test's own; the roles pulse_app and pulse_operator are of the server. */
export async function platformDatabase(
  t: Cleanup,
  { generation = 'current', login = 'owner' }: PlatformOptions = {},
): Promise<PlatformDatabase> {
  const database = await testDatabase(t)
  const name = `midge_test_iot_${process.pid}_${randomBytes(4).toString('hex')}`
  const query = queryOn(database.superuser)
  await query(ROLES)
  await query(`CREATE ROLE ${name} LOGIN PASSWORD '${name}'`)
  await query(`CREATE ROLE ${name}_owner NOLOGIN`)
  // The database may be gone by then, or not: then its tables keep the roles.
  t.after(async () => {
    await queryOn({ ...database.superuser, database: 'postgres' })(
      `DROP ROLE IF EXISTS ${name}; DROP ROLE IF EXISTS ${name}_owner`,
    ).catch(() => undefined)
  })
  if (login !== 'outsider') await query(`GRANT pulse_app, pulse_operator TO ${name}`)
  if (login !== 'owner') await query(`GRANT ${name}_owner TO ${name}`)

  await query(await readFile(join(packageRoot(), 'ingest/migrations/0001_base.sql'), 'utf8'))
  await query('CREATE TABLE schema_migrations (version text PRIMARY KEY)')
  // Columns of ours that the platform does not know.
  await query('ALTER TABLE telemetry DROP COLUMN publisher')
  await query('ALTER TABLE quarantine_events DROP COLUMN publisher')
  if (generation === 'old') await query(OLD)
  await query(securityOf(login === 'owner' ? name : `${name}_owner`))
  return {
    connection: login === 'superuser' ? database.superuser : asUser(database.connection, name),
    query,
  }
}

const OLD = `
  DROP TABLE device_subscriptions;
  CREATE TABLE subscriptions (
    subscription_id text PRIMARY KEY, tenant_id text NOT NULL, subscription_type text NOT NULL,
    parent_subscription_id text, device_limit int, active_device_count int NOT NULL DEFAULT 0,
    term_start timestamptz NOT NULL DEFAULT now(), term_end timestamptz NOT NULL,
    status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now());
  ALTER TABLE device_state DROP COLUMN desired_state, DROP COLUMN reported_state,
    DROP COLUMN desired_version, DROP COLUMN reported_version, DROP COLUMN shadow_updated_at`

function securityOf(owner: string): string {
  const policies = [...TENANT_TABLES].map(
    ([table, forced]) => `
      IF to_regclass('${table}') IS NOT NULL THEN
        ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
        ${forced === '' ? '' : `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;`}
        CREATE POLICY tenant_isolation ON ${table} TO pulse_app
          USING (tenant_id = current_setting('app.tenant_id', true))
          WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
      END IF;`,
  )
  return `
    DO $$ DECLARE r record; BEGIN
      FOR r IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S')
      LOOP
        -- A serial's sequence follows its table.
        IF r.relkind = 'r' THEN EXECUTE format('ALTER TABLE %s OWNER TO ${owner}', r.name); END IF;
      END LOOP;
      ${policies.join('')}
      ALTER TABLE quarantine_counters_minute ENABLE ROW LEVEL SECURITY;
      ALTER TABLE quarantine_counters_minute FORCE ROW LEVEL SECURITY;
      CREATE POLICY tenant_isolation ON quarantine_counters_minute
        USING (tenant_id = current_setting('app.tenant_id', true))
        WITH CHECK (tenant_id = current_setting('app.tenant_id', true));
      ALTER TABLE quarantine_events ENABLE ROW LEVEL SECURITY;
      ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
    END $$;
    GRANT USAGE ON SCHEMA public TO pulse_app, pulse_operator;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO pulse_app;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO pulse_operator;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO pulse_app`
}

function asUser(connection: TestConnection, name: string): TestConnection {
  if (connection.connectionString === undefined) {
    return { ...connection, user: name, password: name }
  }
  const url = new URL(connection.connectionString)
  url.username = name
  url.password = name
  return { ...connection, connectionString: url.href }
}

function queryOn(connection: TestConnection): Query {
  return async (sql, params) => {
    const client = new Client({ ...connection })
    client.on('error', () => undefined)
    await client.connect()
    try {
      const answer =
        params === undefined
          ? await client.query<Record<string, unknown>>(sql)
          : await client.query<Record<string, unknown>>(sql, [...params])
      return Array.isArray(answer) ? [] : answer.rows
    } finally {
      await client.end()
    }
  }
}
