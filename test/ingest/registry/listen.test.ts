/** Ingest that hears of the registry by LISTEN alone: it polls once an hour. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { systemClock } from '../../../core/clock.ts'
import { packageRoot } from '../../../core/package-root.ts'
import { Hints } from '../../../ingest/registry/hints.ts'
import { listenToRegistry } from '../../../ingest/registry/listener.ts'
import { revokeCertificateIn } from '../../../ingest/registry/revoke-certificate.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { platformDatabase } from '../../helpers/platform-schema.ts'
import { testDatabase, type Query, type TestConnection } from '../../helpers/postgres.ts'
import { message, publisher } from '../messages.ts'
import { ingestConfig, openIngest } from '../open.ts'
import { ACME, registryRules } from '../platform.ts'
import { openPool } from './open-registry.ts'

// Ingest's own timers keep no process alive, and these tests wait for them.
const alive = setInterval(() => undefined, 1000)
after(() => clearInterval(alive))

const fingerprint = publisher.fingerprint ?? ''
const CERTIFICATE = `
  INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256, common_name,
                                   issuer, serial_number, not_before, not_after)
  VALUES ('acme', 'pump-7', 'pem', '${fingerprint}', 'acme/pump-7', 'Device CA', 'a1',
          '2026-01-01', '2999-01-01')`
const SILENT = { settingsPollSeconds: 3600, listen: 'auto' } as const
const pump = { tenantId: 'acme', deviceId: 'pump-7' }
const byCertificate = { ...pump, fingerprint }
const whole = { ...pump, fingerprint: undefined }

async function listening(
  t: TestContext,
  connection: TestConnection,
  changes: Parameters<typeof registryRules>[0] = {},
) {
  const opened = await openIngest(
    t,
    ingestConfig(connection, { registry: registryRules({ ...SILENT, ...changes }) }),
  )
  const barred: unknown[] = []
  const waiting: (() => void)[] = []
  opened.ingest.onBarred((one) => {
    barred.push(one)
    for (const wake of waiting.splice(0)) wake()
  })
  const untilBarred = async (wanted: unknown) => {
    const is = () => barred.some((one) => JSON.stringify(one) === JSON.stringify(wanted))
    while (!is()) await new Promise<void>((resolve) => waiting.push(resolve))
    barred.length = 0
  }
  await opened.log.until('registry.listening')
  return { ...opened, barred, untilBarred }
}

async function ours(t: TestContext, changes: Parameters<typeof registryRules>[0] = {}) {
  const { connection, query } = await testDatabase(t)
  const opened = await listening(t, connection, changes)
  await query(ACME)
  await query(CERTIFICATE)
  return { ...opened, connection, query }
}

const OPEN = `SELECT 1 FROM pg_stat_activity
                 WHERE application_name = 'midge listen' AND datname = current_database()`

/** A connection given up is closed, or about to be. */
async function untilClosed(query: Query): Promise<void> {
  while ((await query(OPEN)).length > 0) await turn()
}

const gone = (query: Query) =>
  query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'midge listen' AND datname = current_database()`)

test('a revocation is heard of, whatever its row says of when it was', async (t) => {
  const { query, untilBarred, barred, ingest, metrics } = await ours(t)
  await ingest.append(message('{"site_id":"north"}'))
  assert.equal(await ingest.countRows('acme'), 1)
  assert.equal((await metrics.ingestRegistryListening.get()).values[0]?.value, 1)
  await query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = '2026-01-02'`)
  await untilBarred(byCertificate)
  assert.deepEqual(barred, [])
  await ingest.append(message('{"site_id":"north"}'))
  assert.equal(await ingest.countRows('acme'), 1)
})

test('a suspended device is heard of', async (t) => {
  const { query, untilBarred } = await ours(t)
  await query(`UPDATE device_registry SET status = 'SUSPENDED'`)
  await untilBarred(whole)
})

