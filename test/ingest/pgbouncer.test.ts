/**
 * PgBouncer in transaction mode between ingest and PostgreSQL: fewer server connections than ingest
 * has, so that whatever one transaction leaves behind meets the next, which may be anybody's.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Client } from 'pg'
import { freePort } from '../../postgres/place.ts'
import { platformDatabase } from '../helpers/platform-schema.ts'
import { testDatabase, type Query, type TestConnection } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'
import { reportOf } from './downlink/reports.ts'
import { message, numbered } from './messages.ts'
import { ingestConfig, openIngest } from './open.ts'
import { ACME_WITH_STATE, KEEP_REJECTS, registryRules } from './platform.ts'

/** Debian has it in sbin, which may not be in the PATH. */
const PROGRAM = ['pgbouncer', '/usr/sbin/pgbouncer'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
)
const skip = PROGRAM === undefined ? 'pgbouncer is not installed' : false
/** Of the user nobody. */
const NOBODY = 65_534
const SERVER_CONNECTIONS = 2
const MESSAGES = 400
const REFUSED = 13

const PREPARE = `
  ${KEEP_REJECTS};
  ${ACME_WITH_STATE};
  ALTER TABLE telemetry ADD CONSTRAINT unlucky CHECK (seq <> ${REFUSED})`

const DATABASES: readonly [
  string,
  (t: TestContext) => Promise<{ connection: TestConnection; query: Query }>,
][] = [
  ['tables of ours, migrated through it', testDatabase],
  ['tables of a platform with row-level security', (t) => platformDatabase(t, { login: 'member' })],
]

for (const [name, databaseOf] of DATABASES) {
  test(`all of ingest works behind PgBouncer: ${name}`, { skip }, async (t) => {
    const { connection, query } = await databaseOf(t)
    const behind = await startPgBouncer(t, connection)
    const registry = registryRules({ unlistedCertificate: 'ca', listen: 'auto' })
    const config = ingestConfig(behind, { registry, writers: 3 })
    const first = await openIngest(t, ingestConfig(behind))
    await first.ingest.stop(5_000)
    await query(PREPARE)

    const { ingest, log, metrics } = await openIngest(t, config)
    const unheard = await log.until('registry.unheard')
    assert.equal(unheard['level'], 'info')
    assert.equal((await metrics.ingestRegistryListening.get()).values[0]?.value, 0)
    const sent = Array.from({ length: MESSAGES }, (_, seq) => ingest.append(numbered(seq)))
    for (let i = 0; i < 20; i++) sent.push(ingest.append(message(`nonsense ${i}`)))
    sent.push(ingest.append(numbered(1, { device: 'stranger' })))
    for (const version of [1, 2, 3]) {
      sent.push(ingest.report(reportOf('shadow_reported', { reported: { version }, version })))
    }
    await Promise.all(sent)
    assert.equal(await ingest.countRows('acme'), MESSAGES - 1)

    const stored = await query('SELECT seq::int AS seq FROM telemetry ORDER BY seq')
    const expected = Array.from({ length: MESSAGES }, (_, seq) => seq).filter((n) => n !== REFUSED)
    assert.deepEqual(
      stored.map(({ seq }) => seq),
      expected,
    )
    const reasons = await query(
      'SELECT reason, count(*)::int AS n FROM quarantine_events GROUP BY reason ORDER BY reason',
    )
    assert.deepEqual(reasons, [
      { reason: 'INVALID_JSON', n: 20 },
      { reason: 'ROW_REJECTED:23514', n: 1 },
      { reason: 'UNREGISTERED_DEVICE', n: 1 },
    ])
    const shadow = `SELECT reported_state AS state, reported_version AS version FROM device_state`
    assert.deepEqual(await query(shadow), [{ state: { version: 3 }, version: 3 }])
    assert.deepEqual(await remainsOf(behind), [])
    await ingest.stop(5_000)
    assert.deepEqual(await query('SELECT sum(cnt)::int AS n FROM quarantine_counters_minute'), [
      { n: 22 },
    ])
    const errors = log.lines.filter(({ level }) => level === 'error')
    assert.deepEqual(errors, [])
    assert.equal(log.last('registry.listening'), undefined)
    assert.equal(log.last('registry.unlistened'), undefined)
  })
}

test('behind PgBouncer a revocation is polled for', { skip }, async (t) => {
  const { connection, query } = await testDatabase(t)
  const behind = await startPgBouncer(t, connection)
  const registry = registryRules({ settingsPollSeconds: 1, listen: 'auto' })
  const { ingest, log } = await openIngest(t, ingestConfig(behind, { registry }))
  await log.until('registry.unheard')
  const alive = setInterval(() => undefined, 1_000)
  t.after(() => clearInterval(alive))
  const barred = new Promise((resolve) => ingest.onBarred(resolve))
  await query(
    `INSERT INTO device_registry (tenant_id, device_id, site_id, status)
     VALUES ('acme', 'pump-7', 'north', 'SUSPENDED')`,
  )
  assert.deepEqual(await barred, {
    tenantId: 'acme',
    deviceId: 'pump-7',
    fingerprint: undefined,
  })
})

