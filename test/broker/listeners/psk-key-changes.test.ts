import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { DeviceRegistry } from '../../../broker/ports.ts'
import { startBroker } from '../../helpers/broker.ts'
import { RawClient } from '../../helpers/raw-client.ts'

const KEY: Buffer = Buffer.from('deadbeef', 'hex')
const OTHER: Buffer = Buffer.from('beefdead', 'hex')

async function handshake(t: TestContext, port: number): Promise<RawClient> {
  const client = await RawClient.tls({
    host: '127.0.0.1',
    port,
    pskCallback: () => ({ identity: 'acme/pump', psk: KEY }),
    ciphers: 'PSK',
    checkServerIdentity: () => undefined,
  })
  t.after(() => client.destroy())
  return client
}

async function start(t: TestContext, registry?: DeviceRegistry) {
  const keys = new Map<string, Buffer>([['acme/pump', KEY]])
  const started = await startBroker(t, {
    listener: {
      allowAnonymous: false,
      psk: {
        hint: 'hint',
        file: 'psk',
        useIdentityAsUsername: true,
        ciphers: undefined,
        handshakeTimeoutMs: 20_000,
        maxHandshakes: 500,
        maxHandshakesPerAddress: 50,
      },
    },
    tenancy: true,
    rules: { tenancy: true, acl: undefined, accountAccess: new Set<string>() },
    keys: { keyOf: (identity) => keys.get(identity) },
    ...(registry === undefined ? {} : { registry }),
  })
  const client = await handshake(t, started.port)
  return { ...started, keys, client }
}

const CHANGES: Readonly<Record<string, (keys: Map<string, Buffer>) => void>> = {
  'taken away': (keys) => keys.clear(),
  replaced: (keys) => keys.set('acme/pump', OTHER),
}

for (const [title, change] of Object.entries(CHANGES)) {
  test(`a key that is ${title} after the handshake opens nothing to the CONNECT that follows`, async (t) => {
    const { broker, keys, client } = await start(t)
    change(keys)
    assert.equal((await client.connect({ clientId: 'acme/pump' })).returnCode, 5)
    await client.closed
    assert.deepEqual(broker.sessions(), [])
  })

  test(`a key that is ${title} while the registry is asked lets nobody in`, async (t) => {
    let answer: (admission: { admitted: true }) => void = () => undefined
    let noteAsked: () => void = () => undefined
    const asked = new Promise<void>((resolve) => (noteAsked = resolve))
    const { broker, keys, client } = await start(t, {
      mayConnect: async () => {
        noteAsked()
        return await new Promise<{ admitted: true }>((resolve) => (answer = resolve))
      },
      deviceOfAccount: async () => ({ found: false, reason: 'no_account' }),
    })
    const connected = client.connect({ clientId: 'acme/pump' })
    await asked
    change(keys)
    assert.equal(
      broker.closeAccounts('test', () => true),
      0,
    )
    answer({ admitted: true })
    assert.equal((await connected).returnCode, 5)
    assert.deepEqual(broker.sessions(), [])
  })
}

test('a key that was read again, and is the same, still opens', async (t) => {
  const { keys, client } = await start(t)
  keys.set('acme/pump', Buffer.from(KEY))
  assert.equal((await client.connect({ clientId: 'acme/pump' })).returnCode, 0)
})

test('the stored Session of a device that is barred while it is away goes with it', async (t) => {
  const { broker, client, port } = await start(t)
  assert.equal((await client.connect({ clientId: 'acme/pump', clean: false })).returnCode, 0)
  const isAway = async (gone: RawClient) => {
    gone.destroy()
    while (broker.sessions().length > 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await isAway(client)
  broker.closeDevice({ tenantId: 'acme', deviceId: 'pump', fingerprint: 'ab'.repeat(32) })
  const second = await handshake(t, port)
  const kept = await second.connect({ clientId: 'acme/pump', clean: false })
  assert.deepEqual([kept.returnCode, kept.sessionPresent], [0, true])
  await isAway(second)
  broker.closeDevice({ tenantId: 'acme', deviceId: 'pump', fingerprint: undefined })
  const third = await handshake(t, port)
  const gone = await third.connect({ clientId: 'acme/pump', clean: false })
  assert.deepEqual([gone.returnCode, gone.sessionPresent], [0, false])
})