test('a revocation that another process writes to the tables is heard of', async (t) => {
  const { connection, untilBarred } = await ours(t)
  const revoked = await revokeCertificateIn(
    { ...connection, poolMax: 1, migrate: false },
    {
      certificates: [{ serialNumber: 'A1', tenantId: 'acme' }],
      issuer: 'Device CA',
      reason: 'keyCompromise',
      revokedAt: new Date(),
    },
  )
  assert.equal(revoked.length, 1)
  await untilBarred(byCertificate)
})

test('a certificate, a site and a subscription that change are asked for again', async (t) => {
  const { query, ingest } = await ours(t)
  const stored = async () => {
    await ingest.append(message('{"site_id":"north"}'))
    const reasons = await query('SELECT reason FROM quarantine_events ORDER BY id')
    return { rows: await ingest.countRows('acme'), reason: reasons.at(-1)?.['reason'] }
  }
  assert.deepEqual(await stored(), { rows: 1, reason: undefined })
  const changes: readonly (readonly [sql: string, reason: string])[] = [
    [
      `INSERT INTO device_subscriptions (subscription_id, tenant_id, device_id, plan_id, status)
       VALUES ('s', 'acme', 'pump-7', 'p', 'SUSPENDED')`,
      'SUBSCRIPTION_SUSPENDED',
    ],
    [`UPDATE device_subscriptions SET status = 'EXPIRED'`, 'SUBSCRIPTION_EXPIRED'],
    [
      `DELETE FROM device_subscriptions; UPDATE device_registry SET site_id = 'south'`,
      'SITE_MISMATCH_REGISTRY_VS_PAYLOAD',
    ],
    [
      `DELETE FROM device_certificates; UPDATE device_registry SET site_id = 'north'`,
      'TOKEN_NOT_SET_IN_REGISTRY',
    ],
    ['DELETE FROM device_registry', 'UNREGISTERED_DEVICE'],
  ]
  for (const [sql, reason] of changes) {
    for (const statement of sql.split(';')) await query(statement)
    // A message may be on its way before the notification is; the caches hold for a minute.
    while ((await stored()).reason !== reason) await systemClock.sleep(20)
  }
})

