/** Ingest with a registry, over a real database: what is stored, what is not, and what waits. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { IngestConfig, RegistryConfig } from '../../../config/types.ts'
import { systemClock } from '../../../core/clock.ts'
import type { Ingest } from '../../../ingest/index.ts'
import type { CertificateRegistration } from '../../../ingest/registry/register-device.ts'
import { platformDatabase } from '../../helpers/platform-schema.ts'
import { testDatabase, testServer, type Query } from '../../helpers/postgres.ts'
import { message, publisher, type MessageChanges } from '../messages.ts'
import { ingestConfig, openIngest } from '../open.ts'
import { registryRules } from '../platform.ts'

// Ingest's own timers keep no process alive, and these tests wait for them.
const alive = setInterval(() => undefined, 1000)
after(() => clearInterval(alive))

const REGISTRY = registryRules({ mode: 'auto', settingsPollSeconds: 1 })
const certificate: CertificateRegistration = {
  pem: 'pem',
  fingerprint: publisher.fingerprint ?? '',
  serialNumber: '01',
  commonName: 'acme/pump-7',
  issuer: 'ca',
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2999-01-01T00:00:00Z'),
}
const pump = { tenantId: 'acme', deviceId: 'pump-7', siteId: 'north', certificate }
const name = { tenantId: 'acme', deviceId: 'pump-7', fingerprint: certificate.fingerprint }

const config = (
  connection: Parameters<typeof ingestConfig>[0],
  changes: Partial<RegistryConfig> = {},
  others: Partial<IngestConfig> = {},
) => ingestConfig(connection, { registry: { ...REGISTRY, ...changes }, ...others })

const send = (ingest: Ingest, members = '"site_id":"north"', changes: MessageChanges = {}) =>
  ingest.append(message(`{${members}}`, changes))

/** Rows of telemetry, and reasons of the quarantine in the order of their coming. */
async function stored(query: Query) {
  const rows = await query('SELECT count(*)::int AS count FROM telemetry')
  const reasons = await query('SELECT reason FROM quarantine_events ORDER BY id')
  return { rows: rows[0]?.['count'], reasons: reasons.map(({ reason }) => reason) }
}

async function until(is: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await is())) await systemClock.sleep(10)
}

test('a registered device is stored without a token, another one is not', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, config(connection))
  await send(ingest)
  const registered = await ingest.registerDevice(pump)
  assert.deepEqual(registered, { siteId: 'north', status: 'ACTIVE', wasKnown: false })
  // At once, although a moment ago the device was unknown.
  await send(ingest)
  await send(ingest, '"site_id":"south"')
  const account = { ...publisher, kind: 'account', userName: 'service_pulse' } as const
  await send(ingest, '"site_id":"north","provision_token":"tok"', { publisher: account })
  const hash = createHash('sha256').update('tok').digest('hex')
  await query('UPDATE device_registry SET provision_token_hash = $1', [hash])
  ingest.invalidate({ tenantId: 'acme', deviceId: 'pump-7' })
  await send(ingest, '"site_id":"north","provision_token":"tok"', { publisher: account })
  await send(ingest, '"site_id":"north","provision_token":"kot"', { publisher: account })
  assert.deepEqual(await stored(query), {
    rows: 2,
    reasons: [
      'UNREGISTERED_DEVICE',
      'SITE_MISMATCH_REGISTRY_VS_PAYLOAD',
      'TOKEN_NOT_SET_IN_REGISTRY',
      'TOKEN_INVALID',
    ],
  })
})

test('the registry is asked if there is one, unless it is switched off', async (t) => {
  const cases = [
    ['off', true, 1],
    ['auto', true, 0],
    ['on', true, 0],
    ['auto', false, 1],
  ] as const
  for (const [mode, exists, rows] of cases) {
    const { connection, query } = await testDatabase(t)
    const opened = await openIngest(t, config(connection, { mode: 'off' }))
    await opened.ingest.stop(1000)
    if (!exists) await query('DROP TABLE device_certificates, device_registry')
    const database = { ...config(connection).database, migrate: false }
    const { ingest, log } = await openIngest(t, config(connection, { mode }, { database }))
    await send(ingest)
    assert.equal((await stored(query)).rows, rows, `${mode} ${exists}`)
    assert.equal(log.last('registry.absent') !== undefined, !exists)
    assert.equal(ingest.deviceStatus('acme', 'pump-7'), 'unknown')
  }
})

