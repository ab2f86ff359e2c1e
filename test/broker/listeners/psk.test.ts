import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import type { PskConfig } from '../../../config/types.ts'
import { startBroker } from '../../helpers/broker.ts'
import { HeldSink } from '../../helpers/held-sink.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { RawClient } from '../../helpers/raw-client.ts'

const KEY: Buffer = Buffer.from('deadbeef', 'hex')

function psk(changes: Partial<PskConfig> = {}): PskConfig {
  return {
    hint: 'hint',
    file: 'psk',
    useIdentityAsUsername: true,
    ciphers: undefined,
    handshakeTimeoutMs: 20_000,
    maxHandshakes: 500,
    maxHandshakesPerAddress: 50,
    ...changes,
  }
}

function start(t: TestContext, changes: Partial<PskConfig> = {}, allowAnonymous = false) {
  const remembering = new RememberingLog()
  const keys = new Map<string, Buffer>([['pump', KEY]])
  const secrets: string[] = []
  const started = startBroker(t, {
    listener: { psk: psk(changes), allowAnonymous },
    keys: { keyOf: (identity) => keys.get(identity) },
    keylog: (line) => secrets.push(String(line)),
    log: remembering.log,
  })
  return started.then((broker) => ({ ...broker, keys, remembering, secrets }))
}

async function connect(
  t: TestContext,
  port: number,
  identity: string,
  key = KEY,
  more: ConnectionOptions = {},
): Promise<RawClient> {
  const client = await RawClient.tls({
    host: '127.0.0.1',
    port,
    pskCallback: () => ({ identity, psk: key }),
    ciphers: 'PSK',
    checkServerIdentity: () => undefined,
    ...more,
  })
  t.after(() => client.destroy())
  return client
}

test('who has no key does not get through the handshake', async (t) => {
  const cases: readonly (readonly [string, string, Buffer, ConnectionOptions])[] = [
    ['an unknown identity', 'stranger', KEY, {}],
    ['another key', 'pump', Buffer.from('deadbeee', 'hex'), {}],
    ['an empty identity', '', KEY, {}],
    ['no PSK cipher', 'pump', KEY, { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }],
    ['no encryption', 'pump', KEY, { ciphers: 'PSK-NULL-SHA256:@SECLEVEL=0' }],
    [
      'TLS 1.1',
      'pump',
      KEY,
      { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'PSK:@SECLEVEL=0' },
    ],
  ]
  for (const [title, identity, key, more] of cases) {
    await t.test(title, async (t) => {
      const { broker, port } = await start(t)
      await assert.rejects(connect(t, port, identity, key, more))
      assert.equal(broker.sessions().length, 0)
    })
  }
})

test('the identity is the user name, whatever CONNECT says', async (t) => {
  const { broker, port } = await start(t)
  const client = await connect(t, port, 'pump')
  assert.equal((await client.connect({ clientId: 'a', userName: 'root' })).returnCode, 0)
  assert.deepEqual(
    broker.sessions().map(({ user, kind }) => [user, kind]),
    [['pump', 'account']],
  )
})

test('without use_identity_as_username the key only opens the door', async (t) => {
  for (const [allowAnonymous, expected] of [
    [false, 5],
    [true, 0],
  ] as const) {
    const { port } = await start(t, { useIdentityAsUsername: false }, allowAnonymous)
    const client = await connect(t, port, 'pump')
    assert.equal((await client.connect({ clientId: 'a' })).returnCode, expected)
  }
})

test('a key that is taken away opens nothing more', async (t) => {
  const { keys, port } = await start(t)
  await connect(t, port, 'pump')
  keys.clear()
  await assert.rejects(connect(t, port, 'pump'))
})

const TENANCY = { tenancy: true, acl: undefined, accountAccess: new Set<string>() } as const

async function startWithTenants(t: TestContext, barred: readonly string[] = []) {
  const asked: unknown[] = []
  const sink = new HeldSink()
  const started = await startBroker(t, {
    listener: { psk: psk(), allowAnonymous: false },
    keys: { keyOf: () => KEY },
    tenancy: true,
    rules: TENANCY,
    sink,
    registry: {
      mayConnect: async (device) => {
        asked.push(device)
        return barred.includes(device.deviceId)
          ? { admitted: false, reason: 'device_inactive' }
          : { admitted: true }
      },
      deviceOfAccount: () => assert.fail('a key is no account'),
    },
  })
  return { ...started, asked, sink }
}

test('with tenancy: an identity that is no device name is refused, its key being right', async (t) => {
  const { port, broker, metrics } = await startWithTenants(t, ['barred'])
  for (const identity of ['a/b/c', 'acme/', 'acme/+', 'acme/barred']) {
    const client = await connect(t, port, identity)
    assert.equal((await client.connect({ clientId: 'acme/pump' })).returnCode, 5, identity)
    await client.closed
  }
  assert.deepEqual(broker.sessions(), [])
  assert.deepEqual((await metrics.connectsRefused.get()).values, [
    { labels: { reason: 'psk_identity' }, value: 3 },
    { labels: { reason: 'device_inactive' }, value: 1 },
  ])
})

test('with tenancy: tenant/device is that device, and has proved no certificate', async (t) => {
  const { port, broker, asked, sink } = await startWithTenants(t)
  const client = await connect(t, port, 'acme/pump')
  assert.equal((await client.connect({ clientId: 'x', userName: 'acme/other' })).returnCode, 0)
  assert.deepEqual(
    broker.sessions().map(({ user, kind }) => [user, kind]),
    [['acme/pump', 'device']],
  )
  assert.deepEqual(asked, [{ tenantId: 'acme', deviceId: 'pump', fingerprint: undefined }])
  assert.deepEqual(await client.subscribe('tenant/acme/device/other/shadow/desired', 1), [0x80])
  assert.deepEqual(await client.subscribe('tenant/acme/device/pump/shadow/desired', 1), [1])
  await client.publish('tenant/acme/device/other/telemetry', '{}', { qos: 1 })
  await client.publish('tenant/acme/device/pump/telemetry', '{}', { qos: 1 })
  assert.deepEqual(
    sink.taken.map(({ topic, publisher }) => [topic, publisher]),
    [
      [
        'tenant/acme/device/pump/telemetry',
        { kind: 'device', userName: 'acme/pump', clientId: 'x', fingerprint: undefined },
      ],
    ],
  )
})

test('with tenancy: a key that is taken away ends the connections of its device', async (t) => {
  const { port, broker } = await startWithTenants(t)
  const [gone, stays] = [await connect(t, port, 'acme/gone'), await connect(t, port, 'acme/stays')]
  await gone.connect({ clientId: 'a' })
  await stays.connect({ clientId: 'b' })
  assert.equal(
    broker.closeAccounts('test', (name) => name === 'acme/gone'),
    1,
  )
  await gone.closed
  await stays.ping()
  const barred = { tenantId: 'acme', deviceId: 'stays' }
  assert.equal(broker.closeDevice({ ...barred, fingerprint: 'aa' }), 0)
  assert.equal(broker.closeDevice({ ...barred, fingerprint: undefined }), 1)
  await stays.closed
})

test('with a key log, the secrets of each handshake are written to it', async (t) => {
  const { port, secrets } = await start(t)
  await connect(t, port, 'pump')
  assert.match(secrets.join(''), /^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/u)
})

test('a cipher list that OpenSSL cannot use keeps the listener from opening', async (t) => {
  await assert.rejects(start(t, { ciphers: 'no-such-cipher' }), { code: 'ERR_SSL_NO_CIPHER_MATCH' })
})
