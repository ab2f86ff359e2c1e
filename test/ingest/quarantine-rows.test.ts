import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { openQuarantine } from '../../ingest/quarantine-access.ts'
import { platformDatabase, type PlatformOptions } from '../helpers/platform-schema.ts'
import type { Query } from '../helpers/postgres.ts'
import { AUDITED_AT, ingestConfig, openDatabase, quarantineRows } from './open.ts'

const EVENTS = `
  INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'p1', 'north');
  INSERT INTO quarantine_events (id, ingested_at, topic, tenant_id, device_id, msg_type, reason, payload) VALUES
    (1, '2026-03-01T10:00:00Z', 'tenant/acme/device/p1/telemetry', 'acme', 'p1', 'telemetry',
     'UNREGISTERED_DEVICE', '{"site_id":"north"}'),
    (2, '2026-03-01T11:00:00Z', 'odd', NULL, NULL, NULL, 'BAD_TOPIC_FORMAT', '[]')`

const AUDIT = `SELECT tenant_id, event_type, category, severity, entity_type, entity_id, action,
    message, details, source_service, actor_type, actor_id, actor_name FROM audit_log
  ORDER BY details->>'quarantine_id'`

const REPLAYED = {
  tenant_id: 'acme',
  event_type: 'quarantine.replayed',
  category: 'device',
  severity: 'info',
  entity_type: 'device',
  entity_id: 'p1',
  action: 'replay',
  message: 'Replayed message 1 of p1: UNREGISTERED_DEVICE',
  details: {
    quarantine_id: '1',
    reason: 'UNREGISTERED_DEVICE',
    topic: 'tenant/acme/device/p1/telemetry',
    ingested_at: '2026-03-01T10:00:00.000000Z',
    vouched: true,
  },
  source_service: 'ingest',
  actor_type: 'user',
  actor_id: 'alice',
  actor_name: 'alice',
}
const DISCARDED = {
  ...REPLAYED,
  tenant_id: null,
  event_type: 'quarantine.discarded',
  entity_id: 'unknown',
  action: 'discard',
  message: 'Discarded message 2 of unknown: BAD_TOPIC_FORMAT',
  details: {
    quarantine_id: '2',
    reason: 'BAD_TOPIC_FORMAT',
    topic: 'odd',
    ingested_at: '2026-03-01T11:00:00.000000Z',
  },
}

/** Replays 1 and discards 2, as an operator does. */
async function work(
  t: { after(then: () => Promise<void>): void },
  options: PlatformOptions,
  prepare: string,
) {
  const { connection, query } = await platformDatabase(t, options)
  await query(`${EVENTS}; ${prepare}`)
  const warnings: string[] = []
  const config = ingestConfig(connection)
  const quarantine = await openQuarantine({
    config: { ...config, database: { ...config.database, migrate: false } },
    clock: systemClock,
    log: silentLog,
    metrics: createMetrics(),
    random: Math.random,
    operator: 'alice',
    warn: (text) => void warnings.push(text),
  })
  t.after(() => quarantine.close())
  return { quarantine, query, warnings }
}

async function left(query: Query): Promise<unknown> {
  const [row] = await query(
    `SELECT (SELECT count(*)::int FROM telemetry) AS rows,
            (SELECT count(*)::int FROM quarantine_events) AS kept`,
  )
  return row
}

test('what is replayed or discarded is in audit_log with who did it, whoever logs in', async (t) => {
  for (const login of ['owner', 'member', 'outsider', 'superuser'] as const) {
    const { quarantine, query, warnings } = await work(t, { login }, 'SELECT 1')
    assert.equal((await quarantine.review.list({ limit: 10 })).length, 2, login)
    const outcomes: string[] = []
    await quarantine.replay(['1'], true, (_, { outcome }) => void outcomes.push(outcome))
    assert.deepEqual(outcomes, ['stored'], login)
    assert.equal(await quarantine.review.discard('2'), true)
    assert.equal(await quarantine.review.discard('2'), false)
    assert.deepEqual(await query(AUDIT), [REPLAYED, DISCARDED], login)
    assert.deepEqual(await left(query), { rows: 1, kept: 0 }, login)
    assert.deepEqual(warnings, [], login)
  }
})

