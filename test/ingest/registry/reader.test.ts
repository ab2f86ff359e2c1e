import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegistryReader } from '../../../ingest/registry/reader.ts'
import { FORCED, PUMP, openRegistry } from './open-registry.ts'

const names = (...devices: string[]) =>
  devices.map((text) => {
    const [tenantId = '', deviceId = ''] = text.split('/')
    return { tenantId, deviceId }
  })
const certificate = (text: string, fingerprint: string) =>
  names(text).map((name) => ({ ...name, fingerprint }))
const fp = (digit: string) => digit.repeat(64)

function certificateRow(device: string, fingerprint: string, status: string, notAfter: string) {
  return `INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
            common_name, issuer, serial_number, status, not_before, not_after)
          VALUES ('acme', '${device}', 'pem', '${fingerprint}', 'acme/${device}', 'ca', '1',
                  '${status}', now() - interval '1 day', ${notAfter});`
}

test('a registered device is found with what is said of it, others are not', async (t) => {
  const { database, schema } = await openRegistry(t, {
    prepare: `${PUMP};
      UPDATE device_registry SET provision_token_hash = 'abc', status = 'SUSPENDED'`,
  })
  const reader = new RegistryReader(database, schema)
  const found = await reader.devices(
    names('acme/pump-8', 'acme/pump-7', 'other/pump-7', "o'neil/a\\b", 'acme/PUMP-7'),
  )
  const pump = { siteId: 'north', status: 'SUSPENDED', tokenHash: 'abc', subscription: undefined }
  assert.deepEqual(found, ['unregistered', pump, 'unregistered', 'unregistered', 'unregistered'])
})

test('newer tables: a subscription that is alive decides, else the newest', async (t) => {
  const row = (device: string, status: string, age: number) =>
    `INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', '${device}', 'n')
       ON CONFLICT DO NOTHING;
     INSERT INTO device_subscriptions (subscription_id, tenant_id, device_id, plan_id, status, created_at)
     VALUES ('${device}-${status}-${age}', 'acme', '${device}', 'p', '${status}',
             now() - interval '${age} days');`
  const { database, schema } = await openRegistry(t, {
    prepare: [
      PUMP + ';',
      row('alive-older', 'EXPIRED', 1),
      row('alive-older', 'GRACE', 9),
      row('blocked-older', 'CANCELLED', 1),
      row('blocked-older', 'SUSPENDED', 9),
      row('newest-expired', 'EXPIRED', 1),
      row('newest-expired', 'CANCELLED', 9),
      row('newest-cancelled', 'CANCELLED', 1),
      row('newest-cancelled', 'EXPIRED', 9),
      row('two-alive', 'SUSPENDED', 1),
      row('two-alive', 'ACTIVE', 9),
    ].join('\n'),
  })
  const devices = [
    'alive-older',
    'blocked-older',
    'newest-expired',
    'newest-cancelled',
    'two-alive',
  ]
  const found = await new RegistryReader(database, schema).devices(
    names(...devices.map((device) => `acme/${device}`), 'acme/pump-7'),
  )
  assert.deepEqual(
    found.map((device) => (typeof device === 'string' ? device : device.subscription)),
    ['GRACE', 'SUSPENDED', 'EXPIRED', 'CANCELLED', 'SUSPENDED', undefined],
  )
})

test('older tables: the subscription that the device names decides', async (t) => {
  const { database, schema } = await openRegistry(t, {
    generation: 'old',
    prepare: `${PUMP};
      INSERT INTO subscriptions (subscription_id, tenant_id, subscription_type, status, term_end)
      VALUES ('s1', 'acme', 'MAIN', 'EXPIRED', now()), ('s2', 'acme', 'MAIN', 'ACTIVE', now());
      INSERT INTO device_registry (tenant_id, device_id, site_id, subscription_id)
      VALUES ('acme', 'a', 'n', 's1'), ('acme', 'b', 'n', 's2'), ('acme', 'c', 'n', 'gone')`,
  })
  const found = await new RegistryReader(database, schema).devices(
    names('acme/a', 'acme/b', 'acme/c', 'acme/pump-7'),
  )
  assert.deepEqual(
    found.map((device) => (typeof device === 'string' ? device : device.subscription)),
    ['EXPIRED', 'ACTIVE', undefined, undefined],
  )
})

test('tables without subscriptions, token hash and certificates are read as far as they go', async (t) => {
  const { database, schema } = await openRegistry(t, {
    prepare: `${PUMP}; DROP TABLE device_subscriptions, device_certificates;
      ALTER TABLE device_registry DROP COLUMN subscription_id, DROP COLUMN provision_token_hash,
        DROP COLUMN provisioned_at, DROP COLUMN device_pubkey`,
  })
  const reader = new RegistryReader(database, schema)
  assert.deepEqual(await reader.devices(names('acme/pump-7')), [
    { siteId: 'north', status: 'ACTIVE', tokenHash: undefined, subscription: undefined },
  ])
  const [record] = await reader.certificates(certificate('acme/pump-7', fp('a')))
  assert.equal(record?.status, 'unlisted')
})

