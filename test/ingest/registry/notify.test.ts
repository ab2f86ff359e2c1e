/** The triggers of tables of ours: who is told of which change, and of which none is. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Client } from 'pg'
import { systemClock } from '../../../core/clock.ts'
import { LocationUpdates } from '../../../ingest/registry/location-updates.ts'
import { inspectRegistry } from '../../../ingest/registry/registry-schema.ts'
import { LogLimit } from '../../../ingest/log-limit.ts'
import { openDatabase } from '../open.ts'

const ROWS = `
  INSERT INTO device_registry (tenant_id, device_id, site_id)
    SELECT 'acme', 'd' || i, 'north' FROM generate_series(1, 2000) AS i;
  INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256, common_name,
                                   issuer, serial_number, not_before, not_after)
    SELECT tenant_id, device_id, 'pem', device_id, 'cn', 'ca', '1', now(), now() FROM device_registry;
  INSERT INTO device_subscriptions (subscription_id, tenant_id, device_id, plan_id)
    VALUES ('s', 'acme', 'd1', 'p')`

async function open(t: TestContext) {
  const opened = await openDatabase(t, { prepare: ROWS })
  const client = new Client({ ...opened.connection })
  client.on('error', () => undefined)
  await client.connect()
  t.after(() => client.end())
  const payloads: string[] = []
  client.on('notification', ({ payload }) => void payloads.push(payload ?? ''))
  await client.query('LISTEN midge_registry')
  /** What has been said since the last call; what this session did is told before its next answer. */
  const told = async (sql: string) => {
    await client.query(sql)
    await client.query('SELECT 1')
    return payloads.splice(0)
  }
  return { ...opened, told }
}

const D1 = '{"tenant_id" : "acme", "device_id" : "d1"}'
const D2 = '{"tenant_id" : "acme", "device_id" : "d2"}'
const one = `WHERE device_id = 'd1'`

const CHANGES: readonly (readonly [title: string, sql: string, told: readonly string[]])[] = [
  ['a location', `UPDATE device_registry SET latitude = 1, updated_at = now() ${one}`, []],
  ['an unchanged status', `UPDATE device_registry SET status = 'ACTIVE' ${one}`, []],
  [
    'a new device',
    `INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'new', 'x')`,
    [],
  ],
  [
    'a device registered again as it was',
    `INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'd1', 'north')
       ON CONFLICT (tenant_id, device_id) DO UPDATE SET site_id = excluded.site_id`,
    [],
  ],
  ['a date of a certificate', `UPDATE device_certificates SET updated_at = now() ${one}`, []],
  [
    'a revocation that is undone',
    `BEGIN; UPDATE device_certificates SET status = 'REVOKED' ${one}; ROLLBACK`,
    [],
  ],
  ['a plan', `UPDATE device_subscriptions SET plan_id = 'q'`, []],
  ['a revocation', `UPDATE device_certificates SET status = 'REVOKED' ${one}`, [D1]],
  ['a suspension', `UPDATE device_registry SET status = 'SUSPENDED' ${one}`, [D1]],
  ['another token', `UPDATE device_registry SET provision_token_hash = 'x' ${one}`, [D1]],
  ['another site', `UPDATE device_registry SET site_id = 'south' ${one}`, [D1]],
  ['a certificate that goes', `DELETE FROM device_certificates ${one}`, [D1]],
  ['a device that goes, with its certificate', `DELETE FROM device_registry ${one}`, [D1]],
  ['a subscription that ends', `UPDATE device_subscriptions SET status = 'EXPIRED'`, [D1]],
  ['a subscription that goes', 'DELETE FROM device_subscriptions', [D1]],
  [
    'a subscription that begins',
    `INSERT INTO device_subscriptions (subscription_id, tenant_id, device_id, plan_id)
     VALUES ('t', 'acme', 'd2', 'p')`,
    [D2],
  ],
  [
    'device and certificate in one transaction',
    `UPDATE device_registry SET status = 'SUSPENDED' ${one};
     UPDATE device_certificates SET status = 'REVOKED' WHERE device_id IN ('d1', 'd2')`,
    [D1, D2],
  ],
]
for (const [title, sql, expected] of CHANGES) {
  test(`${title}: ${expected.length === 0 ? 'nobody is told' : 'the device is named'}`, async (t) => {
    const { told } = await open(t)
    assert.deepEqual((await told(sql)).sort(), expected)
  })
}

test('two thousand devices in one transaction are five hundred names, and everybody', async (t) => {
  const { told } = await open(t)
  const began = performance.now()
  const payloads = await told(`UPDATE device_registry SET status = 'SUSPENDED'`)
  t.diagnostic(`${Math.round(performance.now() - began)} ms`)
  assert.equal(payloads.length, 501)
  assert.equal(payloads.at(-1), '{}')
  assert.deepEqual(await told(`UPDATE device_registry SET status = 'ACTIVE' ${one}`), [D1])
})

const LONG: readonly (readonly [
  title: string,
  tenant: string,
  device: string,
  isNamed: boolean,
])[] = [
  ['of 200 characters of four bytes', '\u{1F600}'.repeat(200), '\u{1F600}'.repeat(200), true],
  ['of 200 characters that JSON escapes', '\u0001'.repeat(200), '"'.repeat(200), true],
  ['longer than a notification', 'x'.repeat(4_000), 'y'.repeat(4_000), false],
]
for (const [title, tenant, device, isNamed] of LONG) {
  test(`names ${title}: the change is made, and told`, async (t) => {
    const { told, query } = await open(t)
    const insert = `INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ($1, $2, 'x')`
    await query(insert, [tenant, device])
    const payloads = await told(
      `UPDATE device_registry SET status = 'SUSPENDED' WHERE site_id = 'x'`,
    )
    const expected = isNamed ? { tenant_id: tenant, device_id: device } : {}
    assert.deepEqual(
      payloads.map((text): unknown => JSON.parse(text)),
      [expected],
    )
    const changed = await query(`SELECT status FROM device_registry WHERE site_id = 'x'`)
    assert.deepEqual(changed, [{ status: 'SUSPENDED' }])
  })
}

test('the locations that ingest writes tell nobody', async (t) => {
  const { database, query, told, log } = await open(t)
  const schema = await inspectRegistry(database)
  const limit = new LogLimit(systemClock)
  const around = { database, schema: () => schema, clock: systemClock, log: log.log, limit }
  const locations = new LocationUpdates(around)
  const device = { tenantId: 'acme', deviceId: 'd1' }
  locations.moved('acme/d1', device, { latitude: 1, longitude: 2 })
  await locations.flush()
  assert.deepEqual(await query(`SELECT latitude FROM device_registry ${one}`), [{ latitude: 1 }])
  assert.deepEqual(await told('SELECT 1'), [])
})