test('a connection that is cut comes back, and what was said meanwhile is found', async (t) => {
  const { query, untilBarred, log, metrics } = await ours(t)
  assert.equal((await gone(query)).length, 1)
  await query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = now()`)
  const lost = await log.until('registry.unlistened')
  assert.equal(lost['level'], 'warn')
  await untilBarred(byCertificate)
  assert.equal(log.lines.filter(({ event }) => event === 'registry.listening').length, 2)
  await query(`UPDATE device_registry SET status = 'SUSPENDED'`)
  await untilBarred(whole)
  assert.equal((await metrics.ingestRegistryListening.get()).values[0]?.value, 1)
})

test('garbage is survived, and what is true is heard of behind it', async (t) => {
  const { query, untilBarred, barred, log } = await ours(t)
  const garbage = [
    '',
    'x',
    '{',
    '[]',
    'null',
    String.raw`{"tenant_id":"\u0000","device_id":"\ud800"}`,
  ]
  for (const text of garbage) await query('SELECT pg_notify($1, $2)', ['midge_registry', text])
  const forged = { tenant_id: "acme' OR true; --", device_id: 'pump-7' }
  await query('SELECT pg_notify($1, $2)', ['midge_registry', JSON.stringify(forged)])
  await query('SELECT pg_notify($1, $2)', ['midge_registry', JSON.stringify(pumpRow)])
  await query(`UPDATE device_registry SET status = 'SUSPENDED', updated_at = '2026-01-01'`)
  await untilBarred(whole)
  assert.deepEqual(barred, [])
  const troubled = log.lines.filter(({ level }) => level === 'warn' || level === 'error')
  assert.deepEqual(
    troubled.map(({ event }) => event),
    [],
  )
})

const pumpRow = { tenant_id: 'acme', device_id: 'pump-7' }

test('ten thousand notifications are a few queries', async (t) => {
  const { connection, query } = await testDatabase(t)
  const log = new RememberingLog()
  const database = openPool(t, connection, log)
  const abort = new AbortController()
  const rounds: number[] = []
  let looksAtAll = 0
  let isLastTaken = false
  let wake = (): void => undefined
  const heard = new Promise<void>((resolve) => {
    wake = resolve
  })
  const shared = { clock: systemClock, random: Math.random, signal: abort.signal }
  // The last one is looked at by its name, or with everything.
  const looked = (): true => {
    if (isLastTaken) wake()
    return true
  }
  const hints = new Hints({
    ...shared,
    invalidate: () => undefined,
    look: async (names) => {
      rounds.push(names.length)
      return looked()
    },
    lookAtAll: async () => {
      looksAtAll++
      return looked()
    },
  })
  const over = listenToRegistry({
    ...shared,
    connection: { ...connection, poolMax: 1, migrate: false },
    database,
    log: log.log,
    changed: () => undefined,
    hinted: (hint) => {
      isLastTaken ||= hint !== 'everything' && hint.deviceId === 'last'
      hints.take(hint)
    },
  })
  await log.until('registry.listening')
  await query(`SELECT pg_notify('midge_registry', json_build_object('tenant_id', 'acme', 'device_id', 'd' || i)::text)
                 FROM generate_series(1, 10000) AS i`)
  await query(`SELECT pg_notify('midge_registry', '{"tenant_id":"acme","device_id":"last"}')`)
  await heard
  t.diagnostic(`${rounds.length} rounds of ${rounds.join(', ')} devices; ${looksAtAll} of all`)
  assert.ok(Math.max(...rounds) <= 500)
  assert.ok(rounds.length + looksAtAll < 40, `${rounds.length} + ${looksAtAll}`)
  abort.abort()
  await over
  await untilClosed(query)
})

test('where a notification of its own does not come back nobody listens, which is said once', async (t) => {
  const { connection, query } = await testDatabase(t)
  const log = new RememberingLog()
  const abort = new AbortController()
  let attempts = 0
  let enough = (): void => undefined
  const tried = new Promise<void>((resolve) => {
    enough = resolve
  })
  const over = listenToRegistry({
    clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 20), signal) },
    random: Math.random,
    signal: abort.signal,
    connection: { ...connection, poolMax: 1, migrate: false },
    // What the pool sends is committed, and told to nobody.
    database: {
      rows: async (sql: string) => {
        if (sql.includes('pg_notify') && ++attempts === 3) enough()
        return []
      },
    },
    log: log.log,
    changed: (isListening) => assert.equal(isListening, false),
    hinted: () => assert.fail('nothing was told'),
  })
  await tried
  abort.abort()
  await over
  assert.deepEqual(
    log.lines.map(({ event, level }) => [event, level]),
    [['registry.unheard', 'info']],
  )
  await untilClosed(query)
})

/** As operators are told to write it. */
async function operatorsTriggers(): Promise<string> {
  const text = await readFile(join(packageRoot(), 'docs', 'ingest.md'), 'utf8')
  const [, sql = ''] = /```sql\n(.*?)```/su.exec(text) ?? []
  assert.ok(sql.includes('CREATE TRIGGER'))
  return sql
}

for (const login of ['owner', 'member', 'outsider'] as const) {
  test(`a platform's own NOTIFY is heard: login as ${login}`, async (t) => {
    const { connection, query } = await platformDatabase(t, { login })
    await query(`${ACME}; ${CERTIFICATE}; ${await operatorsTriggers()}`)
    const { untilBarred } = await listening(t, connection)
    await query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = '2026-01-02'`)
    await untilBarred(byCertificate)
    await query(`UPDATE device_registry SET status = 'SUSPENDED', updated_at = '2026-01-02'`)
    await untilBarred(whole)
  })
}

test('a platform that notifies of nobody in particular is heard as well', async (t) => {
  const { connection, query } = await platformDatabase(t)
  await query(`${ACME}; ${CERTIFICATE}`)
  const { untilBarred } = await listening(t, connection)
  await query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = now()`)
  await query('NOTIFY midge_registry')
  await untilBarred(byCertificate)
})

test('switched off, nobody listens', async (t) => {
  const { connection, query } = await testDatabase(t)
  const registry = registryRules({ ...SILENT, listen: 'off' })
  await openIngest(t, ingestConfig(connection, { registry }))
  assert.deepEqual(await query(OPEN), [])
})
