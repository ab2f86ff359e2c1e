/** Shadows and commands in a database that somebody else made, under every kind of login role. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../../core/clock.ts'
import { Database } from '../../../ingest/database.ts'
import { decodeReport, type DeviceReport } from '../../../ingest/downlink/report.ts'
import { DownlinkStore } from '../../../ingest/downlink/store.ts'
import { inspectDownlink } from '../../../ingest/downlink/tables.ts'
import { silentLog } from '../../../core/log.ts'
import { platformDatabase, type PlatformOptions } from '../../helpers/platform-schema.ts'
import { reportOf } from './reports.ts'

async function openStore(t: TestContext, options: PlatformOptions, asksRegistry = true) {
  const { connection, query } = await platformDatabase(t, options)
  const config = { ...connection, poolMax: 2, migrate: false }
  const database = new Database(config, 10_000, systemClock, silentLog)
  t.after(() => database.end())
  const tables = await inspectDownlink(database)
  const store = new DownlinkStore(tables, asksRegistry)
  const apply = (...reports: readonly DeviceReport[]) =>
    store.apply(
      reports.map((report) => {
        const decoded = decodeReport(report)
        assert.ok(typeof decoded === 'object', String(decoded))
        return decoded
      }),
    )
  return { query, database, tables, apply }
}

const DEVICES = `
  INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'A'), ('globex', 'G');
  INSERT INTO device_registry (tenant_id, device_id, site_id, status) VALUES
    ('acme', 'pump-7', 'north', 'ACTIVE'), ('acme', 'pump-8', 'north', 'ACTIVE'),
    ('acme', 'out', 'north', 'SUSPENDED'), ('acme', 'new', 'north', 'ACTIVE'),
    ('globex', 'pump-7', 'north', 'ACTIVE');
  INSERT INTO device_commands (tenant_id, device_id, command_id, command_type, status) VALUES
    ('acme', 'pump-7', 'c-1', 'reboot', 'queued'), ('acme', 'pump-8', 'c-2', 'reboot', 'queued'),
    ('acme', 'pump-7', 'c-3', 'reboot', 'missed'), ('acme', 'out', 'c-4', 'reboot', 'queued'),
    ('globex', 'pump-7', 'c-1', 'reboot', 'queued')`
const STATES = `
  INSERT INTO device_state (tenant_id, device_id, site_id, status, reported_version, reported_state)
    SELECT tenant_id, device_id, site_id, 'ONLINE', 5, '{"old":1}' FROM device_registry
     WHERE device_id <> 'new'`

for (const login of ['superuser', 'owner', 'member', 'outsider'] as const) {
  test(`shadows and commands of several tenants in one transaction, logged in as ${login}`, async (t) => {
    const { query, apply, tables } = await openStore(t, { login })
    await query(DEVICES)
    await query(STATES)
    const outcomes = await apply(
      reportOf('shadow_reported', '{"reported":{"n":12345678901234567890},"version":7}'),
      reportOf('shadow_reported', { reported: { a: 1 }, version: 3 }, { device: 'pump-8' }),
      reportOf('shadow_reported', { reported: { a: 1 } }, { device: 'out' }),
      reportOf('shadow_reported', { reported: { a: 1 } }, { device: 'new' }),
      reportOf('shadow_reported', { reported: {} }, { tenant: 'globex' }),
      reportOf('command_ack', { command_id: 'c-1', status: 'done', details: { n: 1 } }),
      reportOf('command_ack', { command_id: 'c-1', status: 'again' }),
      reportOf('command_ack', { command_id: 'c-2' }),
      reportOf('command_ack', { command_id: 'c-3' }),
      reportOf('command_ack', { command_id: 'c-4' }, { device: 'out' }),
      reportOf('command_ack', { command_id: 'none' }),
    )
    if (login === 'outsider') {
      // Forced row-level security, and no role to take: nothing is seen, and nothing is harmed.
      assert.deepEqual(outcomes.slice(0, 2), ['no_row', 'no_row'])
      return
    }
    assert.deepEqual(outcomes, [
      'applied',
      'applied',
      'not_active',
      'no_row',
      'applied',
      'applied',
      'no_row',
      'no_row',
      'no_row',
      'not_active',
      'no_row',
    ])
    assert.deepEqual(
      await query(
        `SELECT tenant_id || '/' || device_id AS device, reported_state::text AS state,
                reported_version AS version, last_seen_at IS NOT NULL AS seen, status
           FROM device_state ORDER BY 1`,
      ),
      [
        { device: 'acme/out', state: '{"old": 1}', version: 5, seen: false, status: 'ONLINE' },
        {
          device: 'acme/pump-7',
          state: '{"n": 12345678901234567890}',
          version: 7,
          seen: true,
          status: 'ONLINE',
        },
        { device: 'acme/pump-8', state: '{"a": 1}', version: 5, seen: true, status: 'ONLINE' },
        { device: 'globex/pump-7', state: '{}', version: 5, seen: true, status: 'ONLINE' },
      ],
    )
    assert.deepEqual(
      await query(
        `SELECT tenant_id AS tenant, command_id AS id, status, acked_at IS NOT NULL AS acked,
                ack_details AS details FROM device_commands ORDER BY 1, 2`,
      ),
      [
        {
          tenant: 'acme',
          id: 'c-1',
          status: 'delivered',
          acked: true,
          details: { status: 'done', details: { n: 1 } },
        },
        { tenant: 'acme', id: 'c-2', status: 'queued', acked: false, details: null },
        { tenant: 'acme', id: 'c-3', status: 'missed', acked: false, details: null },
        { tenant: 'acme', id: 'c-4', status: 'queued', acked: false, details: null },
        { tenant: 'globex', id: 'c-1', status: 'queued', acked: false, details: null },
      ],
    )
    assert.equal(tables.hasShadows, true)
  })
}

test('of several reports of a device in a batch the last stays, with the greatest version', async (t) => {
  const { query, apply } = await openStore(t, { login: 'owner' })
  await query(DEVICES)
  await query(STATES)
  await query(`
    CREATE TABLE updates (n serial);
    GRANT ALL ON updates, updates_n_seq TO PUBLIC;
    CREATE FUNCTION count_update() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN INSERT INTO updates DEFAULT VALUES; RETURN NULL; END';
    CREATE TRIGGER counted AFTER UPDATE ON device_state FOR EACH ROW EXECUTE FUNCTION count_update()`)
  const outcomes = await apply(
    reportOf('shadow_reported', { reported: { n: 1 }, version: 8 }),
    reportOf('shadow_reported', { reported: { n: 2 }, version: 99_999_999_999 }),
    reportOf('shadow_reported', { reported: { n: 3 }, version: 9 }),
  )
  assert.deepEqual(outcomes, ['applied', 'applied', 'applied'])
  const [row] = await query(
    `SELECT reported_state AS state, reported_version AS version FROM device_state
      WHERE tenant_id = 'acme' AND device_id = 'pump-7'`,
  )
  assert.deepEqual(row, { state: { n: 3 }, version: 2_147_483_647 })
  assert.equal((await query('SELECT 1 FROM updates')).length, 1)
})

test('a failed batch leaves nothing behind, and its connection is as good as new', async (t) => {
  const { query, apply, database } = await openStore(t, { login: 'owner' })
  await query(DEVICES)
  await query(STATES)
  await query(`ALTER TABLE device_state ADD CHECK (reported_state->>'n' IS DISTINCT FROM '13')`)
  const bad = reportOf('shadow_reported', { reported: { n: 13 } }, { device: 'pump-8' })
  const good = reportOf('shadow_reported', { reported: { n: 1 } })
  await assert.rejects(apply(good, bad), { code: '23514' })
  const [row] = await query(
    `SELECT reported_state AS state FROM device_state WHERE tenant_id = 'acme' AND device_id = 'pump-7'`,
  )
  assert.deepEqual(row, { state: { old: 1 } })
  assert.deepEqual(await database.rows('SELECT 1 AS one'), [{ one: 1 }])
  assert.deepEqual(await apply(good), ['applied'])
  const user = await database.rows(`SELECT current_user = session_user AS same`)
  assert.deepEqual(user, [{ same: true }])
})

test('an older database without shadows takes commands, and no shadow', async (t) => {
  const { query, apply, tables } = await openStore(t, { generation: 'old' })
  await query(DEVICES)
  assert.equal(tables.hasShadows, false)
  assert.deepEqual(
    await apply(
      reportOf('shadow_reported', { reported: {} }),
      reportOf('command_ack', { command_id: 'c-1' }),
    ),
    ['no_row', 'applied'],
  )
})

test('with the registry off nobody is asked whether a device is active', async (t) => {
  const { query, apply } = await openStore(t, {}, false)
  await query(DEVICES)
  await query(STATES)
  assert.deepEqual(await apply(reportOf('shadow_reported', { reported: {} }, { device: 'out' })), [
    'applied',
  ])
})
