import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { createIngest, readLastRows } from '../../ingest/index.ts'
import { RememberingLog } from '../helpers/log.ts'
import { FakeClock } from '../helpers/clock.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { message, numbered, publisher } from './messages.ts'
import { ingestConfig, openIngest } from './open.ts'

test('a message that was appended is a row when its promise settles', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, ingestConfig(connection))
  await ingest.append(
    message('{"ts":"2026-02-09T09:15:23.045678Z","site_id":"north","seq":41,"metrics":{"a":1.10}}'),
  )
  assert.deepEqual(await ingest.lastRows(10), [
    {
      time: '2026-02-09T09:15:23.045678Z',
      tenantId: 'acme',
      deviceId: 'pump-7',
      siteId: 'north',
      msgType: 'telemetry',
      seq: '41',
      metrics: '{"a": 1.10}',
    },
  ])
  assert.deepEqual(await query('SELECT publisher FROM telemetry'), [
    { publisher: `device:${'ab'.repeat(32)}` },
  ])
  const { last_write_at, ...counters } = ingest.counters()
  assert.deepEqual(counters, {
    messages_received: 1,
    messages_written: 1,
    messages_rejected: 0,
    queue_depth: 0,
  })
  assert.ok(Math.abs(Date.now() - Date.parse(last_write_at ?? '')) < 60_000)
  assert.deepEqual(ingest.ready(), { ready: true })
})

test('poison rows among a thousand are quarantined, and every other row is there', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, metrics } = await openIngest(t, ingestConfig(connection))
  const poison = [0, 1, 250, 500, 501, 998, 999]
  await query(`ALTER TABLE telemetry ADD CHECK (seq NOT IN (${poison.join(', ')}))`)
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 1000 }, (_, i) =>
      ingest.append(numbered(i, { device: `d${i % 7}` })).then(() => order.push(i)),
    ),
  )
  assert.deepEqual(
    order,
    Array.from({ length: 1000 }, (_, i) => i),
  )
  const stored = await query('SELECT seq::int FROM telemetry ORDER BY seq')
  assert.deepEqual(
    stored.map(({ seq }) => Number(seq)),
    order.filter((i) => !poison.includes(i)),
  )
  assert.deepEqual(
    await query(
      `SELECT (payload->>'seq')::int AS seq, reason, tenant_id FROM quarantine_events ORDER BY 1`,
    ),
    poison.map((seq) => ({ seq, reason: 'ROW_REJECTED:23514', tenant_id: 'acme' })),
  )
  const isolated = await metrics.ingestRowsIsolated.get()
  assert.equal(isolated.values[0]?.value, poison.length)
  assert.deepEqual(ingest.ready(), { ready: true })
})

test('a message that is rejected is in the quarantine when its promise settles', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, ingestConfig(connection))
  await ingest.append(message('{"provision_token":"tok-1"}'))
  assert.deepEqual(await query('SELECT reason, payload FROM quarantine_events'), [
    { reason: 'MISSING_SITE_ID', payload: { provision_token: '***' } },
  ])
  await ingest.append(message('no json'))
  ingest.recordDenied({ ...numbered(0), topic: 'tenant/b/device/c/telemetry', publisher })
  await ingest.stop(10_000)
  assert.deepEqual(
    await query('SELECT reason, cnt::int FROM quarantine_counters_minute ORDER BY reason'),
    [
      { reason: 'AUTH_FAILED', cnt: 1 },
      { reason: 'INVALID_JSON', cnt: 1 },
      { reason: 'MISSING_SITE_ID', cnt: 1 },
    ],
  )
  assert.deepEqual(
    await query(
      'SELECT reason, payload, topic, device_id FROM quarantine_events ORDER BY id OFFSET 1',
    ),
    [
      {
        reason: 'INVALID_JSON',
        payload: { raw: 'no json' },
        topic: 'tenant/acme/device/pump-7/telemetry',
        device_id: 'pump-7',
      },
      {
        reason: 'AUTH_FAILED',
        payload: { seq: 0, metrics: { n: 0 }, site_id: 'north' },
        topic: 'tenant/b/device/c/telemetry',
        device_id: 'pump-7',
      },
    ],
  )
  assert.equal(ingest.counters().messages_rejected, 3)
})

