import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from 'pg'
import { systemClock } from '../../core/clock.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import { QuarantineCounters } from '../../ingest/quarantine-counters.ts'
import { QuarantineStore } from '../../ingest/quarantine-store.ts'
import { rejectionOf, type Rejection } from '../../ingest/telemetry.ts'
import { message, publisher } from './messages.ts'
import { openDatabase, type OpenedDatabase } from './open.ts'

async function storeOf(opened: OpenedDatabase): Promise<QuarantineStore> {
  return new QuarantineStore(opened.database, await opened.schema())
}

function rejection(payload: string | Buffer, changes: Partial<Rejection> = {}): Rejection {
  return { ...rejectionOf(message(payload), 'TOKEN_INVALID'), ...changes }
}

test('a rejected message is kept with all that is known of it, without its token', async (t) => {
  const opened = await openDatabase(t)
  const payload =
    '{"version":2,"ts":"2026-02-09T09:15:23.123456Z","site_id":"north","provision_token":"tok-1","a":1.10}'
  await (await storeOf(opened)).insert([rejection(payload)])
  const rows = await opened.query(
    `SELECT topic, tenant_id, site_id, device_id, msg_type, reason, payload::text, envelope_version,
            publisher, event_ts = '2026-02-09T09:15:23.123456Z' AS at,
            ingested_at > now() - interval '1 minute' AS now FROM quarantine_events`,
  )
  assert.deepEqual(rows, [
    {
      topic: 'tenant/acme/device/pump-7/telemetry',
      tenant_id: 'acme',
      site_id: 'north',
      device_id: 'pump-7',
      msg_type: 'telemetry',
      reason: 'TOKEN_INVALID',
      payload:
        '{"a": 1.10, "ts": "2026-02-09T09:15:23.123456Z", "site_id": "north", "version": 2, "provision_token": "***"}',
      envelope_version: '2',
      publisher: `device:${'ab'.repeat(32)}`,
      at: true,
      now: true,
    },
  ])
})

test('whatever the payload is, the quarantine takes it', async (t) => {
  const opened = await openDatabase(t)
  const store = await storeOf(opened)
  const payloads = [
    '',
    'no json',
    Buffer.from([0, 1, 2, 0xff, 0xfe]),
    'null',
    '[1,2]',
    '{"a":"\\u0000","\\ud800":1e400}',
    '{"site_id":{"a":1},"version":[],"ts":5}',
    '{"site_id":"\\u0000","version":"\\udc00","ts":"\\u0000"}',
    '['.repeat(50_000),
    '['.repeat(100) + ']'.repeat(100),
    `{"a":"${"'$$\\\\".repeat(1000)}"}`,
    '{"__proto__":1}',
  ]
  await store.insert(
    payloads.map((payload) =>
      rejection(payload, {
        topic: `t\0\ud800/'"`,
        msgType: 'x\0',
        reason: `INGEST_EXCEPTION:x'\0`,
      }),
    ),
  )
  await store.insert([
    rejection('{}', { tenantId: undefined, deviceId: undefined, msgType: undefined }),
  ])
  await store.insert([rejection('{"a":1}', { error: 'boom\0' })])
  const [count] = await opened.query(
    'SELECT count(*)::int AS all, count(payload)::int AS payloads FROM quarantine_events',
  )
  assert.deepEqual(count, { all: payloads.length + 2, payloads: payloads.length + 2 })
  assert.deepEqual(
    await opened.query(
      `SELECT count(*)::int AS nulls FROM quarantine_events WHERE payload = 'null'`,
    ),
    [{ nulls: 1 }],
  )
  const [last] = await opened.query(
    'SELECT payload FROM quarantine_events ORDER BY id DESC LIMIT 1',
  )
  assert.deepEqual(last, { payload: { error: 'boom\ufffd', payload: { a: 1 } } })
})

test('a quarantine table without our columns takes what it can', async (t) => {
  const opened = await openDatabase(t, {
    prepare:
      'ALTER TABLE quarantine_events DROP COLUMN publisher, DROP COLUMN envelope_version, ADD COLUMN x text',
  })
  await (await storeOf(opened)).insert([rejection('{}')])
  assert.deepEqual(await opened.query('SELECT reason, x FROM quarantine_events'), [
    { reason: 'TOKEN_INVALID', x: null },
  ])
})

test('without the table there is no place for rejected messages', async (t) => {
  const opened = await openDatabase(t, { prepare: 'DROP TABLE quarantine_events' })
  assert.equal((await storeOf(opened)).isAvailable, false)
})

function countersOf({ database, log }: OpenedDatabase): QuarantineCounters {
  return new QuarantineCounters(database, log.log, new LogLimit(systemClock, 0))
}

const COUNTS = `SELECT to_char(bucket_minute AT TIME ZONE 'UTC', 'HH24:MI:SS') AS minute, tenant_id,
  reason, cnt::int FROM quarantine_counters_minute ORDER BY 1, 2, 3`
const NOON = Date.parse('2026-03-01T12:00:59.999Z')

