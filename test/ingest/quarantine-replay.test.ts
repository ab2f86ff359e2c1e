import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from 'pg'
import type { RegistryConfig } from '../../config/types.ts'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { QuarantineReplay, type ReplayOutcome } from '../../ingest/quarantine-replay.ts'
import { QuarantineStore } from '../../ingest/quarantine-store.ts'
import { wantedRegistry } from '../../ingest/registry/registry-schema.ts'
import { rejectionOf, type Rejection } from '../../ingest/telemetry.ts'
import { message, publisher } from './messages.ts'
import { ingestConfig, openDatabase, quarantineRows, type OpenedDatabase } from './open.ts'
import { ACME, registryRules } from './platform.ts'

// The most lenient: a replay must be stricter.
const REGISTRY = registryRules({ unlistedCertificate: 'ca' })
const GOOD = '{"site_id":"north","seq":7,"ts":"2026-02-09T09:15:23.123456Z","metrics":{"a":1.10}}'
const WITH_TOKEN = `{"provision_token":"tok-1",${GOOD.slice(1)}`

function certificateOf(device: string, status = 'ACTIVE', fingerprint = 'ab'.repeat(32)): string {
  return `INSERT INTO device_registry (tenant_id, device_id, site_id)
            VALUES ('acme', '${device}', 'north') ON CONFLICT DO NOTHING;
          INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
            common_name, issuer, serial_number, status, not_before, not_after) VALUES ('acme',
            '${device}', '', '${fingerprint}', 'acme/${device}', '', '1', '${status}',
            '2020-01-01', '2099-01-01')`
}

type Changes = Partial<Rejection> & { readonly payloadText?: string }

async function quarantined(opened: OpenedDatabase, changes: Changes = {}): Promise<string> {
  const { payloadText = GOOD, ...rest } = changes
  const rejection = { ...rejectionOf(message(payloadText), 'UNREGISTERED_DEVICE'), ...rest }
  await new QuarantineStore(opened.database, await opened.schema()).insert([rejection])
  const [row] = await opened.query('SELECT max(id)::text AS id FROM quarantine_events')
  return String(row?.['id'])
}

async function replayOf(
  t: { after(then: () => Promise<void>): void },
  opened: OpenedDatabase,
  options: { registry?: RegistryConfig | undefined; vouched?: boolean } = {},
): Promise<QuarantineReplay> {
  const registry = 'registry' in options ? options.registry : REGISTRY
  const config = ingestConfig(opened.connection, registry === undefined ? {} : { registry })
  const replay = await QuarantineReplay.start({
    config,
    database: opened.database,
    schema: await opened.schema(),
    rows: await quarantineRows(opened),
    registrySchema: await wantedRegistry(config, opened.database),
    vouched: options.vouched ?? false,
    clock: systemClock,
    log: opened.log.log,
    metrics: createMetrics(),
    random: Math.random,
  })
  t.after(() => replay.stop())
  return replay
}

async function counts({ query }: OpenedDatabase): Promise<unknown> {
  const [row] = await query(
    `SELECT (SELECT count(*)::int FROM telemetry) AS rows,
            (SELECT count(*)::int FROM quarantine_events) AS kept`,
  )
  return row
}

const told = (result: ReplayOutcome) =>
  result.outcome === 'refused' ? result.reason : result.outcome

test('a message that passes now moves into telemetry as it was sent', async (t) => {
  const opened = await openDatabase(t, { prepare: `${ACME}; ${certificateOf('pump-7')}` })
  const id = await quarantined(opened)
  const replay = await replayOf(t, opened)
  assert.deepEqual(await replay.replay(id), { outcome: 'stored' })
  assert.deepEqual(await replay.replay(id), { outcome: 'gone' })
  assert.deepEqual(await counts(opened), { rows: 1, kept: 0 })
  const rows = await opened.query(
    `SELECT tenant_id, device_id, site_id, msg_type, seq::int, metrics::text, publisher,
            "time" = '2026-02-09T09:15:23.123456Z' AS at FROM telemetry`,
  )
  assert.deepEqual(rows, [
    {
      tenant_id: 'acme',
      device_id: 'pump-7',
      site_id: 'north',
      msg_type: 'telemetry',
      seq: 7,
      metrics: '{"a": 1.10}',
      publisher: `device:${'ab'.repeat(32)}`,
      at: true,
    },
  ])
})

