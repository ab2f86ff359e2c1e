import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { migrate, migrationsDirectory } from '../../ingest/migrate.ts'
import { openDatabase } from './open.ts'

const FILES = readdirSync(migrationsDirectory()).sort()

const TABLES = [
  'app_settings',
  'audit_log',
  'device_certificates',
  'device_commands',
  'device_connection_events',
  'device_registry',
  'device_state',
  'device_subscriptions',
  'midge_migrations',
  'quarantine_counters_minute',
  'quarantine_events',
  'telemetry',
  'tenants',
]

const LIST = `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`

test('an empty database gets every table, once', async (t) => {
  const { database, log, query } = await openDatabase(t, { migrated: false })
  const first = await migrate(database, log.log)
  assert.deepEqual(first, FILES)
  const found = new Set((await query(LIST)).map(({ tablename }) => tablename))
  for (const table of TABLES) assert.ok(found.has(table), table)
  assert.deepEqual(await migrate(database, log.log), [])
})

test('a database of an earlier Midge gets what is new, and its triggers are there once', async (t) => {
  const { database, log, query } = await openDatabase(t, {
    migrated: false,
    prepare: `
      CREATE TABLE midge_migrations (
        name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
      INSERT INTO midge_migrations (name)
      VALUES ('0001_base.sql'), ('0002_registry.sql'), ('0003_message_key.sql')`,
  })
  for (const name of FILES.slice(0, 3)) {
    await query(await readFile(join(migrationsDirectory(), name), 'utf8'))
  }
  await query(`INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('a', 'b', 'c')`)
  assert.deepEqual(await migrate(database, log.log), ['0004_registry_notify.sql'])
  assert.deepEqual(await migrate(database, log.log), [])
  // As after a midge_migrations that was lost.
  await query(await readFile(join(migrationsDirectory(), '0004_registry_notify.sql'), 'utf8'))
  const triggers = await query(
    `SELECT tgname::text AS name FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1`,
  )
  assert.deepEqual(
    triggers.map(({ name }) => name),
    [
      'midge_certificate_changed',
      'midge_certificate_deleted',
      'midge_device_changed',
      'midge_device_deleted',
      'midge_subscription_changed',
      'midge_subscription_set',
    ],
  )
  assert.deepEqual(await query('SELECT device_id FROM device_registry'), [{ device_id: 'b' }])
})

test('two processes that migrate at once do it once', async (t) => {
  const { database, log } = await openDatabase(t, { migrated: false })
  const both = await Promise.all([migrate(database, log.log), migrate(database, log.log)])
  assert.deepEqual(both.flat(), FILES)
})

test('a database with a migrator of its own is left alone, and the log says so', async (t) => {
  const { database, log, query } = await openDatabase(t, {
    migrated: false,
    prepare: 'CREATE TABLE schema_migrations (version text)',
  })
  assert.deepEqual(await migrate(database, log.log), [])
  assert.deepEqual(await query(LIST), [{ tablename: 'schema_migrations' }])
  assert.equal(log.last('migrations.skipped')?.['level'], 'warn')
})

test('tables that are there already keep their rows and columns', async (t) => {
  const { database, log, query } = await openDatabase(t, {
    migrated: false,
    prepare: `CREATE TABLE tenants (tenant_id text PRIMARY KEY, name text NOT NULL, extra text);
              INSERT INTO tenants VALUES ('acme', 'Acme', 'x')`,
  })
  await migrate(database, log.log)
  assert.deepEqual(await query('SELECT * FROM tenants'), [
    { tenant_id: 'acme', name: 'Acme', extra: 'x' },
  ])
})

test('a migration that fails leaves nothing behind', async (t) => {
  const { database, log, query } = await openDatabase(t, {
    migrated: false,
    prepare: 'CREATE VIEW audit_log AS SELECT 1 AS x',
  })
  await assert.rejects(migrate(database, log.log))
  assert.deepEqual(await query(LIST), [])
})
