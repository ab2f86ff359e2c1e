/** Devices that come with a password, their provision token: a whole process, PostgreSQL, mosquitto_pub. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../config/password-hash.ts'
import { freePort } from '../../postgres/place.ts'
import { environmentOf, spawnMidge } from '../helpers/midge-process.ts'
import { exitOf, register } from '../helpers/platform-clients.ts'
import { platformDatabase } from '../helpers/platform-schema.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const skip =
  spawnSync('which', ['mosquitto_pub']).status === 0 ? false : 'mosquitto_pub is not installed'

/** As a backend writes it: beside, and renamed. */
async function writeAccounts(file: string, accounts: Readonly<Record<string, string>>) {
  const random = (bytes: number) => randomBytes(bytes)
  const lines = Object.entries(accounts).map(
    ([name, password]) => `${name}:${hashPassword(password, { random, iterations: 101 })}\n`,
  )
  await writeFile(`${file}.new`, lines.join(''), { mode: 0o600 })
  await rename(`${file}.new`, file)
}

const topicOf = (device: string) => `tenant/acme/device/${device}/telemetry`
const payload = (seq: number, more = {}) =>
  JSON.stringify({ version: '1', site_id: 'north', seq, metrics: { temp_c: 21.5 }, ...more })

test('accounts of devices, end to end', { skip, timeout: 120_000 }, async (t) => {
  const folder = await scratchDirectory(t)
  const { connection, query } = await platformDatabase(t)
  await query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme')`)
  await query(
    `INSERT INTO app_settings (key, value) VALUES ('MODE', 'DEV'), ('STORE_REJECTS', '1')`,
  )
  // Three pairs of devices that are called the same as accounts; the last shares its token too.
  await register(query, 'pump.1', { token: 'tok-a' })
  await register(query, 'pump:1', { token: 'tok-b' })
  await register(query, 'twin.1', { token: 'tok-twin' })
  await register(query, 'twin:1', { token: 'tok-twin' })
  await register(query, 'idle', { token: 'tok-idle' })
  await query(`UPDATE device_registry SET status = 'SUSPENDED' WHERE device_id = 'idle'`)

  const [first, second] = [await freePort(), await freePort()]
  const file = (name: string) => join(folder, name)
  const accounts = {
    service_pulse: 'secret',
    device_acme_pump_1: 'tok-a',
    device_acme_twin_1: 'tok-twin',
    device_acme_idle: 'tok-idle',
    device_acme_gone: 'tok-gone',
  }
  await writeAccounts(file('first'), accounts)
  await writeAccounts(file('second'), { device_acme_pump_1: 'tok-b' })
  await writeFile(
    file('mosquitto.conf'),
    [
      'per_listener_settings true',
      ...[[first, 'first'] as const, [second, 'second'] as const].flatMap(([port, name]) => [
        `listener ${port} 127.0.0.1`,
        'allow_anonymous false',
        `password_file ${file(name)}`,
      ]),
      '',
    ].join('\n'),
  )
  const midge = spawnMidge(t, {
    args: ['-c', file('mosquitto.conf')],
    env: { ...environmentOf(connection), REQUIRE_TOKEN: '1', SETTINGS_POLL_SECONDS: '1' },
  })
  await midge.printed(/midge\.running/u)

  const publish = async (
    port: number,
    [user, password]: readonly [string, string],
    topic: string,
    text: string,
  ) => {
    const where = ['-h', '127.0.0.1', '-p', String(port), '-u', user, '-P', password]
    return await exitOf('mosquitto_pub', [...where, '-q', '1', '-t', topic, '-m', text])
  }
  const rows = async () =>
    (await query('SELECT device_id, seq::int AS seq FROM telemetry ORDER BY seq')).map(
      ({ device_id: device, seq }) => [device, seq],
    )
  const lastReason = async () =>
    (await query('SELECT reason FROM quarantine_events ORDER BY id DESC LIMIT 1'))[0]?.['reason']
  const a = ['device_acme_pump_1', 'tok-a'] as const
  const b = ['device_acme_pump_1', 'tok-b'] as const

  await t.test('nobody comes in whose device is not the only one', async () => {
    for (const [account, reason] of [
      [['device_acme_twin_1', 'tok-twin'], 'account_device_ambiguous'],
      [['device_acme_gone', 'tok-gone'], 'account_device_unknown'],
      [['device_acme_idle', 'tok-idle'], 'device_inactive'],
      [b, 'bad_credentials'],
    ] as const) {
      const { code, output } = await publish(first, account, topicOf('twin.1'), payload(1))
      assert.equal(code, 5, `${account[0]}: ${output}`)
      await midge.printed(new RegExp(reason, 'u'))
    }
    assert.deepEqual(await rows(), [])
  })

  await t.test('each of two that are called the same is itself', async () => {
    const [onA, onB] = [
      payload(1, { provision_token: 'tok-a' }),
      payload(2, { provision_token: 'tok-b' }),
    ]
    assert.equal((await publish(first, a, topicOf('pump.1'), onA)).code, 0)
    assert.equal((await publish(second, b, topicOf('pump:1'), onB)).code, 0)
    assert.deepEqual(await rows(), [
      ['pump.1', 1],
      ['pump:1', 2],
    ])
  })

  await t.test('what it sends as another, or without the token, is not stored', async () => {
    const forged = payload(3, { provision_token: 'tok-b' })
    assert.equal((await publish(first, a, topicOf('pump:1'), forged)).code, 0)
    assert.equal((await publish(first, a, topicOf('pump.1'), payload(4))).code, 0)
    assert.equal(await lastReason(), 'TOKEN_MISSING')
    assert.equal((await rows()).length, 2)
  })

  const come = async (port: number, [userName, password]: readonly [string, string]) => {
    const client = await RawClient.tcp(port)
    t.after(() => client.destroy())
    const { returnCode } = await client.connect({ clientId: 'live', userName, password })
    return { client, returnCode }
  }

  await t.test(
    'a token that is rotated ends the connection, and the next one opens it',
    async () => {
      const { client, returnCode } = await come(first, a)
      assert.equal(returnCode, 0)
      const hash = createHash('sha256').update('tok-a2').digest('hex')
      await query(
        `UPDATE device_registry SET provision_token_hash = '${hash}' WHERE device_id = 'pump.1'`,
      )
      // Of the file and the table either may be first; by now one has changed.
      assert.equal((await come(first, a)).returnCode, 5)
      await writeAccounts(file('first'), { ...accounts, device_acme_pump_1: 'tok-a2' })
      await client.closed
      assert.equal((await come(first, ['device_acme_pump_1', 'tok-a2'])).returnCode, 0)
    },
  )

  await t.test('a device that is suspended is out', async () => {
    const { client, returnCode } = await come(second, b)
    assert.equal(returnCode, 0)
    await query(
      `UPDATE device_registry SET status = 'SUSPENDED', updated_at = now() WHERE device_id = 'pump:1'`,
    )
    await client.closed
    assert.equal((await come(second, b)).returnCode, 5)
  })

  await t.test('no password and no hash of one is in the log', () => {
    for (const token of ['tok-a', 'tok-b', 'tok-twin', 'tok-idle', 'tok-gone']) {
      const hash = createHash('sha256').update(token).digest('hex')
      assert.ok(!midge.output().includes(token), token)
      assert.ok(!midge.output().includes(hash), `hash of ${token}`)
    }
  })
})