test('the row of the very certificate is found, and how long the device has any', async (t) => {
  const { database, schema } = await openRegistry(t, {
    prepare: [
      PUMP + ';',
      `INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'pump-8', 'n');`,
      certificateRow('pump-7', fp('a'), 'ACTIVE', `'2030-01-01T00:00:00Z'`),
      certificateRow('pump-7', fp('b'), 'REVOKED', `'2040-01-01T00:00:00Z'`),
      certificateRow('pump-7', fp('c'), 'EXPIRED', `'2020-01-01T00:00:00Z'`),
      certificateRow('pump-8', fp('d'), 'ACTIVE', `'infinity'`),
    ].join('\n'),
  })
  const until = Date.parse('2030-01-01T00:00:00Z')
  const found = await new RegistryReader(database, schema).certificates([
    ...certificate('acme/pump-7', fp('a')),
    ...certificate('acme/pump-7', fp('b')),
    ...certificate('acme/pump-7', fp('c')),
    ...certificate('acme/pump-7', fp('d')),
    ...certificate('acme/pump-7', fp('e')),
    ...certificate('acme/pump-8', fp('d')),
    ...certificate('acme/pump-9', fp('e')),
    ...certificate('other/pump-7', fp('a')),
  ])
  const shown = found.map(({ status, notAfter, deviceNotAfter }) => [
    status,
    notAfter,
    deviceNotAfter,
  ])
  assert.deepEqual(shown, [
    ['ACTIVE', until, until],
    ['REVOKED', Date.parse('2040-01-01T00:00:00Z'), until],
    ['EXPIRED', Date.parse('2020-01-01T00:00:00Z'), until],
    ['other', Infinity, until],
    ['unlisted', -Infinity, until],
    ['ACTIVE', Infinity, Infinity],
    ['unlisted', -Infinity, -Infinity],
    ['other', until, -Infinity],
  ])
})

/** Who logs in, what is forced upon owners, and in whose name the tables are then read. */
const LOGINS = [
  ['superuser', false, undefined, false],
  ['owner', false, undefined, false],
  ['member', false, undefined, false],
  ['superuser', true, undefined, false],
  ['owner', true, 'pulse_operator', false],
  ['member', true, 'pulse_operator', false],
] as const

test('every login that may sees the devices of every tenant, whatever row-level security says', async (t) => {
  for (const [login, isForced, role, byTenant] of LOGINS) {
    const { database, schema } = await openRegistry(t, {
      login,
      prepare: `${PUMP}; ${certificateRow('pump-7', fp('a'), 'ACTIVE', `'infinity'`)}
        INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('other', 'x', 'south');
        ${isForced ? FORCED : ''}`,
    })
    const text = `${login} ${isForced ? 'forced' : ''}`
    assert.deepEqual(schema().read, { role, byTenant }, text)
    const reader = new RegistryReader(database, schema)
    const found = await reader.devices(names('acme/pump-7', 'other/x'))
    assert.deepEqual(
      found.map((device) => (typeof device === 'string' ? device : device.siteId)),
      ['north', 'south'],
      text,
    )
    const [record] = await reader.certificates(certificate('acme/pump-7', fp('a')))
    assert.equal(record?.status, 'ACTIVE', text)
  }
})

test('a login that may only be pulse_app reads tenant by tenant', async (t) => {
  const { connection, database, schema, query } = await openRegistry(t, {
    login: 'outsider',
    prepare: `${PUMP}; ${FORCED};
      INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('other', 'x', 'south')`,
  })
  assert.equal(schema().seesPartly, true)
  const blind = await new RegistryReader(database, schema).devices(names('acme/pump-7'))
  assert.deepEqual(blind, ['unregistered'])
  const user = connection.user ?? new URL(connection.connectionString ?? '').username
  await query(`GRANT pulse_app TO ${user}`)
  const { inspectRegistry } = await import('../../../ingest/registry/registry-schema.ts')
  const after = await inspectRegistry(database)
  assert.deepEqual(after.read, { role: 'pulse_app', byTenant: true })
  const found = await new RegistryReader(database, () => after).devices(
    names('acme/pump-7', 'other/x', 'acme/none'),
  )
  assert.deepEqual(
    found.map((device) => (typeof device === 'string' ? device : device.siteId)),
    ['north', 'south', 'unregistered'],
  )
})