test('connections that are cut cost a retry, and no row', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, ingestConfig(connection, { batchSize: 20 }))
  const appended = Array.from({ length: 2000 }, (_, i) => ingest.append(numbered(i)))
  for (let i = 0; i < 5; i++) {
    await appended[i * 300]
    await query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user
          AND pid <> pg_backend_pid()`,
    )
  }
  await Promise.all(appended)
  const [found] = await query('SELECT count(DISTINCT seq)::int AS rows FROM telemetry')
  assert.deepEqual(found, { rows: 2000 })
})

test('rows wait for a table that was taken away, and are stored when it is back', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, log } = await openIngest(t, ingestConfig(connection))
  await query('ALTER TABLE telemetry RENAME TO elsewhere')
  let settled = 0
  const appended = Array.from({ length: 20 }, (_, i) =>
    ingest.append(numbered(i)).then(() => settled++),
  )
  await log.until('batch.held', { level: 'error' })
  assert.deepEqual(ingest.ready(), { ready: false, reason: 'batch_writer' })
  assert.equal(settled, 0)
  await query('ALTER TABLE elsewhere RENAME TO telemetry')
  await Promise.all(appended)
  assert.deepEqual(await query('SELECT count(*)::int AS rows FROM telemetry'), [{ rows: 20 }])
  assert.deepEqual(await query('SELECT count(*)::int AS rows FROM quarantine_events'), [
    { rows: 0 },
  ])
  assert.deepEqual(ingest.ready(), { ready: true })
})

test('stop stores what is held, then takes nothing more', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, log } = await openIngest(t, ingestConfig(connection, { batchSize: 10 }))
  const appended = Array.from({ length: 300 }, (_, i) => ingest.append(numbered(i)))
  const stopped = ingest.stop(30_000)
  assert.deepEqual(ingest.ready(), { ready: false, reason: 'batch_writer' })
  await assert.rejects(ingest.append(numbered(300)), { name: 'IngestStopped' })
  await stopped
  await Promise.all(appended)
  assert.deepEqual(await query('SELECT count(*)::int AS rows FROM telemetry'), [{ rows: 300 }])
  assert.equal(log.last('ingest.stopped')?.['level'], 'info')
  assert.equal(log.last('records.given_up'), undefined)
  await ingest.stop(0)
})

test('stop at its deadline rejects what is not stored', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, log } = await openIngest(t, ingestConfig(connection))
  await query('ALTER TABLE telemetry RENAME TO elsewhere')
  const appended = Array.from({ length: 3 }, (_, i) => ingest.append(numbered(i)))
  const outcomes = Promise.allSettled(appended)
  await log.until('batch.held')
  await ingest.stop(10)
  for (const outcome of await outcomes) {
    assert.equal(outcome.status === 'rejected' && (outcome.reason as Error).name, 'IngestStopped')
  }
  assert.equal(log.last('records.given_up')?.['records'], 3)
})

test('flush settles when everything is stored, and goes on taking', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, ingestConfig(connection, { acknowledge: 'buffer' }))
  for (let i = 0; i < 50; i++) await ingest.append(numbered(i))
  await ingest.flush(30_000)
  assert.deepEqual(await query('SELECT count(*)::int AS rows FROM telemetry'), [{ rows: 50 }])
  await ingest.append(numbered(50))
})

test('the last rows are the latest of all tenants', async (t) => {
  const { connection } = await testDatabase(t)
  const config = ingestConfig(connection)
  const { ingest } = await openIngest(t, config)
  assert.deepEqual(await ingest.lastRows(5), [])
  for (let i = 0; i < 12; i++) {
    const ts = `2026-02-09T09:15:${String(10 + i)}Z`
    const payload = JSON.stringify({ ts, site_id: 's', seq: i })
    await ingest.append(message(payload, { tenant: `t${i % 3}`, device: `d${i % 2}` }))
  }
  const seqsOf = (rows: readonly { seq: string | null }[]) => rows.map(({ seq }) => Number(seq))
  assert.deepEqual(seqsOf(await ingest.lastRows(5)), [11, 10, 9, 8, 7])
  assert.deepEqual(seqsOf(await readLastRows(config.database, 3)), [11, 10, 9])
  assert.equal((await ingest.lastRows(1_000_000)).length, 12)
  assert.equal((await ingest.lastRows(-1)).length, 1)
  assert.deepEqual([await ingest.countRows('t1'), await ingest.countRows('none')], [4, 0])
})

test('a start without tables of its own waits for them, and gives up with what was missing', async (t) => {
  const { connection, query } = await testDatabase(t)
  const config = ingestConfig(connection)
  const database = { ...config.database, migrate: false }
  const clock = new FakeClock()
  const log = new RememberingLog()
  const start = () =>
    createIngest({
      config: { ...config, database },
      // The database is waited for by the fake clock; statements have their own deadline.
      clock: { ...systemClock, monotonic: () => clock.monotonic(), sleep: (ms) => clock.sleep(ms) },
      log: log.log,
      metrics: createMetrics(),
      random: Math.random,
    })
  const nextWait = async (count: number) => {
    while (log.lines.filter((line) => line['event'] === 'database.awaited').length < count) {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const failed = assert.rejects(start(), {
    code: 'DATABASE_UNREACHABLE',
    message: /within 60 s: there is no table telemetry/,
  })
  await nextWait(1)
  clock.advance(60_000)
  await failed

  const started = start()
  await nextWait(2)
  await query(`CREATE TABLE telemetry ("time" timestamptz, tenant_id text, device_id text, site_id text,
               msg_type text, seq bigint, metrics jsonb)`)
  clock.advance(1_000)
  const ingest = await started
  t.after(async () => {
    const stopped = ingest.stop(0)
    clock.advance(5_000)
    await stopped
  })
  await ingest.append(numbered(1))
  await ingest.append(message('{}'))
  assert.deepEqual(await query('SELECT seq::int FROM telemetry'), [{ seq: 1 }])
  assert.equal(log.last('quarantine.missing')?.['level'], 'warn')
})

test('a server that is not there is waited for, then told with its address', async () => {
  const clock = new FakeClock()
  const log = new RememberingLog()
  const connection = {
    connectionString: undefined,
    host: '127.0.0.1',
    port: 1,
    user: 'u',
    password: 'secret-1',
    database: 'd',
  }
  const failed = assert.rejects(
    createIngest({
      config: ingestConfig(connection),
      clock,
      log: log.log,
      metrics: createMetrics(),
      random: Math.random,
    }),
    { code: 'DATABASE_UNREACHABLE', message: /ECONNREFUSED/ },
  )
  await log.until('database.awaited')
  clock.advance(60_000)
  await failed
  assert.ok(!JSON.stringify(log.lines).includes('secret-1'))
})
