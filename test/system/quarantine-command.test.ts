/** `midge quarantine` as an operator types it: processes of their own, against a real PostgreSQL. */
import assert from 'node:assert/strict'
import { userInfo } from 'node:os'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { spawnMidge } from '../helpers/midge-process.ts'
import { platformDatabase } from '../helpers/platform-schema.ts'
import type { Query, TestConnection } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const EVENTS = `
  INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'p1', 'north');
  INSERT INTO quarantine_events (id, ingested_at, topic, tenant_id, device_id, msg_type, reason, payload) VALUES
    (1, '2026-03-01T10:00:00Z', 'tenant/acme/device/p1/telemetry', 'acme', 'p1', 'telemetry',
     'UNREGISTERED_DEVICE', '{"site_id":"north","seq":7,"provision_token":"in clear"}'),
    (2, '2026-03-01T11:00:00Z', 'tenant/acme/device/p2/telemetry', 'acme', 'p2', 'telemetry',
     'INVALID_JSON', '{"raw":"no json"}'),
    (3, '2026-03-01T12:00:00Z', 'tenant/zeta/device/p1/telemetry', 'zeta', 'p1', 'telemetry',
     'AUTH_FAILED', '{}')`

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A shell whose environment names the database; each command is a process. */
function shellOf(t: TestContext, connection: TestConnection, environment: NodeJS.ProcessEnv = {}) {
  const { connectionString, host, port, user, password, database } = connection
  const env =
    connectionString === undefined
      ? { PG_HOST: host, PG_PORT: String(port), PG_USER: user, PG_PASS: password, PG_DB: database }
      : { DATABASE_URL: connectionString }
  return async (line: string): Promise<Ended> => {
    const args = ['quarantine', ...line.split(' ').filter((word) => word !== '')]
    const { child } = spawnMidge(t, { args, env: { ...env, ...environment } })
    const written = { stdout: '', stderr: '' }
    child.stdout?.on('data', (text: Buffer) => (written.stdout += String(text)))
    child.stderr?.on('data', (text: Buffer) => (written.stderr += String(text)))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, ...written }
  }
}

async function left(query: Query): Promise<unknown> {
  const [row] = await query(
    `SELECT (SELECT count(*)::int FROM telemetry) AS rows,
            (SELECT count(*)::int FROM quarantine_events) AS kept`,
  )
  return row
}

test('an operator works through the quarantine, and audit_log says who it was', async (t) => {
  const { connection, query } = await platformDatabase(t, { login: 'member' })
  await query(EVENTS)
  const midge = shellOf(t, connection)

  assert.deepEqual(await midge('list --tenant acme'), {
    code: 0,
    stdout: [
      '2  2026-03-01T11:00:00.000000Z  acme/p2  INVALID_JSON  tenant/acme/device/p2/telemetry\n',
      '1  2026-03-01T10:00:00.000000Z  acme/p1  UNREGISTERED_DEVICE  tenant/acme/device/p1/telemetry\n',
    ].join(''),
    stderr: '',
  })
  const shown = await midge('show 1')
  assert.equal(shown.code, 0)
  assert.match(shown.stdout, /^reason {5}UNREGISTERED_DEVICE$/mu)
  assert.match(shown.stdout, /"provision_token":"\*\*\*"/u)
  assert.doesNotMatch(shown.stdout, /in clear/u)

  const refused = await midge('replay 1 2 3 99')
  assert.equal(refused.code, 1)
  assert.equal(refused.stdout, '')
  assert.deepEqual(
    refused.stderr
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/ \(.*/u, '')),
    [
      'midge: 1 stays in quarantine: TOKEN_NOT_SET_IN_REGISTRY',
      'midge: 2 stays in quarantine: INVALID_JSON',
      'midge: 3 stays in quarantine: AUTH_FAILED',
      'midge: there is no message 99 in quarantine',
    ],
  )
  assert.deepEqual(await left(query), { rows: 0, kept: 3 })
  assert.deepEqual(await query('SELECT 1 FROM audit_log'), [])

  const stored = await midge('replay 1 3 --vouch')
  assert.equal(stored.code, 1)
  assert.equal(stored.stdout, '1 stored\n')
  assert.match(stored.stderr, /^midge: 3 stays in quarantine: AUTH_FAILED /u)
  assert.deepEqual(await midge('discard 2'), { code: 0, stdout: '2 discarded\n', stderr: '' })
  assert.deepEqual(await left(query), { rows: 1, kept: 1 })
  assert.deepEqual(
    await query(
      `SELECT event_type, actor_type, actor_id, tenant_id, entity_id, details->>'vouched' AS vouched
         FROM audit_log ORDER BY event_type`,
    ),
    ['discarded', 'replayed'].map((done) => ({
      event_type: `quarantine.${done}`,
      actor_type: 'user',
      actor_id: userInfo().username,
      tenant_id: 'acme',
      entity_id: done === 'replayed' ? 'p1' : 'p2',
      vouched: done === 'replayed' ? 'true' : null,
    })),
  )
  assert.deepEqual(await query('SELECT tenant_id, device_id, seq::int FROM telemetry'), [
    { tenant_id: 'acme', device_id: 'p1', seq: 7 },
  ])
})

