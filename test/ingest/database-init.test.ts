import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { initDatabase, makeHypertables } from '../../ingest/database-init.ts'
import { openDatabase, type OpenedDatabase } from './open.ts'

function init({ connection }: OpenedDatabase) {
  const database = { ...connection, poolMax: 2, migrate: false }
  return initDatabase({ database, clock: systemClock, log: silentLog })
}

test('the tables are made on request, once', async (t) => {
  const opened = await openDatabase(t, { migrated: false })
  const first = await init(opened)
  assert.ok(first.applied.includes('0001_base.sql'))
  assert.deepEqual(first.hypertables, [])
  assert.deepEqual(await init(opened), { applied: [], hypertables: [] })
})

test('where schema_migrations exists nothing is made, and it is an error', async (t) => {
  const opened = await openDatabase(t, {
    migrated: false,
    prepare: 'CREATE TABLE schema_migrations (version text)',
  })
  await assert.rejects(init(opened), { code: 'SCHEMA_FOREIGN' })
  assert.deepEqual(
    await opened.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`),
    [{ tablename: 'schema_migrations' }],
  )
})

// Stands for TimescaleDB, which the test server does not have: it has the parameters we name and
// writes down what it is called with. That the extension takes the call is not shown here.
const FAKE = `
  CREATE SCHEMA "time ""scale";
  CREATE TABLE calls (relation text, col text, chunk interval, safe boolean);
  CREATE FUNCTION "time ""scale".create_hypertable(relation regclass, time_column_name name,
    chunk_time_interval anyelement, if_not_exists boolean DEFAULT false) RETURNS void LANGUAGE sql
    AS $$ INSERT INTO public.calls VALUES (relation::text, time_column_name, chunk_time_interval::text::interval, if_not_exists) $$`

test('empty tables become hypertables of one day', async (t) => {
  const { database, query } = await openDatabase(t, { prepare: FAKE })
  assert.deepEqual(await makeHypertables(database, 'time "scale'), [
    { table: 'telemetry', outcome: 'made' },
    { table: 'audit_log', outcome: 'made' },
  ])
  assert.deepEqual(await query('SELECT relation, col, chunk::text, safe FROM calls'), [
    { relation: 'telemetry', col: 'time', chunk: '1 day', safe: true },
    { relation: 'audit_log', col: 'timestamp', chunk: '1 day', safe: true },
  ])
})

test('a table with rows is left as it is, and the other one is not', async (t) => {
  const { database, query } = await openDatabase(t, {
    prepare: `${FAKE}; INSERT INTO telemetry ("time", tenant_id, device_id) VALUES (now(), 'a', 'b')`,
  })
  assert.deepEqual(await makeHypertables(database, 'time "scale'), [
    { table: 'telemetry', outcome: 'has_rows' },
    { table: 'audit_log', outcome: 'made' },
  ])
  assert.deepEqual(await query('SELECT relation FROM calls'), [{ relation: 'audit_log' }])
})

test('a hypertable that is refused leaves neither', async (t) => {
  const { database, query } = await openDatabase(t, {
    prepare: `${FAKE}; ALTER TABLE calls ADD CHECK (relation <> 'audit_log')`,
  })
  await assert.rejects(makeHypertables(database, 'time "scale'), { code: '23514' })
  assert.deepEqual(await query('SELECT relation FROM calls'), [])
})
