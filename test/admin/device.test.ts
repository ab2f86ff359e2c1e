/** The HTTP API of devices, by real requests, over a database with row-level security. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { createAdmin } from '../../admin/index.ts'
import type { DevicePort } from '../../admin/ports.ts'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { Database } from '../../ingest/database.ts'
import { DatabaseDeviceApi } from '../../ingest/downlink/device-api.ts'
import { inspectDownlink } from '../../ingest/downlink/tables.ts'
import { platformDatabase, type PlatformOptions } from '../helpers/platform-schema.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

async function serve(t: TestContext, devices: DevicePort | undefined) {
  const admin = await createAdmin(
    { host: '127.0.0.1', port: 0 },
    {
      counters: () => ({
        messages_received: 0,
        messages_written: 0,
        messages_rejected: 0,
        queue_depth: 0,
        last_write_at: null,
      }),
      readiness: () => ({ ready: true }),
      metrics: createMetrics().registry,
      devices,
    },
  )
  t.after(() => admin.close())
  return async (
    path: string,
    { token, body, type }: { token?: string; body?: unknown; type?: string } = {},
  ) => {
    const headers = {
      ...(token === undefined ? {} : { 'x-provision-token': token }),
      ...(body === undefined ? {} : { 'content-type': type ?? 'application/json' }),
    }
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await fetch(`http://127.0.0.1:${admin.port}/device/v1${path}`, {
      headers,
      ...(path.endsWith('/ack') || path.endsWith('/reported') ? { method: 'POST' } : {}),
      ...(body === undefined ? {} : { body: text }),
    })
    return { status: answer.status, text: await answer.text() }
  }
}

async function open(t: TestContext, options: PlatformOptions = {}) {
  const { connection, query } = await platformDatabase(t, options)
  // Then only pulse_operator sees the devices of every tenant.
  if (options.login === 'member')
    await query('ALTER TABLE device_registry FORCE ROW LEVEL SECURITY')
  const config = { ...connection, poolMax: 3, migrate: false }
  const database = new Database(config, 10_000, systemClock, silentLog)
  t.after(() => database.end())
  const tables = await inspectDownlink(database)
  const told: string[] = []
  const api = new DatabaseDeviceApi(database, tables, (kind, outcome) =>
    told.push(`${kind} ${outcome}`),
  )
  await query(`
    INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'A'), ('globex', 'G');
    INSERT INTO device_registry (tenant_id, device_id, site_id, status, provision_token_hash) VALUES
      ('acme', 'pump-7', 'n', 'ACTIVE', '${sha256('tok-7')}'),
      ('acme', 'none', 'n', 'ACTIVE', '${sha256('tok-none')}'),
      ('acme', 'revoked', 'n', 'REVOKED', '${sha256('tok-revoked')}'),
      ('acme', 'suspended', 'n', 'SUSPENDED', '${sha256('tok-suspended')}'),
      ('acme', 'twin-1', 'n', 'ACTIVE', '${sha256('tok-twin')}'),
      ('globex', 'twin-2', 'n', 'ACTIVE', '${sha256('tok-twin')}'),
      ('acme', 'umlaut', 'n', 'ACTIVE', '${sha256('tök')}'),
      ('globex', 'pump-7', 'n', 'ACTIVE', '${sha256('tok-globex')}');
    INSERT INTO device_state (tenant_id, device_id, site_id, desired_state, desired_version,
                              reported_version)
      VALUES ('acme', 'pump-7', 'n', '{"n":12345678901234567890}', 4, 3),
             ('globex', 'pump-7', 'n', '{"secret":1}', 9, 9);
    INSERT INTO device_commands (tenant_id, device_id, command_id, command_type, command_params,
                                 status, expires_at, created_at)
      VALUES ('acme', 'pump-7', 'late', 'a', '{"n":12345678901234567890}', 'queued',
              '2100-01-02T03:04:05Z', '2026-01-02Z'),
             ('acme', 'pump-7', 'early', 'b', '{}', 'queued', '2100-01-01Z', '2026-01-01Z'),
             ('acme', 'pump-7', 'over', 'a', '{}', 'queued', '2020-01-01Z', '2026-01-01Z'),
             ('acme', 'pump-7', 'done', 'a', '{}', 'delivered', '2100-01-01Z', '2026-01-01Z'),
             ('acme', 'none', 'other', 'a', '{}', 'queued', '2100-01-01Z', '2026-01-01Z'),
             ('globex', 'pump-7', 'foreign', 'a', '{}', 'queued', '2100-01-01Z', '2026-01-01Z')`)
  return { request: await serve(t, api), query, told }
}

const MISSING = { status: 401, text: '{"detail":"Missing provision token"}' }
const INVALID = { status: 401, text: '{"detail":"Invalid provision token"}' }

test('nobody without the token of one active device gets an answer, whatever else the request says', async (t) => {
  const { request, query } = await open(t)
  const paths = ['/shadow', '/shadow/reported', '/commands/pending', '/commands/early/ack']
  for (const path of paths) {
    const isPost = path.endsWith('/ack') || path.endsWith('/reported')
    const bodies = isPost ? [{ reported: {}, version: 1 }, '{', 'x'.repeat(100_000)] : [undefined]
    for (const body of bodies) {
      assert.deepEqual(await request(path, { body }), MISSING, path)
      assert.deepEqual(await request(path, { body, token: '' }), MISSING, path)
      for (const token of [
        'tok-8',
        'TOK-7',
        'tok-7x',
        sha256('tok-7'),
        "' OR ''='",
        'tok-revoked',
        'tok-suspended',
        'tok-twin',
        'x'.repeat(5000),
      ]) {
        assert.deepEqual(await request(path, { body, token }), INVALID, `${path} ${token}`)
      }
    }
  }
  const [{ changed } = {}] = await query(
    `SELECT count(*)::int AS changed FROM device_state WHERE last_seen_at IS NOT NULL`,
  )
  assert.equal(changed, 0)
})

const token = 'tok-7'
const REFUSED: readonly (readonly [string, unknown, number, string])[] = [
  ['/shadow/reported', undefined, 400, 'body must be object'],
  ['/shadow/reported', '', 400, 'Body is empty'],
  ['/shadow/reported', '{', 400, 'Bad request'],
  ['/shadow/reported', 'null', 400, 'body must be object'],
  ['/shadow/reported', [], 400, 'body must be object'],
  ['/shadow/reported', {}, 400, "body must have required property 'reported'"],
  ['/shadow/reported', { reported: {} }, 400, "body must have required property 'version'"],
  ['/shadow/reported', { reported: [], version: 1 }, 400, 'reported must be object'],
  ['/shadow/reported', { reported: null, version: 1 }, 400, 'reported must be object'],
  ['/shadow/reported', { reported: '{}', version: 1 }, 400, 'reported must be object'],
  ['/shadow/reported', { reported: {}, version: '1' }, 400, 'version must be integer'],
  ['/shadow/reported', { reported: {}, version: 1.5 }, 400, 'version must be integer'],
  ['/shadow/reported', { reported: {}, version: null }, 400, 'version must be integer'],
  ['/shadow/reported', { reported: {}, version: true }, 400, 'version must be integer'],
  ['/shadow/reported', { reported: {}, version: 2 ** 31 }, 400, 'version must be <= 2147483647'],
  ['/shadow/reported', { reported: { a: '\0' }, version: 1 }, 400, 'reported cannot be stored'],
  ['/shadow/reported', { reported: { a: '\ud800' }, version: 1 }, 400, 'reported cannot be stored'],
  ['/shadow/reported', `{"reported":{"__proto__":1},"version":1}`, 400, 'Bad request'],
  ['/shadow/reported', { reported: { a: 'x'.repeat(70_000) }, version: 1 }, 413, 'Body too large'],
  ['/commands/early/ack', '{', 400, 'Bad request'],
  ['/commands/early/ack', [], 400, 'body must be object'],
  ['/commands/early/ack', { details: [] }, 400, 'details must be object,null'],
  ['/commands/early/ack', { details: 'x' }, 400, 'details must be object,null'],
  ['/commands/early/ack', { details: 7 }, 400, 'details must be object,null'],
  ['/commands/early/ack', { status: 7 }, 400, 'status must be string'],
  ['/commands/early/ack', { status: '\0' }, 400, 'details cannot be stored'],
  ['/commands/early/ack', { details: { a: '\0' } }, 400, 'details cannot be stored'],
  ['/commands/nothing/ack', {}, 404, 'Command not found or already acknowledged'],
  ['/commands/done/ack', {}, 404, 'Command not found or already acknowledged'],
  ['/commands/other/ack', {}, 404, 'Command not found or already acknowledged'],
  ['/commands/foreign/ack', {}, 404, 'Command not found or already acknowledged'],
  ['/commands/%00/ack', {}, 404, 'Command not found or already acknowledged'],
]

test('what a device may not say is answered with what is wrong, and changes nothing', async (t) => {
  const { request, query } = await open(t)
  for (const [path, body, status, detail] of REFUSED) {
    const answer = await request(path, { token, body })
    const told = { status: answer.status, detail: (JSON.parse(answer.text) as Answer).detail }
    assert.deepEqual(told, { status, detail }, `${path} ${JSON.stringify(body)?.slice(0, 60)}`)
  }
  const wrongType = await request('/commands/early/ack', { token, body: 'a=1', type: 'text/csv' })
  assert.equal(wrongType.status, 415)
  const states = await query(
    'SELECT reported_state AS state, last_seen_at AS seen FROM device_state',
  )
  assert.deepEqual(states, [
    { state: {}, seen: null },
    { state: {}, seen: null },
  ])
  const commands = await query(`SELECT 1 FROM device_commands WHERE acked_at IS NOT NULL`)
  assert.deepEqual(commands, [])
})

interface Answer {
  readonly detail: string
}

interface PendingCommand {
  readonly command_id: string
  readonly type: string
  readonly expires_at: string
}

for (const login of ['superuser', 'owner', 'member'] as const) {
  test(`a device reads and reports its shadow, and takes its commands, logged in as ${login}`, async (t) => {
    const { request, query, told } = await open(t, { login })
    assert.deepEqual(await request('/shadow', { token }), {
      status: 200,
      text: '{"desired":{"n": 12345678901234567890},"version":4}',
    })
    assert.deepEqual(await request('/shadow', { token: 'tok-none' }), {
      status: 404,
      text: '{"detail":"Device not found"}',
    })
    assert.deepEqual(
      await request('/shadow/reported', { token, body: { reported: { a: 1 }, version: 2 } }),
      { status: 200, text: '{"accepted":true,"version":2}' },
    )
    // Nobody has made its row yet: the platform says the same.
    const early = { token: 'tok-none', body: { reported: {}, version: 1 } }
    assert.equal((await request('/shadow/reported', early)).status, 200)
    const pending = await request('/commands/pending', { token })
    assert.equal(pending.status, 200)
    assert.ok(pending.text.includes('12345678901234567890'))
    const { commands: handedOut } = JSON.parse(pending.text) as { commands: PendingCommand[] }
    assert.deepEqual(
      handedOut.map(({ command_id, type, expires_at }) => [command_id, type, expires_at]),
      [
        ['early', 'b', '2100-01-01T00:00:00.000000Z'],
        ['late', 'a', '2100-01-02T03:04:05.000000Z'],
      ],
    )
    assert.deepEqual(
      await request('/commands/early/ack', { token, body: { status: 'no', details: { a: 1 } } }),
      { status: 200, text: '{"command_id":"early","acknowledged":true}' },
    )
    assert.equal((await request('/commands/late/ack', { token })).status, 200)
    assert.equal((await request('/commands/late/ack', { token })).status, 404)
    assert.deepEqual(await request('/commands/pending', { token }), {
      status: 200,
      text: '{"commands":[]}',
    })
    const commands = await query(
      `SELECT command_id AS id, ack_details AS details FROM device_commands
        WHERE acked_at IS NOT NULL ORDER BY 1`,
    )
    assert.deepEqual(commands, [
      { id: 'early', details: { status: 'no', details: { a: 1 } } },
      { id: 'late', details: { status: 'ok', details: null } },
    ])
    const states = await query(
      `SELECT reported_state AS state, reported_version AS version, last_seen_at IS NOT NULL AS seen
         FROM device_state ORDER BY tenant_id`,
    )
    assert.deepEqual(states, [
      { state: { a: 1 }, version: 3, seen: true },
      { state: {}, version: 9, seen: false },
    ])
    assert.deepEqual(told, [
      'shadow_reported applied',
      'shadow_reported no_row',
      'command_ack applied',
      'command_ack applied',
      'command_ack no_row',
    ])
  })
}

test('at most twenty commands are handed out, and a token beyond ASCII is good', async (t) => {
  const { request, query } = await open(t)
  await query(
    `INSERT INTO device_commands (tenant_id, device_id, command_id, command_type)
     SELECT 'acme', 'umlaut', 'c' || n, 'a' FROM generate_series(1, 25) n`,
  )
  // fetch takes header values as Latin-1: these are the bytes of its UTF-8.
  const asSent = Buffer.from('tök').toString('latin1')
  const { text } = await request('/commands/pending', { token: asSent })
  assert.equal((JSON.parse(text) as { commands: unknown[] }).commands.length, 20)
})

test('while the database is away devices are told to come back, and not why', async (t) => {
  const away = () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.1 user=iot'))
  const request = await serve(t, {
    identify: away,
    shadow: away,
    report: away,
    pendingCommands: away,
    acknowledge: away,
  })
  assert.deepEqual(await request('/shadow', { token }), {
    status: 503,
    text: '{"detail":"Not available, try again later"}',
  })
})

test('without ingest there is no API of devices', async (t) => {
  const request = await serve(t, undefined)
  assert.equal((await request('/shadow', { token })).status, 404)
})

test('a flood of tokens takes two connections at most, and is turned away when it piles up', async () => {
  let running = 0
  let most = 0
  const waiting: (() => void)[] = []
  const database = {
    setTimeout: 'SELECT 1',
    run: async () => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => waiting.push(resolve))
      running--
      return []
    },
  }
  const tables = { hasRegistry: true, registryRole: undefined }
  const api = new DatabaseDeviceApi(
    database as unknown as Database,
    tables as unknown as ConstructorParameters<typeof DatabaseDeviceApi>[1],
    () => undefined,
  )
  const asked = Array.from({ length: 202 }, (_, i) => api.identify(`tok-${i}`))
  await assert.rejects(api.identify('one more'), { code: 'DEVICE_API_BUSY' })
  let answered = 0
  for (const one of asked) void one.then(() => answered++)
  while (answered < asked.length) {
    for (const resolve of waiting.splice(0)) resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(most, 2)
})
