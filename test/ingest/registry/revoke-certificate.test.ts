import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { DatabaseConfig } from '../../../config/types.ts'
import { registerDevicesIn } from '../../../ingest/registry/register-fleet.ts'
import {
  registerDeviceIn,
  type DeviceRegistration,
} from '../../../ingest/registry/register-device.ts'
import { revokeCertificateIn } from '../../../ingest/registry/revoke-certificate.ts'
import { siteOfDeviceIn } from '../../../ingest/registry/site-of-device.ts'
import { platformDatabase, type PlatformOptions } from '../../helpers/platform-schema.ts'
import type { TestConnection } from '../../helpers/postgres.ts'
import { openDatabase } from '../open.ts'

const AT = new Date('2026-03-01T00:00:00Z')

function device(tenantId: string, deviceId: string, serialNumber: string): DeviceRegistration {
  return {
    tenantId,
    deviceId,
    siteId: 'north',
    certificate: {
      pem: '-----BEGIN CERTIFICATE-----',
      fingerprint: serialNumber.replace(/\W/gu, '').toLowerCase().padStart(64, '0'),
      serialNumber,
      commonName: `${tenantId}/${deviceId}`,
      issuer: 'Device CA',
      notBefore: new Date('2026-01-01T00:00:00Z'),
      notAfter: new Date('2027-01-01T00:00:00Z'),
    },
  }
}

const revocation = { issuer: 'Device CA', reason: 'keyCompromise', revokedAt: AT }
const serial = (serialNumber: string, tenantId?: string) => ({ serialNumber, tenantId })

async function open(t: TestContext) {
  const { connection, query } = await openDatabase(t)
  const config: DatabaseConfig = { ...connection, poolMax: 1, migrate: false }
  await registerDevicesIn(config, [
    device('acme', 'p1', '00A1'),
    device('acme', 'p2', 'a2'),
    device('other', 'p1', 'a3'),
  ])
  const rows = () =>
    query(
      'SELECT serial_number AS s, status, revoked_at AS at, revoked_reason AS why FROM device_certificates ORDER BY 1',
    )
  return { config, query, rows }
}

const ACTIVE = { status: 'ACTIVE', at: null, why: null }
const REVOKED = { status: 'REVOKED', at: AT, why: 'keyCompromise' }

test('a revocation is written to the rows of its serial numbers, and to no other', async (t) => {
  const { config, rows } = await open(t)
  const done = await revokeCertificateIn(config, {
    ...revocation,
    certificates: [serial('0A:1', 'acme'), serial('a3'), serial('ff'), serial('a2', 'other')],
  })
  assert.deepEqual(
    done.map((row) => [row.tenantId, row.deviceId, row.serialNumber, row.status, row.isNew]),
    [
      ['acme', 'p1', 'a1', 'REVOKED', true],
      ['other', 'p1', 'a3', 'REVOKED', true],
    ],
  )
  assert.deepEqual(await rows(), [
    { s: 'a1', ...REVOKED },
    { s: 'a2', ...ACTIVE },
    { s: 'a3', ...REVOKED },
  ])
})

test('a certificate that is revoked or expired keeps its date and reason', async (t) => {
  const { config, query, rows } = await open(t)
  await query(`UPDATE device_certificates SET status = 'EXPIRED' WHERE serial_number = 'a2'`)
  const all = [serial('a1', 'acme'), serial('a2', 'acme')]
  await revokeCertificateIn(config, { ...revocation, certificates: [serial('a1')] })
  const before = await rows()
  const again = await revokeCertificateIn(config, {
    ...revocation,
    reason: 'x',
    revokedAt: new Date(),
    certificates: all,
  })
  assert.deepEqual(
    again.map(({ serialNumber, status, isNew }) => [serialNumber, status, isNew]),
    [
      ['a1', 'REVOKED', false],
      ['a2', 'EXPIRED', false],
    ],
  )
  assert.deepEqual(await rows(), before)
})

