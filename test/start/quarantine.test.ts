import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CommandLineError } from '../../config/index.ts'
import { systemClock } from '../../core/clock.ts'
import { runDb } from '../../start/db.ts'
import { parseQuarantine } from '../../start/quarantine-arguments.ts'
import { runQuarantine } from '../../start/quarantine.ts'
import { openDatabase } from '../ingest/open.ts'
import type { TestConnection } from '../helpers/postgres.ts'

const NOW = Date.parse('2026-03-01T12:00:00Z')
const parse = (line: string) => parseQuarantine(line === '' ? [] : line.split(' '), NOW)

const WRONG: readonly (readonly [line: string, message: string])[] = [
  ['all', 'expected list, show, replay or discard'],
  ['list 5', 'list takes no "5"'],
  ['list --vouch', 'unknown option "--vouch"'],
  ['list --limit', '--limit needs a value'],
  ['list --limit 0', '--limit is "0", expected a whole number from 1'],
  ['list --since yesterday', '--since is "yesterday", expected 2026-02-09T09:00:00Z or 2h'],
  ['list --since 2h30', '--since is "2h30", expected 2026-02-09T09:00:00Z or 2h'],
  ['list --since 2026-13-01', '--since is "2026-13-01", expected 2026-02-09T09:00:00Z or 2h'],
  ['show', 'show takes one id'],
  ['show 1 2', 'show takes one id'],
  ['replay', 'replay takes one id or more'],
  ['replay --limit 3', 'unknown option "--limit"'],
  ['replay x', '"x" is no id of a message'],
  ['discard', 'discard takes one id or more'],
  ['discard --vouch 1', 'unknown option "--vouch"'],
  ['discard 1 0', '"0" is no id of a message'],
]

test('what is wrong behind midge quarantine is said, before anything is done', () => {
  for (const [line, message] of WRONG) {
    assert.throws(
      () => parse(line),
      (err: unknown) => {
        assert.ok(err instanceof CommandLineError, line)
        assert.equal(err.message.split('\n')[0], `Error: midge quarantine: ${message}`)
        return true
      },
    )
  }
})

test('the commands of midge quarantine take filters, ids and the directory', () => {
  for (const line of ['', '-h', 'list --help', 'replay 1 -h']) {
    assert.deepEqual(parse(line), { name: 'help' }, line)
  }
  assert.deepEqual(parse('list'), { name: 'list', filter: { limit: 20 }, data: undefined })
  assert.deepEqual(parse('list --tenant t --device d --reason r --since 2h --limit 3 --data /d'), {
    name: 'list',
    filter: {
      tenantId: 't',
      deviceId: 'd',
      reason: 'r',
      since: new Date('2026-03-01T10:00:00Z'),
      limit: 3,
    },
    data: '/d',
  })
  assert.deepEqual(parse('show 7'), { name: 'show', id: '7', data: undefined })
  assert.deepEqual(parse('replay 7 --vouch 8 7'), {
    name: 'replay',
    ids: ['7', '8'],
    vouched: true,
    data: undefined,
  })
  assert.deepEqual(parse('discard 9'), { name: 'discard', ids: ['9'], data: undefined })
})

/** What a shell would have exported to reach this database. */
function environmentOf(connection: TestConnection): Record<string, string> {
  const { connectionString, host, port, user, password, database } = connection
  if (connectionString !== undefined) return { DATABASE_URL: connectionString }
  return {
    PG_HOST: host ?? '',
    PG_PORT: String(port ?? ''),
    PG_USER: user ?? '',
    PG_PASS: password ?? '',
    PG_DB: database ?? '',
  }
}