test('answers that memory knows are given at once, and a device costs one query', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, metrics } = await openIngest(t, config(connection))
  await ingest.registerDevice(pump)
  await Promise.all(Array.from({ length: 50 }, () => send(ingest)))
  await Promise.all(Array.from({ length: 50 }, () => send(ingest)))
  assert.equal((await stored(query)).rows, 100)
  const hits = async () =>
    (await metrics.ingestCacheHits.get()).values.find(({ labels }) => labels.cache === 'device')
      ?.value ?? 0
  await until(async () => (await hits()) >= 50)
})

test('the settings of the table apply within a poll', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, log } = await openIngest(t, config(connection))
  await ingest.registerDevice(pump)
  const set = (key: string, value: string) =>
    query('UPDATE app_settings SET value = $2 WHERE key = $1', [key, value])
  await send(ingest, `"site_id":"north","x":"${'x'.repeat(9000)}"`)
  await set('MAX_PAYLOAD_BYTES', '50')
  await log.until('settings.changed', { maxPayloadBytes: 50 })
  await send(ingest, `"site_id":"north","x":"${'x'.repeat(50)}"`)
  await set('RATE_LIMIT_BURST', '0')
  await log.until('settings.changed', { rateLimitBurst: 0 })
  await send(ingest)
  await ingest.append(message('no json'))
  await set('MODE', 'PROD')
  await log.until('settings.changed', { mode: 'PROD' })
  await send(ingest)
  assert.deepEqual(await stored(query), { rows: 1, reasons: ['PAYLOAD_TOO_LARGE', 'RATE_LIMITED'] })
  assert.equal(ingest.counters().messages_rejected, 4)
})

test('what is no JSON spends the rate of its device, and beyond it is counted only', async (t) => {
  const { connection, query } = await testDatabase(t)
  await openIngest(t, config(connection)).then(({ ingest }) => ingest.stop(1000))
  await query(`UPDATE app_settings SET value = CASE key WHEN 'RATE_LIMIT_RPS' THEN '0' ELSE '3' END
                WHERE key IN ('RATE_LIMIT_RPS', 'RATE_LIMIT_BURST')`)
  const { ingest } = await openIngest(t, config(connection))
  await ingest.registerDevice(pump)
  for (const text of ['{', '[]', '{', '{', '[]']) await ingest.append(message(text))
  await send(ingest)
  assert.deepEqual(await stored(query), {
    rows: 0,
    reasons: ['INVALID_JSON', 'INVALID_PAYLOAD', 'INVALID_JSON', 'RATE_LIMITED'],
  })
  assert.equal(ingest.counters().messages_rejected, 6)
})

test('unknown devices register themselves where that is allowed, once, and in turn', async (t) => {
  const { connection, query } = await platformDatabase(t, { generation: 'old', login: 'member' })
  await query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
    INSERT INTO app_settings VALUES ('MODE', 'DEV'), ('STORE_REJECTS', '1');
    INSERT INTO subscriptions (subscription_id, tenant_id, subscription_type, status, device_limit, term_end)
    VALUES ('s', 'acme', 'MAIN', 'ACTIVE', 1, now())`)
  const registry = { autoProvision: true, unlistedCertificate: 'ca' } as const
  const database = { ...config(connection).database, migrate: false }
  const { ingest } = await openIngest(t, config(connection, registry, { database }))
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => send(ingest, `"site_id":"north","seq":${i}`)),
  )
  const other = { ...publisher, userName: 'acme/pump-8' }
  await send(ingest, '"site_id":"north"', { device: 'pump-8', publisher: other })
  const seqs = await query('SELECT seq::int AS seq FROM telemetry')
  assert.deepEqual(
    seqs.map(({ seq }) => seq),
    Array.from({ length: 20 }, (_, i) => i),
  )
  assert.deepEqual((await stored(query)).reasons, ['NO_SUBSCRIPTION_CAPACITY'])
  assert.deepEqual(
    await query('SELECT device_id, active_device_count FROM device_registry, subscriptions'),
    [{ device_id: 'pump-7', active_device_count: 1 }],
  )
})

test('tables that change their generation under a running ingest stop nothing', async (t) => {
  const { connection, query } = await platformDatabase(t, { generation: 'old' })
  await query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
    INSERT INTO app_settings VALUES ('MODE', 'DEV'), ('STORE_REJECTS', '1');
    INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'pump-7', 'north')`)
  const registry = { unlistedCertificate: 'ca' } as const
  const database = { ...config(connection).database, migrate: false }
  const { ingest } = await openIngest(t, config(connection, registry, { database }))
  await send(ingest)
  await query(`DROP TABLE subscriptions;
    CREATE TABLE device_subscriptions (subscription_id text, tenant_id text, device_id text,
      status text, created_at timestamptz);
    INSERT INTO device_subscriptions VALUES ('s', 'acme', 'pump-7', 'SUSPENDED', now());
    GRANT SELECT ON device_subscriptions TO PUBLIC`)
  ingest.invalidate()
  await send(ingest)
  assert.deepEqual(await stored(query), { rows: 1, reasons: ['SUBSCRIPTION_SUSPENDED'] })
})