test('rejections are counted by minute, tenant and reason, in one write', async (t) => {
  const opened = await openDatabase(t)
  const counters = countersOf(opened)
  for (let i = 0; i < 3; i++) counters.add(NOON, 'acme', 'TOKEN_INVALID')
  counters.add(NOON, 'acme', 'INVALID_JSON')
  counters.add(NOON, "o'neill", 'INVALID_JSON')
  counters.add(NOON + 1, 'acme', 'TOKEN_INVALID')
  await counters.flush()
  counters.add(NOON, 'acme', 'TOKEN_INVALID')
  await counters.flush()
  await counters.flush()
  assert.deepEqual(await opened.query(COUNTS), [
    { minute: '12:00:00', tenant_id: 'acme', reason: 'INVALID_JSON', cnt: 1 },
    { minute: '12:00:00', tenant_id: 'acme', reason: 'TOKEN_INVALID', cnt: 4 },
    { minute: '12:00:00', tenant_id: "o'neill", reason: 'INVALID_JSON', cnt: 1 },
    { minute: '12:01:00', tenant_id: 'acme', reason: 'TOKEN_INVALID', cnt: 1 },
  ])
})

test('counters are written where row-level security asks for the tenant’s name', async (t) => {
  const opened = await openDatabase(t, {
    prepare: `ALTER TABLE quarantine_counters_minute ENABLE ROW LEVEL SECURITY;
              ALTER TABLE quarantine_counters_minute FORCE ROW LEVEL SECURITY;
              CREATE POLICY own ON quarantine_counters_minute
                USING (tenant_id = current_setting('app.tenant_id', true))`,
  })
  const counters = countersOf(opened)
  counters.add(NOON, 'acme', 'INVALID_JSON')
  counters.add(NOON, 'zeta', 'INVALID_JSON')
  await counters.flush()
  assert.equal(opened.log.last('counters.failed'), undefined)
  const [own] = await opened.database.run(async (client) => {
    await client.query(`BEGIN; SET LOCAL app.tenant_id = 'zeta'`)
    const { rows } = await client.query<{ cnt: string }>(
      'SELECT cnt FROM quarantine_counters_minute',
    )
    await client.query('ROLLBACK')
    return rows.slice(0, 1)
  })
  assert.equal(own?.cnt, '1')
})

test('counters that cannot be written are kept while the server is away, dropped when it refuses', async (t) => {
  const opened = await openDatabase(t)
  const counters = countersOf(opened)
  counters.add(NOON, 'acme', 'INVALID_JSON')
  await opened.query('ALTER TABLE quarantine_counters_minute RENAME TO elsewhere')
  await counters.flush()
  assert.equal(opened.log.last('counters.failed')?.['level'], 'warn')
  await opened.query('ALTER TABLE elsewhere RENAME TO quarantine_counters_minute')
  await counters.flush()
  assert.deepEqual(await opened.query(COUNTS), [])

  const holder = new Client({ ...opened.connection })
  holder.on('error', () => undefined) // the database is dropped before it ends
  await holder.connect()
  t.after(() => holder.end())
  await holder.query('BEGIN; LOCK TABLE quarantine_counters_minute')
  counters.add(NOON, 'acme', 'TOKEN_INVALID')
  const flushed = counters.flush()
  counters.add(NOON, 'acme', 'TOKEN_INVALID')
  let cut: unknown[] = []
  while (cut.length === 0) {
    cut = await opened.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
          AND usename = current_user AND wait_event_type = 'Lock'`,
    )
  }
  await flushed
  await holder.query('ROLLBACK')
  await counters.flush()
  assert.deepEqual(await opened.query(COUNTS), [
    { minute: '12:00:00', tenant_id: 'acme', reason: 'TOKEN_INVALID', cnt: 2 },
  ])
})

test('a counter that PostgreSQL refuses does not cost the connection, which comes back fit for use', async (t) => {
  const opened = await openDatabase(t, {
    prepare: `ALTER TABLE quarantine_counters_minute ADD CHECK (reason <> 'INVALID_PAYLOAD')`,
  })
  const pid = 'SELECT pg_backend_pid() AS pid'
  const before = await opened.database.rows(pid)
  const counters = countersOf(opened)
  counters.add(NOON, 'acme', 'INVALID_PAYLOAD')
  await counters.flush()
  assert.equal(opened.log.last('counters.failed')?.['level'], 'warn')
  assert.deepEqual(await opened.database.rows(pid), before)
  counters.add(NOON, 'acme', 'INVALID_JSON')
  await counters.flush()
  assert.deepEqual(await opened.query(COUNTS), [
    { minute: '12:00:00', tenant_id: 'acme', reason: 'INVALID_JSON', cnt: 1 },
  ])
})

test('the identity of the connection is told as kind and name', async (t) => {
  const opened = await openDatabase(t)
  const store = await storeOf(opened)
  await store.insert([
    rejection('{}', { publisher: { ...publisher, kind: 'certificate' } }),
    rejection('{}', {
      publisher: { kind: 'account', userName: 'svc:1', clientId: 'c', fingerprint: undefined },
    }),
    rejection('{}', {
      publisher: { kind: 'anonymous', userName: undefined, clientId: 'c', fingerprint: undefined },
    }),
  ])
  assert.deepEqual(await opened.query('SELECT publisher FROM quarantine_events ORDER BY id'), [
    { publisher: `certificate:${'ab'.repeat(32)}` },
    { publisher: 'account:svc:1' },
    { publisher: 'anonymous:c' },
  ])
})