function shellOf(connection: TestConnection) {
  const written = { stdout: '', stderr: '' }
  const around = {
    environment: environmentOf(connection),
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
    clock: systemClock,
    user: 'alice',
  }
  const take = () => {
    const { stdout, stderr } = written
    Object.assign(written, { stdout: '', stderr: '' })
    return { stdout, stderr }
  }
  return {
    quarantine: async (line: string) => ({
      code: await runQuarantine(line.split(' '), around),
      ...take(),
    }),
    db: async (line: string) => ({ code: await runDb(line.split(' '), around), ...take() }),
  }
}

const EVENTS = `
  INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme');
  INSERT INTO device_registry (tenant_id, device_id, site_id) VALUES ('acme', 'p1', 'north');
  INSERT INTO quarantine_events (id, ingested_at, topic, tenant_id, device_id, msg_type, reason, payload) VALUES
    (1, '2026-03-01T10:00:00Z', 'tenant/acme/device/p1/telemetry', 'acme', 'p1', 'telemetry',
     'UNREGISTERED_DEVICE', '{"site_id":"north","provision_token":"***"}'),
    (2, '2026-03-01T11:00:00Z', E'\\u001b[2Jx\\u202e', 'acme', 'p2', 'telemetry', 'INVALID_JSON',
     '{"raw":"no json"}')`

test('an operator lists, shows, replays and discards', async (t) => {
  const { connection, query } = await openDatabase(t, { prepare: EVENTS })
  const { quarantine } = shellOf(connection)
  assert.deepEqual(await quarantine('list'), {
    code: 0,
    stdout: [
      '2  2026-03-01T11:00:00.000000Z  acme/p2  INVALID_JSON  \\u{1b}[2Jx\\u{202e}\n',
      '1  2026-03-01T10:00:00.000000Z  acme/p1  UNREGISTERED_DEVICE  tenant/acme/device/p1/telemetry\n',
    ].join(''),
    stderr: '',
  })
  assert.equal(
    (await quarantine('list --device p9')).stdout,
    'nothing in quarantine that was asked for\n',
  )
  const shown = await quarantine('show 1')
  assert.match(shown.stdout, /^payload {4}\{"site_id":"north","provision_token":"\*\*\*"\}$/mu)
  assert.deepEqual(await quarantine('show 3'), {
    code: 1,
    stdout: '',
    stderr: 'midge: there is no message 3 in quarantine\n',
  })
  const refused = await quarantine('replay 1 2 3')
  assert.equal(refused.code, 1)
  assert.deepEqual(
    refused.stderr
      .split('\n')
      .slice(0, -1)
      .map((line) => line.replace(/ \(.*/u, '')),
    [
      'midge: 1 stays in quarantine: TOKEN_NOT_SET_IN_REGISTRY',
      'midge: 2 stays in quarantine: INVALID_JSON',
      'midge: there is no message 3 in quarantine',
    ],
  )
  assert.deepEqual(await quarantine('replay 1 --vouch'), {
    code: 0,
    stdout: '1 stored\n',
    stderr: '',
  })
  assert.deepEqual(await quarantine('discard 2'), { code: 0, stdout: '2 discarded\n', stderr: '' })
  assert.equal((await quarantine('discard 2')).code, 1)
  assert.deepEqual(
    await query(
      `SELECT (SELECT count(*)::int FROM telemetry) AS rows,
              (SELECT count(*)::int FROM quarantine_events) AS kept`,
    ),
    [{ rows: 1, kept: 0 }],
  )
})

test('midge db init makes the tables, and refuses where somebody else does', async (t) => {
  const { connection, query } = await openDatabase(t, { migrated: false })
  const { db } = shellOf(connection)
  const first = await db('init')
  assert.match(first.stdout, /^applied 0001_base\.sql, /u)
  assert.deepEqual(await db('init'), {
    code: 0,
    stdout: 'the tables are there already\n',
    stderr: '',
  })
  await query('CREATE TABLE schema_migrations (version text)')
  await assert.rejects(db('init'), { code: 'SCHEMA_FOREIGN' })
  await assert.rejects(db('drop'), CommandLineError)
  await assert.rejects(db('init --data'), CommandLineError)
})