test('a location goes into the registry, never over one set by hand', async (t) => {
  for (const login of ['superuser', 'owner', 'member'] as const) {
    const { connection, query } = await platformDatabase(t, { login })
    await query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
      INSERT INTO device_registry (tenant_id, device_id, site_id, location_source, latitude)
      VALUES ('acme', 'auto', 'n', 'auto', 1), ('acme', 'null', 'n', NULL, 1),
             ('acme', 'manual', 'n', 'manual', 1), ('acme', 'metrics', 'n', 'auto', 1);
      ALTER TABLE device_registry FORCE ROW LEVEL SECURITY`)
    const registry = { requireToken: false }
    const database = { ...config(connection).database, migrate: false }
    const { ingest } = await openIngest(t, config(connection, registry, { database }))
    const at = (device: string, members: string) =>
      send(ingest, `"site_id":"n",${members}`, {
        device,
        publisher: { ...publisher, userName: `acme/${device}` },
      })
    await at('metrics', '"metrics":{"lat":7,"lng":7}')
    await at('manual', '"lat":7,"lng":7')
    await at('auto', '"lat":48.5,"lng":"9.25"')
    await at('null', '"lat":null,"latitude":" -1.5 ","longitude":2')
    const located = () =>
      query(
        `SELECT device_id, latitude, longitude, location_source FROM device_registry ORDER BY 1`,
      )
    await until(async () => (await located())[3]?.['longitude'] === 2)
    assert.deepEqual(
      (await located()).map((row) => Object.values(row)),
      [
        ['auto', 48.5, 9.25, 'auto'],
        ['manual', 1, null, 'manual'],
        ['metrics', 1, null, 'auto'],
        ['null', -1.5, 2, 'auto'],
      ],
      login,
    )
  }
})

test('a device that connects is judged by the tables as they are now', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, config(connection))
  const { ingest: strict } = await openIngest(
    t,
    config(connection, { unlistedCertificate: 'strict' }),
  )
  const decisions = async () => {
    const both = await Promise.all([ingest.mayConnect(name), strict.mayConnect(name)])
    return both.map((decision) => (decision.admitted ? 'admitted' : decision.reason))
  }
  assert.deepEqual(await decisions(), ['admitted', 'certificate_unlisted'])
  assert.equal(ingest.deviceStatus('acme', 'pump-7'), 'unknown')
  await ingest.registerDevice(pump)
  assert.deepEqual(await decisions(), ['admitted', 'admitted'])
  assert.equal(ingest.deviceStatus('acme', 'pump-7'), 'active')
  await query(`UPDATE device_registry SET status = 'SUSPENDED'`)
  assert.deepEqual(await decisions(), ['device_inactive', 'device_inactive'])
  assert.equal(ingest.deviceStatus('acme', 'pump-7'), 'inactive')
  await query(`UPDATE device_registry SET status = 'ACTIVE'`)
  await query(`UPDATE device_certificates SET status = 'REVOKED'`)
  assert.deepEqual(await decisions(), ['certificate_revoked', 'certificate_revoked'])
  await query(`UPDATE device_certificates SET status = 'EXPIRED'`)
  assert.deepEqual(await decisions(), ['admitted', 'certificate_unlisted'])
})

test('a revocation and a suspension in the tables are seen while answers are remembered', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest } = await openIngest(t, config(connection))
  await ingest.registerDevice(pump)
  await send(ingest)
  const barred: unknown[] = []
  ingest.onBarred((one) => barred.push(one))
  await query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = now()`)
  await until(() => barred.length > 0)
  assert.deepEqual(barred[0], name)
  await send(ingest)
  barred.length = 0
  await query(`UPDATE device_registry SET status = 'INACTIVE', updated_at = now()`)
  await until(() =>
    barred.some((one) => JSON.stringify(one) === '{"tenantId":"acme","deviceId":"pump-7"}'),
  )
  await send(ingest)
  assert.deepEqual(await stored(query), {
    rows: 1,
    reasons: ['TOKEN_NOT_SET_IN_REGISTRY', 'DEVICE_REVOKED'],
  })
})