test('without a ts the message has the time at which it came', async (t) => {
  const opened = await openDatabase(t)
  const id = await quarantined(opened, { payloadText: '{"site_id":"north"}' })
  await opened.query(`UPDATE quarantine_events SET ingested_at = '2026-01-02T03:04:05.678Z'`)
  const replay = await replayOf(t, opened, { registry: undefined })
  assert.equal(told(await replay.replay(id)), 'stored')
  assert.deepEqual(
    await opened.query(`SELECT "time" = '2026-01-02T03:04:05.678Z' AS at FROM telemetry`),
    [{ at: true }],
  )
})

const account = {
  kind: 'account',
  userName: 'acme/pump-7',
  clientId: 'c',
  fingerprint: undefined,
} as const

/** What stays refused, and whether it does even when the operator vouches. */
const REFUSED: readonly (readonly [
  what: string,
  prepare: string,
  changes: Changes,
  reason: string,
  vouched: string,
])[] = [
  ['no device', 'SELECT 1', {}, 'UNREGISTERED_DEVICE', 'UNREGISTERED_DEVICE'],
  ['no certificate on record', ACME, {}, 'TOKEN_NOT_SET_IN_REGISTRY', 'stored'],
  [
    'a masked token',
    `${ACME}; UPDATE device_registry SET provision_token_hash = encode(sha256('tok-1'), 'hex')`,
    { payloadText: WITH_TOKEN, publisher: account },
    'TOKEN_INVALID',
    'stored',
  ],
  [
    'a mask that is the token',
    `${ACME}; UPDATE device_registry SET provision_token_hash = encode(sha256('tok-1'), 'hex')`,
    { publisher: account },
    'TOKEN_MISSING',
    'stored',
  ],
  [
    'a revoked certificate',
    `${ACME}; ${certificateOf('pump-7', 'REVOKED')}`,
    {},
    'TOKEN_NOT_SET_IN_REGISTRY',
    'stored',
  ],
  [
    'the certificate of another device',
    `${ACME}; ${certificateOf('pump-8')}`,
    {},
    'TOKEN_NOT_SET_IN_REGISTRY',
    'stored',
  ],
  [
    'a certificate that named no device',
    `${ACME}; ${certificateOf('pump-7')}`,
    { publisher: { ...publisher, kind: 'certificate' } },
    'TOKEN_NOT_SET_IN_REGISTRY',
    'stored',
  ],
  [
    'an account that is called like a fingerprint',
    `${ACME}; ${certificateOf('pump-7')}`,
    { publisher: { ...account, userName: `device:${'ab'.repeat(32)}` } },
    'TOKEN_NOT_SET_IN_REGISTRY',
    'stored',
  ],
  [
    'a suspended device',
    `${ACME}; UPDATE device_registry SET status = 'SUSPENDED'`,
    {},
    'DEVICE_REVOKED',
    'DEVICE_REVOKED',
  ],
  ['no right to publish', ACME, { reason: 'AUTH_FAILED' }, 'AUTH_FAILED', 'AUTH_FAILED'],
  [
    'the topic of another tenant',
    ACME,
    { topic: 'tenant/zeta/device/pump-7/telemetry' },
    'BAD_TOPIC_FORMAT',
    'BAD_TOPIC_FORMAT',
  ],
  ['no tenant at all', ACME, { tenantId: undefined }, 'BAD_TOPIC_FORMAT', 'BAD_TOPIC_FORMAT'],
  [
    'a shadow',
    ACME,
    { topic: 'tenant/acme/device/pump-7/shadow/reported', msgType: 'shadow' },
    'BAD_TOPIC_FORMAT',
    'BAD_TOPIC_FORMAT',
  ],
  ['no JSON', ACME, { payloadText: 'no json' }, 'INVALID_JSON', 'INVALID_JSON'],
  ['no object', ACME, { payloadText: '[1]' }, 'INVALID_PAYLOAD', 'INVALID_PAYLOAD'],
  [
    'a copy with other values',
    ACME,
    { payloadText: '{"site_id":"north","metrics":{"a":1e400}}', reason: 'INVALID_FIELD:metrics' },
    'INVALID_FIELD:metrics',
    'INVALID_FIELD:metrics',
  ],
  [
    'a payload beyond the bound of app_settings',
    ACME,
    { payloadText: `{"site_id":"north","metrics":{"a":"${'x'.repeat(17_000)}"}}` },
    'PAYLOAD_TOO_LARGE',
    'PAYLOAD_TOO_LARGE',
  ],
  [
    'a row that PostgreSQL refuses',
    `${ACME}; ${certificateOf('pump-7')}; ALTER TABLE telemetry ADD CHECK (seq <> 7)`,
    {},
    'ROW_REJECTED:23514',
    'ROW_REJECTED:23514',
  ],
]

