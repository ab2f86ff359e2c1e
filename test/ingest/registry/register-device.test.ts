import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  registerDeviceIn,
  type CertificateRegistration,
  type DeviceRegistration,
} from '../../../ingest/registry/register-device.ts'
import { openDatabase } from '../open.ts'

const certificate: CertificateRegistration = {
  pem: '-----BEGIN CERTIFICATE-----',
  fingerprint: Array.from({ length: 32 }, () => 'AB').join(':'),
  serialNumber: '00A0B1',
  commonName: 'acme/pump-7',
  issuer: 'Device CA',
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2027-01-01T00:00:00Z'),
}
const device: DeviceRegistration = {
  tenantId: 'acme',
  deviceId: 'pump-7',
  siteId: 'north',
  certificate,
}

async function open(t: Parameters<typeof openDatabase>[0]) {
  const { connection, query } = await openDatabase(t)
  const config = { ...connection, poolMax: 1, migrate: false }
  return { query, register: (one: DeviceRegistration) => registerDeviceIn(config, one) }
}

test('a device is registered with its tenant and its certificate', async (t) => {
  const { query, register } = await open(t)
  assert.deepEqual(await register(device), { siteId: 'north', status: 'ACTIVE', wasKnown: false })
  assert.deepEqual(await query('SELECT tenant_id, name, status FROM tenants'), [
    { tenant_id: 'acme', name: 'acme', status: 'ACTIVE' },
  ])
  assert.deepEqual(
    await query(
      'SELECT tenant_id, device_id, site_id, status, provision_token_hash FROM device_registry',
    ),
    [
      {
        tenant_id: 'acme',
        device_id: 'pump-7',
        site_id: 'north',
        status: 'ACTIVE',
        provision_token_hash: null,
      },
    ],
  )
  const [row] = await query('SELECT * FROM device_certificates')
  assert.equal(row?.['fingerprint_sha256'], 'ab'.repeat(32))
  assert.equal(row['serial_number'], 'a0b1')
  assert.equal(row['common_name'], 'acme/pump-7')
  assert.equal(row['status'], 'ACTIVE')
  assert.deepEqual(row['not_after'], certificate.notAfter)
})

test('registering again, also many times at once, changes nothing', async (t) => {
  const { query, register } = await open(t)
  await Promise.all(Array.from({ length: 20 }, () => register(device)))
  await query(`UPDATE device_registry SET status = 'SUSPENDED', site_id = 'south'`)
  await query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = now()`)
  await query(`UPDATE tenants SET name = 'Acme Inc.', status = 'SUSPENDED'`)
  const all = 'SELECT * FROM device_registry, device_certificates, tenants'
  const before = await query(all)
  const again = await register(device)
  assert.deepEqual(again, { siteId: 'south', status: 'SUSPENDED', wasKnown: true })
  assert.deepEqual(await query(all), before)
  assert.equal(before.length, 1)
})

test('a device moves to another site only on request', async (t) => {
  const { register } = await open(t)
  await register(device)
  assert.equal((await register({ ...device, siteId: 'south' })).siteId, 'north')
  assert.equal((await register({ ...device, siteId: 'south', moveToSite: true })).siteId, 'south')
})

test('a second certificate of a device stands beside the first', async (t) => {
  const { query, register } = await open(t)
  await register(device)
  await register({ ...device, certificate: { ...certificate, fingerprint: 'c'.repeat(64) } })
  assert.equal((await query('SELECT 1 FROM device_certificates')).length, 2)
})

const REFUSED: readonly (readonly [Partial<DeviceRegistration>, RegExp])[] = [
  [{ tenantId: '' }, /"\/pump-7" names no device/u],
  [{ tenantId: 'a/b' }, /names no device/u],
  [{ deviceId: '+' }, /names no device/u],
  [{ deviceId: 'a\0' }, /names no device/u],
  [{ siteId: '' }, /site of acme\/pump-7 is "", expected a text/u],
  [{ siteId: 'a\0' }, /expected a text/u],
  [{ siteId: '\ud800' }, /expected a text/u],
  [{ certificate: { ...certificate, commonName: 'acme/pump-8' } }, /expected acme\/pump-7/u],
  [{ certificate: { ...certificate, fingerprint: 'abc' } }, /expected SHA-256 as hex/u],
]

test('what names no device, or the certificate of another, is refused and leaves nothing', async (t) => {
  const { query, register } = await open(t)
  for (const [change, problem] of REFUSED) {
    await assert.rejects(register({ ...device, ...change }), (err: Error & { code?: string }) => {
      assert.equal(err.code, 'REGISTRATION_REFUSED')
      assert.match(err.message, problem)
      return true
    })
  }
  await assert.rejects(
    register({ ...device, certificate: { ...certificate, serialNumber: '1'.repeat(101) } }),
    /character varying/u,
  )
  assert.deepEqual(await query('SELECT 1 FROM tenants'), [])
  assert.deepEqual(await query('SELECT 1 FROM device_registry'), [])
})

test('a database without a registry is named as such', async (t) => {
  const { query, register } = await open(t)
  await query('DROP TABLE device_certificates, device_registry')
  await assert.rejects(register(device), /cannot register acme\/pump-7.*no table device_registry/u)
})