test('the same serial number of another CA stays good, and a reason is cut to fit', async (t) => {
  const { config, query, rows } = await open(t)
  await query(`UPDATE device_certificates SET issuer = 'Other CA' WHERE serial_number = 'a1'`)
  await revokeCertificateIn(config, {
    ...revocation,
    reason: 'r'.repeat(300),
    certificates: [serial('a1'), serial('a2'), serial(`a2' OR true --`)],
  })
  assert.deepEqual((await rows()).slice(0, 2), [
    { s: 'a1', ...ACTIVE },
    { s: 'a2', ...REVOKED, why: 'r'.repeat(100) },
  ])
})

test('a database without device_certificates is named as such, one that is away too', async (t) => {
  const { config, query } = await open(t)
  await query('DROP TABLE device_certificates')
  const request = { ...revocation, certificates: [serial('a1')] }
  await assert.rejects(revokeCertificateIn(config, request), /no table device_certificates/u)
  const away = { ...config, connectionString: 'postgres://x@127.0.0.1:1/x' }
  await assert.rejects(revokeCertificateIn(away, request), /ECONNREFUSED/u)
})

for (const login of ['owner', 'member', 'superuser'] satisfies PlatformOptions['login'][]) {
  test(`issue and revoke write the platform's rows, logged in as ${login}`, async (t) => {
    await writesAs((await platformDatabase(t, { login })).connection)
  })
}

test('a login that may only become pulse_app and pulse_operator writes in the name of the tenant', async (t) => {
  const { connection, query } = await platformDatabase(t, { login: 'owner' })
  const { user } = connection
  assert.ok(user)
  await query(`DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT c.oid::regclass AS name FROM pg_class c
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
    LOOP EXECUTE format('ALTER TABLE %s OWNER TO CURRENT_USER', r.name); END LOOP; END $$`)
  await query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme')`)
  await query('REVOKE INSERT ON tenants FROM pulse_app')
  await writesAs(connection)
})

async function writesAs(connection: TestConnection): Promise<void> {
  const config: DatabaseConfig = { ...connection, poolMax: 1, migrate: false }
  const one = device('acme', 'p1', 'a1')
  assert.equal((await registerDeviceIn(config, one)).wasKnown, false)
  const [known] = await registerDevicesIn(config, [one])
  assert.deepEqual(known, {
    tenantId: 'acme',
    deviceId: 'p1',
    siteId: 'north',
    status: 'ACTIVE',
    wasKnown: true,
  })
  assert.equal(await siteOfDeviceIn(config, 'acme', 'p1'), 'north')
  assert.equal(await siteOfDeviceIn(config, 'acme', 'p2'), undefined)
  const request = { ...revocation, certificates: [serial('a1')] }
  const [row] = await revokeCertificateIn(config, request)
  assert.deepEqual([row?.tenantId, row?.status, row?.isNew], ['acme', 'REVOKED', true])
}

test('a fleet is registered in few statements, and again without a change', async (t) => {
  const { config, query } = await open(t)
  const fleet = Array.from({ length: 1200 }, (_, n) =>
    device('acme', `d${n}`, (n + 4096).toString(16)),
  )
  const first = await registerDevicesIn(config, fleet)
  assert.equal(first.filter(({ wasKnown }) => !wasKnown).length, 1200)
  await query(
    `UPDATE device_registry SET site_id = 'south', status = 'SUSPENDED' WHERE device_id = 'd7'`,
  )
  const again = await registerDevicesIn(config, [...fleet, device('new', 'd1', 'fffff')])
  assert.equal(again.filter(({ wasKnown }) => wasKnown).length, 1200)
  assert.deepEqual(
    again.find(({ deviceId }) => deviceId === 'd7'),
    { tenantId: 'acme', deviceId: 'd7', siteId: 'south', status: 'SUSPENDED', wasKnown: true },
  )
  assert.deepEqual(await query('SELECT count(*)::int AS n FROM device_certificates'), [{ n: 1204 }])
  await assert.rejects(
    registerDevicesIn(config, [device('acme', 'e1', 'e1'), device('acme', 'a/b', 'e2')]),
    /names no device/u,
  )
  assert.deepEqual(await query(`SELECT 1 FROM device_registry WHERE device_id = 'e1'`), [])
})
