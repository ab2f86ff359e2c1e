/**
 * Everything that ingest writes, into every kind of database it may meet: tables of our own, and those
 * of a platform in two generations, with row-level security, for each way of logging in.
 */
import assert from 'node:assert/strict'
import { after, test, type TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { deviceId, tenantId } from '../../core/names.ts'
import { platformDatabase, type PlatformOptions } from '../helpers/platform-schema.ts'
import { testDatabase, type Query, type TestConnection } from '../helpers/postgres.ts'
import { reportOf } from './downlink/reports.ts'
import { message, publisher } from './messages.ts'
import { ingestConfig, openIngest } from './open.ts'
import { ACME_WITH_STATE, KEEP_REJECTS, registryRules } from './platform.ts'

// Ingest's own timers keep no process alive, and this test waits for them.
const alive = setInterval(() => undefined, 1000)
after(() => clearInterval(alive))

const CERTIFICATES = `
  INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256, common_name,
    issuer, serial_number, status, not_before, not_after) VALUES
    ('acme', 'pump-7', '', '${publisher.fingerprint}', 'acme/pump-7', '', '1', 'ACTIVE', '2020-01-01', '2099-01-01'),
    ('acme', 'pump-7', '', 'past', 'acme/pump-7', '', '2', 'ACTIVE', '2020-01-01', '2021-01-01')`

const COMMAND = `
  INSERT INTO device_commands (command_id, tenant_id, device_id, command_type)
  VALUES ('c1', 'acme', 'pump-7', 'reboot')`

/** pump-8 is suspended by its subscription. */
const SUSPENDED = {
  current: `
    INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'pump-8', 'north');
    INSERT INTO device_subscriptions (subscription_id, tenant_id, device_id, plan_id, status)
    VALUES ('s1', 'acme', 'pump-8', 'basic', 'SUSPENDED')`,
  old: `
    INSERT INTO subscriptions (subscription_id, tenant_id, subscription_type, device_limit, term_end, status)
    VALUES ('s1', 'acme', 'MAIN', 5, '2099-01-01', 'SUSPENDED'),
           ('s2', 'acme', 'MAIN', 5, '2099-01-01', 'ACTIVE');
    INSERT INTO device_registry (tenant_id, device_id, site_id, subscription_id)
    VALUES ('acme', 'pump-8', 'north', 's1')`,
}

/** Then policies bind their owner too, as they do for device_state and the counters in any case. */
const FORCED = ['registry', 'certificates', 'commands', 'connection_events']
  .map((name) => `ALTER TABLE device_${name} FORCE ROW LEVEL SECURITY`)
  .join(';')

interface World {
  readonly name: string
  readonly generation: 'current' | 'old'
  open(t: TestContext): Promise<{ connection: TestConnection; query: Query }>
}

const platform = (options: Required<PlatformOptions>, force = ''): World => ({
  name: `${options.generation} tables, ${options.login}${force === '' ? '' : ', all forced'}`,
  generation: options.generation,
  open: async (t) => {
    const database = await platformDatabase(t, options)
    await database.query(`${force};${KEEP_REJECTS}`)
    return database
  },
})

const WORLDS: readonly World[] = [
  {
    name: 'an empty database, tables of ours',
    generation: 'current',
    open: async (t) => {
      const database = await testDatabase(t)
      const { ingest } = await openIngest(t, ingestConfig(database.connection))
      await ingest.stop(1000)
      return database
    },
  },
  ...(['current', 'old'] as const).flatMap((generation) => [
    platform({ generation, login: 'owner' }),
    platform({ generation, login: 'owner' }, FORCED),
    platform({ generation, login: 'member' }),
    platform({ generation, login: 'member' }, FORCED),
    platform({ generation, login: 'superuser' }),
  ]),
]

async function until(is: () => Promise<boolean>): Promise<void> {
  while (!(await is())) await systemClock.sleep(20)
}

for (const { name, generation, open } of WORLDS) {
  test(`all that ingest writes arrives: ${name}`, async (t) => {
    const { connection, query } = await open(t)
    for (const sql of [ACME_WITH_STATE, CERTIFICATES, COMMAND, SUSPENDED[generation]]) {
      for (const statement of sql.split(';')) await query(statement)
    }
    const config = ingestConfig(connection, {
      registry: registryRules({ autoProvision: true }),
      connectionEvents: true,
      auditTelemetry: true,
      expireCertificates: true,
    })
    const { ingest, log } = await openIngest(t, config)
    await ingest.append(message('{"site_id":"north","lat":47.4,"lng":8.5,"metrics":{"a":1}}'))
    await ingest.append(message('{"site_id":"north"}', { device: 'pump-8' }))
    await ingest.append(message('{"site_id":"east"}', { device: 'newcomer' }))
    await ingest.report(reportOf('shadow_reported', { reported: { mode: 'eco' }, version: 3 }))
    await ingest.report(reportOf('command_ack', { command_id: 'c1', status: 'done' }))
    ingest.connections.opened({
      tenantId: tenantId('acme'),
      deviceId: deviceId('pump-7'),
      publisher,
      listener: 'mqtts',
      peer: '192.0.2.7',
    })
    const rowOf = async (sql: string) => (await query(sql))[0]
    await until(
      async () =>
        (await rowOf(`SELECT 1 FROM device_registry WHERE latitude = 47.4`)) !== undefined &&
        (await rowOf(`SELECT 1 FROM device_certificates WHERE status = 'EXPIRED'`)) !== undefined,
    )
    await ingest.stop(5_000)

    assert.deepEqual(await query('SELECT device_id, site_id, metrics FROM telemetry'), [
      { device_id: 'pump-7', site_id: 'north', metrics: { a: 1 } },
    ])
    // Registered by itself where subscriptions can be counted, and then it has to prove who it is.
    const newcomer = generation === 'old' ? 'TOKEN_NOT_SET_IN_REGISTRY' : 'NO_SUBSCRIPTION_CAPACITY'
    assert.deepEqual(await query('SELECT device_id, reason FROM quarantine_events ORDER BY id'), [
      { device_id: 'pump-8', reason: 'SUBSCRIPTION_SUSPENDED' },
      { device_id: 'newcomer', reason: newcomer },
    ])
    assert.deepEqual(
      await query(
        `SELECT tenant_id, reason, cnt::int FROM quarantine_counters_minute ORDER BY reason DESC`,
      ),
      [newcomer, 'SUBSCRIPTION_SUSPENDED']
        .toSorted((a, b) => (a < b ? 1 : -1))
        .map((reason) => ({ tenant_id: 'acme', reason, cnt: 1 })),
    )
    assert.deepEqual(
      await query(
        `SELECT event_type, entity_id FROM audit_log
          WHERE event_type LIKE 'device.%' ORDER BY event_type, entity_id`,
      ),
      [
        { event_type: 'device.rejected', entity_id: 'newcomer' },
        { event_type: 'device.rejected', entity_id: 'pump-8' },
        { event_type: 'device.telemetry', entity_id: 'pump-7' },
      ],
    )
    if (generation === 'current') {
      assert.deepEqual(await query('SELECT reported_state, reported_version FROM device_state'), [
        { reported_state: { mode: 'eco' }, reported_version: 3 },
      ])
    } else {
      assert.deepEqual(
        await query(
          `SELECT site_id, subscription_id, active_device_count AS devices FROM device_registry
             JOIN subscriptions USING (subscription_id) WHERE device_id = 'newcomer'`,
        ),
        [{ site_id: 'east', subscription_id: 's2', devices: 1 }],
      )
    }
    assert.deepEqual(await query('SELECT status, ack_details FROM device_commands'), [
      { status: 'delivered', ack_details: { status: 'done', details: null } },
    ])
    assert.deepEqual(
      await query(`SELECT location_source FROM device_registry WHERE device_id = 'pump-7'`),
      [{ location_source: 'auto' }],
    )
    assert.deepEqual(await query('SELECT event_type FROM device_connection_events'), [
      { event_type: 'CONNECTED' },
    ])
    const errors = log.lines.filter(({ level }) => level === 'error')
    assert.deepEqual(errors, [])
  })
}
