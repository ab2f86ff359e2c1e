import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { test, type TestContext } from 'node:test'
import { WebSocket, createWebSocketStream } from 'ws'
import type { ListenerConfig } from '../../../config/types.ts'
import { startBroker, type TestBrokerOptions } from '../../helpers/broker.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { mutualTls } from '../../helpers/mutual-tls.ts'
import { header, ssl } from '../../helpers/proxy-header.ts'
import { RawClient, connectBytes } from '../../helpers/raw-client.ts'

type Proxy = NonNullable<ListenerConfig['proxyProtocol']>
const TEXT = Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 51234 1883\r\n')

function start(t: TestContext, proxyProtocol: Proxy, options: TestBrokerOptions = {}) {
  return startBroker(t, { ...options, listener: { ...options.listener, proxyProtocol } })
}

test('the client’s address is the one the proxy names', async (t) => {
  for (const [version, bytes] of [
    [1, TEXT],
    [2, header({})],
  ] as const) {
    await t.test(`version ${version}, in one segment and octet by octet`, async (t) => {
      const { broker, raw } = await start(t, { version, requireTls: false })
      const at_once = await raw()
      at_once.send(Buffer.concat([bytes, connectBytes({ clientId: 'a' })]))
      await at_once.next()
      const slow = await raw()
      for (const octet of bytes) {
        slow.send(Buffer.from([octet]))
        await new Promise((resolve) => setImmediate(resolve))
      }
      assert.equal((await slow.connect({ clientId: 'b' })).returnCode, 0)
      await slow.ping()
      assert.deepEqual(
        broker.sessions().map(({ clientId, peer }) => [clientId, peer]),
        [
          ['a', '192.0.2.1'],
          ['b', '192.0.2.1'],
        ],
      )
    })
  }
})

test('who is turned away', async (t) => {
  const v2 = { version: 2, requireTls: false } as const
  const cases: readonly (readonly [string, Proxy, Buffer, string])[] = [
    ['no header', v2, connectBytes({ clientId: 'a' }), 'proxy_header'],
    ['the other version', v2, TEXT, 'proxy_header'],
    ['no TLS where it is required', { ...v2, requireTls: true }, header({}), 'proxy_no_tls'],
    [
      'no certificate where it is required',
      { ...v2, requireCertificate: true },
      header({ tlvs: ssl({ client: 1 }) }),
      'proxy_no_certificate',
    ],
    [
      'a certificate the proxy could not verify',
      { ...v2, requireCertificate: true },
      header({ tlvs: ssl({ verify: 1 }) }),
      'proxy_no_certificate',
    ],
  ]
  for (const [title, proxy, bytes, reason] of cases) {
    await t.test(title, async (t) => {
      const remembering = new RememberingLog()
      const { raw } = await start(t, proxy, { log: remembering.log })
      const peer = await raw()
      peer.send(Buffer.concat([bytes, connectBytes({ clientId: 'a' })]))
      await peer.closed
      assert.equal(peer.unread.length, 0)
      await remembering.until('peer.refused', { reason })
    })
  }
})

test('a health check of the proxy is closed without a word', async (t) => {
  const { raw } = await start(t, { version: 2, requireTls: true })
  const peer = await raw()
  peer.send(header({ at: [12, 0x20] }))
  await peer.closed
})

test('a header that does not come ends the connection', async (t) => {
  const clock = new FakeClock()
  const remembering = new RememberingLog()
  const options = { clock, log: remembering.log, limits: { connectTimeoutMs: 5000 } }
  const { raw } = await start(t, { version: 1, requireTls: false }, options)
  const peer = await raw()
  peer.send(TEXT.subarray(0, 20))
  const other = await raw()
  other.send(Buffer.concat([TEXT, connectBytes({ clientId: 'other' })]))
  await other.next()
  clock.advance(5001)
  await peer.closed
  await remembering.until('peer.refused', { reason: 'proxy_header_timeout' })
  await other.ping()
})

test('the CN of a verified certificate is the user name; with tenants it is nobody', async (t) => {
  const proxy = { version: 2, requireTls: true, useIdentityAsUsername: true } as const
  const cn = Buffer.from('pump')
  const cases: readonly (readonly [string, boolean, Buffer, number])[] = [
    ['a CN that was not verified', false, ssl({ cn, verify: 1 }), 5],
    ['no CN', false, ssl(), 5],
    ['an empty CN', false, ssl({ cn: Buffer.alloc(0) }), 5],
    ['tenants', true, ssl({ cn }), 5],
    ['a verified CN', false, ssl({ cn }), 0],
  ]
  for (const [title, tenancy, tlvs, expected] of cases) {
    await t.test(`${title}: ${expected}`, async (t) => {
      const { broker, raw } = await start(t, proxy, { tenancy })
      const peer = await raw()
      peer.send(header({ tlvs }))
      const { returnCode } = await peer.connect({ clientId: 'a', userName: 'root' })
      assert.equal(returnCode, expected)
      if (expected === 0) assert.equal(broker.sessions()[0]?.user, 'pump')
    })
  }
})

test('TLS and WebSocket begin right behind the header', async (t) => {
  const version1 = { version: 1, requireTls: false } as const
  await t.test('TLS', async (t) => {
    const pki = mutualTls()
    const { listener, ...behind } = pki.listener()
    const { broker, port } = await start(t, version1, { ...behind, listener })
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(TEXT)
    const { host: _host, port: _port, ...tls } = pki.options(port, pki.device('acme/pump-7'))
    const client = new RawClient(connectTls({ ...tls, socket, servername: 'localhost' }))
    t.after(() => client.destroy())
    assert.equal((await client.connect({ clientId: 'a' })).returnCode, 0)
    assert.deepEqual(
      broker.sessions().map(({ peer, user }) => [peer, user]),
      [['192.0.2.1', 'acme/pump-7']],
    )
  })

  await t.test('WebSocket', async (t) => {
    const { broker, port } = await start(t, version1, { listener: { protocol: 'websockets' } })
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt', {
      createConnection: () => {
        const socket = connect(port, '127.0.0.1')
        socket.write(TEXT)
        return socket
      },
    })
    await once(webSocket, 'open')
    const client = new RawClient(createWebSocketStream(webSocket))
    t.after(() => client.destroy())
    assert.equal((await client.connect({ clientId: 'a' })).returnCode, 0)
    assert.equal(broker.sessions()[0]?.peer, '192.0.2.1')
  })
})