test('what the login role does not see it reads and removes as pulse_operator', async (t) => {
  const { connection, query } = await platformDatabase(t, { login: 'member' })
  await query(`${EVENTS}; ALTER TABLE quarantine_events FORCE ROW LEVEL SECURITY`)
  const midge = shellOf(t, connection)
  assert.equal((await midge('list')).stdout.split('\n').length, 4)
  const forbidden = await midge('discard 3')
  assert.equal(forbidden.code, 1)
  assert.match(
    forbidden.stderr,
    /permission denied for table quarantine_events: to take messages out, DELETE on/u,
  )
  assert.deepEqual(await left(query), { rows: 0, kept: 3 })
  await query('GRANT DELETE ON quarantine_events TO pulse_operator')
  assert.deepEqual(await midge('discard 3'), { code: 0, stdout: '3 discarded\n', stderr: '' })
  assert.deepEqual((await midge('replay 1 --vouch')).stdout, '1 stored\n')
  assert.deepEqual(await left(query), { rows: 1, kept: 1 })
})

/** What is wrong with the words; the text that follows `midge quarantine: `. */
const WRONG: readonly (readonly [line: string, message: string])[] = [
  ['all', 'expected list, show, replay or discard'],
  ['list --limit 0', '--limit is "0", expected a whole number from 1'],
  ['list --since tomorrow', '--since is "tomorrow", expected 2026-02-09T09:00:00Z or 2h'],
  ['show', 'show takes one id'],
  ['discard 0', '"0" is no id of a message'],
  ['replay 1 --force', 'unknown option "--force"'],
]

test('wrong words end with exit code 3 before any database is asked', async (t) => {
  const nowhere = { connectionString: 'postgres://nobody@127.0.0.1:1/nowhere' }
  const midge = shellOf(t, nowhere as TestConnection)
  for (const [line, message] of WRONG) {
    const { code, stdout, stderr } = await midge(line)
    assert.equal(stderr.split('\n')[0], `Error: midge quarantine: ${message}`, line)
    assert.match(stderr, /^Use 'midge quarantine --help' to see the usage\.$/mu)
    assert.deepEqual({ code, stdout }, { code: 3, stdout: '' }, line)
  }
  const { code, stdout } = await midge('--help')
  assert.equal(code, 0)
  assert.match(stdout, /^Usage: midge quarantine list/u)
})

test('a database that cannot be worked on is said in one line', async (t) => {
  const { connection, query } = await platformDatabase(t, { login: 'owner' })
  const away = { connectionString: 'postgres://nobody@127.0.0.1:1/nowhere' }
  const data = await scratchDirectory(t)
  const nothing = { ...connection, connectionString: '' }
  const cases: readonly (readonly [() => Promise<Ended>, RegExp])[] = [
    [() => shellOf(t, away as TestConnection)('list'), /^midge: .*127\.0\.0\.1:1/u],
    [() => shellOf(t, nothing)(`list --data ${data}`), /^midge: no Midge runs/u],
    [
      () => shellOf(t, connection, { MIDGE_INGEST: 'off' })('list'),
      /^midge: MIDGE_INGEST is "off": there is no database to look at/u,
    ],
  ]
  for (const [run, message] of cases) {
    const { code, stdout, stderr } = await run()
    assert.match(stderr, message)
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    assert.equal(stdout, '')
    assert.notEqual(code, 0)
  }
  await query('DROP TABLE quarantine_events')
  const { code, stderr } = await shellOf(t, connection)('list')
  assert.match(stderr, /^midge: there is no table quarantine_events;/u)
  assert.equal(code, 1)
})