for (const [what, prepare, changes, reason, vouched] of REFUSED) {
  test(`replayed: ${what} is ${reason}, vouched for: ${vouched}`, async (t) => {
    const opened = await openDatabase(t, { prepare })
    const id = await quarantined(opened, changes)
    assert.equal(told(await (await replayOf(t, opened)).replay(id)), reason)
    assert.deepEqual(await counts(opened), { rows: 0, kept: 1 })
    const replay = await replayOf(t, opened, { vouched: true })
    assert.equal(told(await replay.replay(id)), vouched)
    const moved = vouched === 'stored'
    assert.deepEqual(await counts(opened), { rows: moved ? 1 : 0, kept: moved ? 0 : 1 })
  })
}

test('what our own mistake kept is replayed without the wrapping', async (t) => {
  const opened = await openDatabase(t)
  const id = await quarantined(opened, { reason: 'INGEST_EXCEPTION:TypeError', error: 'a "b" \\' })
  const replay = await replayOf(t, opened, { registry: undefined })
  assert.equal(told(await replay.replay(id)), 'stored')
  assert.deepEqual(await opened.query('SELECT seq::int, site_id FROM telemetry'), [
    { seq: 7, site_id: 'north' },
  ])
})

test('blanks that jsonb adds do not count against the bound on payloads', async (t) => {
  const opened = await openDatabase(t)
  const members = Array.from({ length: 700 }, (_, i) => `"k${1000 + i}":0`).join(',')
  const payloadText = `{"site_id":"a b","metrics":{${members}}}`.padEnd(8192)
  assert.ok(payloadText.length === 8192)
  const [row] = await opened.query('SELECT length(($1::jsonb)::text) AS length', [payloadText])
  assert.ok(Number(row?.['length']) > 8192)
  const id = await quarantined(opened, { payloadText })
  const replay = await replayOf(t, opened, { registry: undefined })
  assert.equal(told(await replay.replay(id)), 'stored')
  assert.deepEqual(await opened.query('SELECT site_id FROM telemetry'), [{ site_id: 'a b' }])
})

test('two operators who replay one message store it once', async (t) => {
  const opened = await openDatabase(t)
  const id = await quarantined(opened)
  const replay = await replayOf(t, opened, { registry: undefined })
  const both = await Promise.all([replay.replay(id), replay.replay(id)])
  assert.deepEqual(both.map(told).sort(), ['gone', 'stored'])
  assert.deepEqual(await counts(opened), { rows: 1, kept: 0 })
})

test('a connection that ends inside the transaction leaves the message where it was', async (t) => {
  const opened = await openDatabase(t)
  const id = await quarantined(opened)
  const replay = await replayOf(t, opened, { registry: undefined })
  const holder = new Client({ ...opened.connection })
  holder.on('error', () => undefined)
  await holder.connect()
  t.after(() => holder.end())
  await holder.query('BEGIN; LOCK TABLE telemetry')
  const replayed = assert.rejects(replay.replay(id), { code: '57P01' })
  let cut: unknown[] = []
  while (cut.length === 0) {
    cut = await opened.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
          AND usename = current_user AND wait_event_type = 'Lock'`,
    )
  }
  await replayed
  await holder.query('ROLLBACK')
  assert.deepEqual(await counts(opened), { rows: 0, kept: 1 })
  assert.equal(told(await replay.replay(id)), 'stored')
})
