import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { deviceId, tenantId } from '../../core/names.ts'
import { AuditLog } from '../../ingest/audit.ts'
import { ConnectionEvents, type ObservedConnection } from '../../ingest/connection-events.ts'
import { Database } from '../../ingest/database.ts'
import { inspectDownlink } from '../../ingest/downlink/tables.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import { rejectionOf } from '../../ingest/telemetry.ts'
import { FakeClock } from '../helpers/clock.ts'
import { RememberingLog } from '../helpers/log.ts'
import { platformDatabase, type PlatformOptions } from '../helpers/platform-schema.ts'
import { message, publisher } from './messages.ts'

const MINUTE = 60_000
const SELECT = `SELECT to_char("timestamp" AT TIME ZONE 'UTC', 'HH24:MI:SS.MS') AS at, tenant_id,
  event_type, category, action, severity, entity_type, entity_id, message, details,
  source_service, actor_type, host(ip_address) AS ip FROM audit_log ORDER BY "timestamp", message`

async function open(t: TestContext, options: PlatformOptions = {}) {
  const { connection, query } = await platformDatabase(t, options)
  const log = new RememberingLog()
  const database = new Database(
    { ...connection, poolMax: 2, migrate: false },
    10_000,
    systemClock,
    log.log,
  )
  t.after(() => database.end())
  const tables = await inspectDownlink(database)
  const clock = new FakeClock()
  const metrics = createMetrics()
  const limit = new LogLimit(clock)
  const parts = { clock, random: () => 0, log: log.log, limit, metrics }
  const audit = new AuditLog({ ...parts, database, columns: tables.auditColumns })
  const connections = new ConnectionEvents({
    ...parts,
    transactions: tables.eventTransactions,
    audit,
  })
  const lost = async () => (await metrics.ingestEventsLost.get()).values[0]?.value ?? 0
  return { query, clock, log, audit, connections, lost }
}

const device: ObservedConnection = {
  tenantId: tenantId('acme'),
  deviceId: deviceId('pump-7'),
  publisher,
  listener: '8883',
  peer: '192.0.2.7',
}
const service: ObservedConnection = {
  tenantId: undefined,
  deviceId: undefined,
  publisher: { kind: 'account', userName: 'service_pulse', clientId: 's', fingerprint: undefined },
  listener: '1883',
  peer: 'unix',
}

test('a rejected message is a row in the words of the platform', async (t) => {
  const { query, audit } = await open(t)
  audit.rejected(rejectionOf(message('{"site_id":"north\\u0000"}'), 'INVALID_FIELD:site_id'))
  audit.rejected(rejectionOf(message('{"site_id":"south"}'), 'SITE_MISMATCH_REGISTRY_VS_PAYLOAD'))
  // A tenant that is not known has nobody to read it.
  audit.rejected(rejectionOf(message('{}'), 'BAD_TOPIC_FORMAT'))
  await audit.idle()
  const common = {
    at: '00:00:00.000',
    tenant_id: 'acme',
    event_type: 'device.rejected',
    category: 'device',
    action: 'reject',
    severity: 'warning',
    entity_type: 'device',
    entity_id: 'pump-7',
    source_service: 'ingest',
    actor_type: 'system',
    ip: null,
  }
  assert.deepEqual(await query(SELECT), [
    {
      ...common,
      message: 'Rejected message from pump-7: INVALID_FIELD:site_id',
      details: { reason: 'INVALID_FIELD:site_id', site_id: null, msg_type: 'telemetry' },
    },
    {
      ...common,
      message: 'Rejected message from pump-7: SITE_MISMATCH_REGISTRY_VS_PAYLOAD',
      details: {
        reason: 'SITE_MISMATCH_REGISTRY_VS_PAYLOAD',
        site_id: 'south',
        msg_type: 'telemetry',
      },
    },
  ])
})

test('a flood is two rows a minute for each device and reason', async (t) => {
  const { query, audit, clock } = await open(t)
  const flood = (count: number, name: string) => {
    for (let i = 0; i < count; i++) {
      audit.rejected(rejectionOf(message('{}', { device: name }), 'MISSING_SITE_ID'))
    }
  }
  flood(500, 'a')
  flood(1, 'b')
  clock.advance(MINUTE)
  flood(3, 'a')
  await audit.idle()
  const rows = await query(SELECT)
  assert.deepEqual(
    rows.map(({ at, message: text, details }) => [
      at,
      text,
      (details as Record<string, unknown>)['repeated'],
    ]),
    [
      ['00:00:00.000', 'Rejected message from a: MISSING_SITE_ID', undefined],
      ['00:00:00.000', 'Rejected message from b: MISSING_SITE_ID', undefined],
      [
        '00:00:59.999',
        'Rejected message from a: MISSING_SITE_ID (499 more within the minute)',
        499,
      ],
      ['00:01:00.000', 'Rejected message from a: MISSING_SITE_ID', undefined],
      ['00:01:59.999', 'Rejected message from a: MISSING_SITE_ID (2 more within the minute)', 2],
    ],
  )
})

test('a folded minute is written when it is over, without anything else happening', async (t) => {
  const { query, audit, clock } = await open(t)
  for (let i = 0; i < 3; i++) audit.rejected(rejectionOf(message('{}'), 'RATE_LIMITED'))
  clock.advance(MINUTE + 5_000 + 100)
  clock.advance(100)
  await audit.idle()
  assert.equal((await query(SELECT)).length, 2)
})

test('kinds of events told apart are bounded', async (t) => {
  const { audit, lost } = await open(t)
  for (let i = 0; i < 10_050; i++) {
    audit.rejected(rejectionOf(message('{}', { device: `d-${i}` }), 'UNREGISTERED_DEVICE'))
  }
  assert.equal(await lost(), 50)
  await audit.idle()
})

