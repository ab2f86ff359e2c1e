import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import type { PskConfig } from '../../../config/types.ts'
import { startBroker } from '../../helpers/broker.ts'
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

test('with a key log, the secrets of each handshake are written to it', async (t) => {
  const { port, secrets } = await start(t)
  await connect(t, port, 'pump')
  assert.match(secrets.join(''), /^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/u)
})

test('a cipher list that OpenSSL cannot use keeps the listener from opening', async (t) => {
  await assert.rejects(start(t, { ciphers: 'no-such-cipher' }), { code: 'ERR_SSL_NO_CIPHER_MATCH' })
})