test('while PostgreSQL is away', async (t) => {
  const server = await testServer(t)
  await t.test(
    'while the registry cannot be asked a message waits, unacknowledged, and then goes through',
    async (t) => {
      const { ingest, log } = await openIngest(t, config(server.connection))
      await ingest.registerDevice(pump)
      await server.stop('immediate')
      let acknowledged = 0
      const sent = Array.from({ length: 10 }, async (_, i) => {
        await send(ingest, `"site_id":"north","seq":${i}`)
        acknowledged++
      })
      await log.until('registry.awaited')
      for (let i = 0; i < 100; i++) await turn()
      assert.equal(acknowledged, 0)
      assert.equal(ingest.counters().queue_depth, 10)
      assert.deepEqual(ingest.ready(), { ready: false, reason: 'db_pool' })
      await server.start()
      await Promise.all(sent)
      assert.equal((await stored(server.query)).rows, 10)
      assert.deepEqual((await stored(server.query)).reasons, [])
    },
  )
  await t.test('a stop while the registry cannot be asked acknowledges nothing', async (t) => {
    const { ingest, log } = await openIngest(t, config(server.connection))
    await server.stop('immediate')
    const sent = send(ingest)
    const outcome = assert.rejects(sent, { code: 'INGEST_STOPPED' })
    await log.until('registry.awaited')
    await ingest.stop(0)
    await outcome
    assert.equal(ingest.counters().messages_rejected, 0)
    await server.start()
  })
  await t.test(
    'while the database is away devices may connect, unless the table is the only authority',
    async (t) => {
      const { ingest } = await openIngest(t, config(server.connection))
      const { ingest: strict } = await openIngest(
        t,
        config(server.connection, { unlistedCertificate: 'strict' }),
      )
      await ingest.registerDevice(pump)
      await server.stop('immediate')
      const decisions = await Promise.all([ingest.mayConnect(name), strict.mayConnect(name)])
      assert.deepEqual(decisions, [
        { admitted: true },
        { admitted: false, reason: 'registry_unavailable' },
      ])
    },
  )
  await t.test('while the database is away an account is the device it was before', async (t) => {
    await server.start()
    const { ingest } = await openIngest(t, config(server.connection))
    await ingest.registerDevice(pump)
    const { tenantId, deviceId } = pump
    const tokenHash = createHash('sha256').update('tok-1').digest('hex')
    await server.query(
      `UPDATE device_registry SET provision_token_hash = '${tokenHash}' WHERE device_id = '${deviceId}'`,
    )
    const account = { userName: `device_${tenantId}_${deviceId}`, tokenHash }
    const found = { found: true, tenantId, deviceId }
    assert.deepEqual(await ingest.deviceOfAccount(account), found)
    await server.stop('immediate')
    const answers = await Promise.all([
      ingest.deviceOfAccount(account),
      ingest.deviceOfAccount({ ...account, tokenHash: 'ab'.repeat(32) }),
    ])
    assert.deepEqual(answers, [found, { found: false, reason: 'registry_unavailable' }])
  })
})

test('without a registry no account is a device', async (t) => {
  const { connection } = await testDatabase(t)
  const { ingest } = await openIngest(t, config(connection, { mode: 'off' }))
  assert.deepEqual(
    await ingest.deviceOfAccount({ userName: 'device_acme_pump', tokenHash: 'ab'.repeat(32) }),
    { found: false, reason: 'registry_off' },
  )
})