test('a denied PUBLISH is recorded under the connection, whatever its topic says', async (t) => {
  const { query, audit } = await open(t)
  const topic = 'tenant/globex/device/x/telemetry'
  const payload = Buffer.from('{}')
  audit.denied({ ...device, topic, payload })
  audit.denied({ ...service, topic, payload })
  await audit.idle()
  const rows = await query(SELECT)
  assert.deepEqual(
    rows.map((row) => [row['event_type'], row['tenant_id'], row['entity_type'], row['entity_id']]),
    [
      ['access.denied', 'acme', 'device', 'pump-7'],
      ['access.denied', null, 'account', 'service_pulse'],
    ],
  )
  assert.deepEqual(rows[0]?.['details'], { topic, client_id: 'pump-7' })
})

test('a refused certificate counts for a device only when a CA of ours vouches for its name', async (t) => {
  const { query, audit, connections } = await open(t)
  const refusal = { listener: '8883', peer: 'fe80::1%eth0' }
  const fingerprint = 'cd'.repeat(32)
  connections.certificateRefused({
    ...refusal,
    reason: 'revoked',
    fingerprint,
    commonName: 'acme/pump-7',
  })
  for (let i = 0; i < 50; i++) {
    const own = i.toString(16).padStart(64, '0')
    const reason = 'unknown_ca'
    connections.certificateRefused({ ...refusal, reason, fingerprint: own, commonName: undefined })
  }
  await audit.idle()
  const rows = await query(SELECT)
  assert.deepEqual(
    rows.map((row) => [row['message'], row['tenant_id'], row['entity_type'], row['ip']]),
    [
      ['Refused a certificate of pump-7: revoked', 'acme', 'device', 'fe80::1'],
      ['Refused a certificate: unknown_ca', null, 'certificate', 'fe80::1'],
      [
        'Refused a certificate: unknown_ca (49 more within the minute)',
        null,
        'certificate',
        'fe80::1',
      ],
    ],
  )
})

test('a session closed by a revocation is an event, one that just ends is none', async (t) => {
  const { query, audit, connections } = await open(t)
  connections.opened(device)
  connections.closed(device, 'client_disconnected')
  connections.closed(device, 'certificate_revoked')
  await audit.idle()
  const rows = await query(SELECT)
  assert.deepEqual(
    rows.map((row) => [row['event_type'], row['message'], row['ip'], row['details']]),
    [
      [
        'session.closed',
        'Closed the session of pump-7: certificate_revoked',
        '192.0.2.7',
        {
          reason: 'certificate_revoked',
          listener: '8883',
          client_id: 'pump-7',
          fingerprint: publisher.fingerprint,
        },
      ],
    ],
  )
})

test('device.telemetry names the metrics of a message', async (t) => {
  const { query, audit } = await open(t)
  audit.stored([
    {
      tenantId: 'acme',
      deviceId: 'pump-7',
      siteId: 'north',
      msgType: 'telemetry',
      time: { ms: 0, us: 0 },
      seq: 1,
      metrics: Buffer.from('{"temp":1,"__proto__":2}'),
      publisher,
    },
  ])
  await audit.idle()
  const [row] = await query(SELECT)
  assert.equal(row?.['message'], 'Received telemetry from pump-7')
  assert.deepEqual(row['details'], { msg_type: 'telemetry', metrics: ['temp', '__proto__'] })
})

test('row-level security that keeps us out of audit_log is said once, and nobody waits', async (t) => {
  const { query, audit, log, lost } = await open(t, { login: 'owner' })
  await query('ALTER TABLE audit_log FORCE ROW LEVEL SECURITY')
  audit.rejected(rejectionOf(message('{}'), 'MISSING_SITE_ID'))
  await audit.idle()
  audit.rejected(rejectionOf(message('{}'), 'RATE_LIMITED'))
  await audit.idle()
  assert.equal(log.lines.filter((line) => line['event'] === 'journal.refused').length, 1)
  assert.equal(await lost(), 2)
})

for (const login of ['superuser', 'owner', 'member'] as const) {
  test(`a device that comes and goes leaves rows of the kind, logged in as ${login}`, async (t) => {
    const { query, connections, clock } = await open(t, { login })
    await query('ALTER TABLE device_connection_events FORCE ROW LEVEL SECURITY')
    connections.opened(device)
    connections.opened(service)
    clock.advance(1000)
    connections.closed(device, 'client_disconnected')
    connections.opened({ ...device, tenantId: tenantId('globex') })
    clock.advance(1000)
    connections.closed({ ...device, tenantId: tenantId('globex') }, 'keep_alive_timeout')
    connections.closed(service, 'connection_lost')
    await connections.idle()
    const rows = await query(
      `SELECT tenant_id, device_id, event_type, to_char("timestamp" AT TIME ZONE 'UTC', 'SS') AS at,
              details FROM device_connection_events ORDER BY "timestamp", tenant_id`,
    )
    const details = {
      trigger: 'mqtt',
      client_id: 'pump-7',
      listener: '8883',
      peer: '192.0.2.7',
    }
    const of = (tenant: string, type: string, at: string, reason?: string) => ({
      tenant_id: tenant,
      device_id: 'pump-7',
      event_type: type,
      at,
      details: reason === undefined ? details : { ...details, reason },
    })
    assert.deepEqual(rows, [
      of('acme', 'CONNECTED', '00'),
      of('acme', 'DISCONNECTED', '01', 'client_disconnected'),
      of('globex', 'CONNECTED', '01'),
      of('globex', 'CONNECTION_LOST', '02', 'keep_alive_timeout'),
    ])
  })
}