test('PgBouncer in session mode lets notifications through', { skip }, async (t) => {
  const { connection, query } = await testDatabase(t)
  const behind = await startPgBouncer(t, connection, { poolMode: 'session', size: 10 })
  const registry = registryRules({ settingsPollSeconds: 3600, listen: 'auto' })
  const { ingest, log } = await openIngest(t, ingestConfig(behind, { registry }))
  await log.until('registry.listening')
  const barred = new Promise((resolve) => ingest.onBarred(resolve))
  await query(`INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('a', 'b', 'c')`)
  await query(`UPDATE device_registry SET status = 'SUSPENDED', updated_at = '2026-01-01'`)
  assert.deepEqual(await barred, { tenantId: 'a', deviceId: 'b', fingerprint: undefined })
})

test('what a session would keep is found by the check above', { skip }, async (t) => {
  const { connection } = await testDatabase(t)
  const behind = await startPgBouncer(t, connection)
  const client = await connected(behind)
  try {
    await client.query(`SET statement_timeout = '7s'; SELECT pg_advisory_lock(1)`)
    await client.query('PREPARE kept AS SELECT 1')
  } finally {
    await client.end()
  }
  const found = (await remainsOf(behind)).map(({ what }) => what)
  assert.deepEqual(
    found.map(String).sort((a, b) => (a < b ? -1 : 1)),
    ['advisory lock', 'prepared statement', 'setting'],
  )
})

/** What the server connections still hold of the transactions that ran on them: all are looked at. */
async function remainsOf(behind: TestConnection) {
  const clients: Client[] = []
  const remains: { what: unknown; name: unknown }[] = []
  const pids = new Set<unknown>()
  try {
    for (let i = 0; i < SERVER_CONNECTIONS; i++) clients.push(await connected(behind))
    // Each holds a server connection of its own until its transaction ends.
    for (const client of clients) {
      await client.query('BEGIN')
      const { rows } = await client.query<{ what: unknown; name: unknown; pid: unknown }>(
        `SELECT f.what, f.name, pg_backend_pid() AS pid
           FROM (VALUES (1)) AS one LEFT JOIN (
             SELECT 'prepared statement' AS what, name FROM pg_prepared_statements
             UNION ALL SELECT 'setting', name FROM pg_settings
                        WHERE source = 'session' AND name NOT IN ('application_name',
                              'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
             UNION ALL SELECT 'role', current_user WHERE current_user <> session_user
             UNION ALL SELECT 'tenant', current_setting('app.tenant_id', true)
                        WHERE current_setting('app.tenant_id', true) <> ''
             UNION ALL SELECT 'channel', pg_listening_channels()
             UNION ALL SELECT 'cursor', name FROM pg_cursors
             UNION ALL SELECT 'temporary table', relname FROM pg_class
                        WHERE relnamespace = pg_my_temp_schema()
             UNION ALL SELECT 'advisory lock', objid::text FROM pg_locks
                        WHERE locktype = 'advisory' AND pid = pg_backend_pid()
           ) AS f ON true`,
      )
      for (const { what, name, pid } of rows) {
        pids.add(pid)
        if (what !== null) remains.push({ what, name })
      }
    }
    assert.equal(pids.size, SERVER_CONNECTIONS)
    return remains
  } finally {
    for (const client of clients) await client.end()
  }
}

async function startPgBouncer(
  t: TestContext,
  to: TestConnection,
  { poolMode = 'transaction', size = SERVER_CONNECTIONS } = {},
): Promise<TestConnection> {
  const folder = await scratchDirectory(t)
  const port = await freePort()
  const url = to.connectionString === undefined ? undefined : new URL(to.connectionString)
  const target = {
    host: url?.hostname ?? to.host,
    port: url === undefined ? (to.port ?? 5432) : url.port || 5432,
    user: url === undefined ? to.user : decodeURIComponent(url.username),
    password: url === undefined ? to.password : decodeURIComponent(url.password),
    dbname: url === undefined ? to.database : url.pathname.slice(1),
  }
  const place = Object.entries(target)
    .map(([key, value]) => `${key}='${String(value).replaceAll("'", "''")}'`)
    .join(' ')
  const ini = join(folder, 'pgbouncer.ini')
  const settings = [
    ...['[databases]', `midge = ${place}`, '[pgbouncer]'],
    ...['listen_addr = 127.0.0.1', `listen_port = ${port}`, 'unix_socket_dir =', 'auth_type = any'],
    ...[`pool_mode = ${poolMode}`, `default_pool_size = ${size}`, 'max_client_conn = 50'],
  ]
  await writeFile(ini, `${settings.join('\n')}\n`)
  // It does not run as root; a socket of the embedded server is open to its own user alone.
  const owner = target.host?.startsWith('/') === true ? await stat(target.host) : undefined
  const { uid, gid } = owner ?? { uid: NOBODY, gid: NOBODY }
  const as = process.geteuid?.() === 0 ? { uid, gid } : {}
  const child = spawn(PROGRAM ?? 'pgbouncer', [ini], { ...as, stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (text: Buffer) => {
      said += String(text)
      if (said.includes(`listening on 127.0.0.1:${port}`)) resolve()
    })
    void exited.then(() => reject(new Error(`pgbouncer ended:\n${said}`)))
  })
  const at = { host: '127.0.0.1', port, user: 'anybody', password: 'any', database: 'midge' }
  const behind = { connectionString: undefined, ...at }
  try {
    await (await connected(behind)).end()
  } catch (cause) {
    throw new Error(`pgbouncer does not reach PostgreSQL:\n${said}`, { cause })
  }
  return behind
}

async function connected(to: TestConnection): Promise<Client> {
  const client = new Client({ ...to, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  await client.connect()
  return client
}