const HIDDEN = `
  ALTER TABLE quarantine_events FORCE ROW LEVEL SECURITY;
  ALTER TABLE audit_log FORCE ROW LEVEL SECURITY`

test('where row-level security hides the rows, pulse_operator sees and removes them', async (t) => {
  const { quarantine, query, warnings } = await work(
    t,
    { login: 'member' },
    `${HIDDEN}; GRANT DELETE ON quarantine_events TO pulse_operator`,
  )
  assert.equal((await quarantine.review.show('1'))?.reason, 'UNREGISTERED_DEVICE')
  await quarantine.replay(['1'], true, (_, { outcome }) => assert.equal(outcome, 'stored'))
  assert.equal(await quarantine.review.discard('2'), true)
  assert.deepEqual(await left(query), { rows: 1, kept: 0 })
  // The audit log takes nothing from this login; the work is done all the same, and that is said.
  assert.deepEqual(await query(AUDIT), [])
  assert.equal(new Set(warnings).size, 1)
  assert.match(warnings[0] ?? '', /^audit_log has no line about this: new row violates row-level/u)
})

test('a role that may only look leaves everything in its place', async (t) => {
  const { quarantine, query } = await work(t, { login: 'member' }, HIDDEN)
  assert.equal((await quarantine.review.list({ limit: 10 })).length, 2)
  await assert.rejects(quarantine.review.discard('2'), { code: 'QUARANTINE_FORBIDDEN' })
  await assert.rejects(
    quarantine.replay(['1'], true, () => undefined),
    { code: 'QUARANTINE_FORBIDDEN' },
  )
  assert.deepEqual(await left(query), { rows: 0, kept: 2 })
})

test('a login that no role helps is told that it may not see everything', async (t) => {
  const { quarantine, warnings } = await work(t, { login: 'outsider' }, HIDDEN)
  assert.deepEqual(await quarantine.review.list({ limit: 10 }), [])
  assert.deepEqual(warnings, [
    'row-level security may hide messages: let the login role become pulse_operator',
  ])
})

test('without a table audit_log, or its columns, the work is done and the rest is said', async (t) => {
  const told: string[] = []
  const none = await openDatabase(t, { prepare: `${EVENTS}; DROP TABLE audit_log` })
  const rows = await quarantineRows(none, { told })
  assert.equal(await rows.remove('1', { action: 'discard', done: 'discarded' }), true)
  assert.deepEqual(told, ['there is no table audit_log'])
  const some = await openDatabase(t, {
    prepare: `${EVENTS}; ALTER TABLE audit_log DROP COLUMN actor_id, DROP COLUMN details`,
  })
  const others = await quarantineRows(some, { told })
  assert.equal(await others.remove('1', { action: 'discard', done: 'discarded' }), true)
  assert.deepEqual(
    await some.query(
      'SELECT actor_name, event_type, extract(epoch FROM timestamp)::float8 AS at FROM audit_log',
    ),
    [{ actor_name: 'alice', event_type: 'quarantine.discarded', at: AUDITED_AT / 1000 }],
  )
  assert.equal(told.length, 1)
})

test('a message whose replay fails stays, and no line says otherwise', async (t) => {
  const opened = await openDatabase(t, { prepare: EVENTS })
  const rows = await quarantineRows(opened)
  await assert.rejects(
    rows.remove('1', { action: 'replay', done: 'replayed' }, (client) =>
      client.query('SELECT 1/0'),
    ),
    { code: '22012' },
  )
  assert.deepEqual(await left(opened.query), { rows: 0, kept: 2 })
  assert.deepEqual(await opened.query('SELECT 1 FROM audit_log'), [])
})
