import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connectAsync } from 'mqtt'
import { WebSocket, createWebSocketStream, type ClientOptions } from 'ws'
import {
  PacketType,
  encodePingreq,
  encodePublish,
  encodeSubscribe,
} from '../../../broker/packets/index.ts'
import type { TlsConfig } from '../../../config/types.ts'
import { startBroker as start, type TestBrokerOptions } from '../../helpers/broker.ts'
import { issue, makeCa } from '../../helpers/certificates.ts'
import { FakeClock } from '../../helpers/clock.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { mutualTls } from '../../helpers/mutual-tls.ts'
import { RawClient, connectBytes } from '../../helpers/raw-client.ts'

/** A broker with one WebSocket listener, and someone on it who must not notice anything. */
async function startBroker(t: TestContext, options: TestBrokerOptions = {}) {
  const remembering = new RememberingLog()
  const started = await start(t, {
    log: remembering.log,
    ...options,
    listener: { protocol: 'websockets', ...options.listener },
  })
  const { port } = started
  const open = (path = '/mqtt', protocols: string | string[] = 'mqtt', more: ClientOptions = {}) =>
    openWebSocket(t, `ws://127.0.0.1:${port}${path}`, protocols, more)
  const client = async (clientId: string, path?: string) => {
    const webSocket = await open(path)
    const stream = createWebSocketStream(webSocket)
    const raw = new RawClient(stream)
    t.after(() => raw.destroy())
    assert.equal((await raw.connect({ clientId })).returnCode, 0)
    return raw
  }
  return { ...started, remembering, open, client }
}

async function openWebSocket(
  t: TestContext,
  url: string,
  protocols: string | string[],
  more: ClientOptions,
): Promise<WebSocket> {
  const webSocket = new WebSocket(url, protocols, more)
  t.after(() => webSocket.terminate())
  await once(webSocket, 'open')
  return webSocket
}

async function closeCode(webSocket: WebSocket): Promise<number> {
  const [code] = (await once(webSocket, 'close')) as [number]
  return code
}

/** A TCP connection that has sent these bytes; `ended` has what came until the broker closed it. */
async function tcpPeer(t: TestContext, port: number, bytes: string) {
  // Half-open, so that nothing but the broker ends the connection.
  const socket = connectTcp({ host: '127.0.0.1', port, allowHalfOpen: true })
  t.after(() => socket.destroy())
  socket.on('error', () => undefined)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  const ended = new Promise<string>((resolve) => {
    for (const event of ['end', 'close']) socket.on(event, () => resolve(text))
  })
  await once(socket, 'connect')
  socket.write(bytes)
  return { socket, ended }
}

const UPGRADE = [
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

test('what is no upgrade to MQTT is refused in HTTP, with the reason in the log', async (t) => {
  const upgrade = UPGRADE.join('\r\n')
  const request = (path: string, protocol: string) =>
    `GET ${path} HTTP/1.1\r\n${upgrade}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`
  const cases: readonly [title: string, bytes: string, answer: RegExp, reason: string | null][] = [
    ['another path', request('/other', 'mqtt'), /^HTTP\/1.1 404 /u, 'unknown_path'],
    ['a path below', request('/mqtt/x', 'mqtt'), /^HTTP\/1.1 404 /u, 'unknown_path'],
    ['a path in other letters', request('/MQTT', 'mqtt'), /^HTTP\/1.1 404 /u, 'unknown_path'],
    [
      'no sub-protocol',
      `GET /mqtt HTTP/1.1\r\n${upgrade}\r\n\r\n`,
      /^HTTP\/1.1 400 /u,
      'unknown_subprotocol',
    ],
    ['another sub-protocol', request('/mqtt', 'chat'), /^HTTP\/1.1 400 /u, 'unknown_subprotocol'],
    [
      'the sub-protocol in other letters',
      request('/mqtt', 'MQTT'),
      /^HTTP\/1.1 400 /u,
      'unknown_subprotocol',
    ],
    [
      'a WebSocket version there never was',
      request('/mqtt', 'mqtt').replace('13', '12'),
      /^HTTP\/1.1 400 /u,
      null,
    ],
    ['a POST', request('/mqtt', 'mqtt').replace('GET', 'POST'), /^HTTP\/1.1 405 /u, null],
    [
      'a GET without upgrade',
      'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      /^HTTP\/1.1 426 /u,
      'not_a_websocket',
    ],
    [
      'an upgrade to HTTP/2',
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
      /^HTTP\/1.1 400 /u,
      'unknown_subprotocol',
    ],
    [
      'MQTT without WebSocket',
      connectBytes({ clientId: 'x' }).toString('latin1'),
      /^$/u,
      'not_a_websocket',
    ],
    ['a TLS ClientHello', '\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03', /^$/u, 'not_a_websocket'],
    [
      'headers without end',
      `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(10_000)}`,
      /^$/u,
      'not_a_websocket',
    ],
  ]
  for (const [title, bytes, answer, reason] of cases) {
    await t.test(title, async (t) => {
      const { port, client, remembering, metrics } = await startBroker(t)
      const bystander = await client('bystander')
      // The peer keeps its side open: nothing but the broker ends the connection.
      const peer = await tcpPeer(t, port, bytes)
      assert.match(await peer.ended, answer)
      if (reason !== null) {
        const line = await remembering.until('peer.refused')
        assert.deepEqual(
          [line['reason'], line['listener'], line['peer']],
          [reason, 'test', '127.0.0.1'],
        )
        const { values } = await metrics.connectsRefused.get()
        assert.deepEqual(values, [{ labels: { reason }, value: 1 }])
      }
      await bystander.ping()
      const { values } = await metrics.connectionsOpen.get()
      assert.deepEqual(values, [{ labels: { listener: 'test' }, value: 1 }])
    })
  }
})

test('a plain HTTP GET is told what this is', async (t) => {
  const { port } = await startBroker(t)
  const response = await new Promise<IncomingMessage>((resolve) => {
    get(`http://127.0.0.1:${port}/`, resolve)
  })
  assert.equal(response.statusCode, 426)
  let text = ''
  for await (const chunk of response) text += String(chunk)
  assert.match(text, /MQTT broker/u)
})

test('upgrades', async (t) => {
  const cases: readonly [string, string, string[], string][] = [
    ['/mqtt', '/mqtt', ['mqtt'], 'mqtt'],
    ['/', '/', ['mqtt'], 'mqtt'],
    ['a query behind the path', '/mqtt?token=x', ['mqtt'], 'mqtt'],
    ['the sub-protocol of MQTT 3.1', '/mqtt', ['mqttv3.1'], 'mqttv3.1'],
    ['one of several sub-protocols', '/mqtt', ['chat', 'mqttv3.1', 'mqtt'], 'mqtt'],
  ]
  for (const [title, path, protocols, chosen] of cases) {
    await t.test(title, async (t) => {
      const { open } = await startBroker(t)
      const webSocket = await open(path, protocols)
      assert.equal(webSocket.protocol, chosen)
      const raw = new RawClient(createWebSocketStream(webSocket))
      assert.equal((await raw.connect({ clientId: 'x' })).returnCode, 0)
    })
  }
})

test('MQTT.js', async (t) => {
  for (const path of ['/mqtt', '/']) {
    await t.test(`on ${path}`, async (t) => {
      const { port, remembering } = await startBroker(t)
      const client = await connectAsync(`ws://127.0.0.1:${port}${path}`, {
        clientId: 'browser',
        protocolVersion: 4,
        reconnectPeriod: 0,
      })
      t.after(() => client.endAsync(true))
      await client.subscribeAsync('t/#', { qos: 2 })
      for (const qos of [0, 1, 2] as const) {
        const arrived = new Promise((resolve) =>
          client.once('message', (topic, payload) => resolve([topic, String(payload)])),
        )
        await client.publishAsync('t/x', `q${qos}`, { qos })
        assert.deepEqual(await arrived, ['t/x', `q${qos}`])
      }
      await client.endAsync()
      const opened = await remembering.until('session.opened')
      assert.equal(opened['peer'], '127.0.0.1')
      assert.equal(opened['clientId'], 'browser')
      await remembering.until('connection.closed', { reason: 'client_disconnected' })
    })
  }
})

const message = (n: number, size = 4) =>
  encodePublish({
    topic: 't',
    payload: Buffer.alloc(size, `${n}`),
    qos: 0,
    dup: false,
    retain: false,
    packetId: 0,
  })

test('packets and WebSocket messages need not begin and end together [MQTT-6.0.0-2]', async (t) => {
  const everything = Buffer.concat([
    connectBytes({ clientId: 'x' }),
    encodeSubscribe(1, [{ topic: 't', qos: 0 }]),
    message(1),
    message(2, 300),
    message(3),
    encodePingreq(),
  ])
  const cases: readonly [string, (webSocket: WebSocket) => void][] = [
    ['all packets in one message', (webSocket) => webSocket.send(everything)],
    [
      'one byte in each message',
      (webSocket) => {
        for (const byte of everything) webSocket.send(Buffer.of(byte))
      },
    ],
    [
      'messages of seven bytes',
      (webSocket) => {
        for (let i = 0; i < everything.length; i += 7) {
          webSocket.send(everything.subarray(i, i + 7))
        }
      },
    ],
    [
      'empty messages between',
      (webSocket) => {
        for (let i = 0; i < everything.length; i += 50) {
          webSocket.send(everything.subarray(i, i + 50))
          webSocket.send(Buffer.alloc(0))
        }
      },
    ],
    [
      'one message in fragments, with pings between them',
      (webSocket) => {
        for (let i = 0; i < everything.length; i += 20) {
          const fin = i + 20 >= everything.length
          webSocket.send(everything.subarray(i, i + 20), { binary: true, fin })
          webSocket.ping()
        }
      },
    ],
  ]
  for (const [title, send] of cases) {
    await t.test(title, async (t) => {
      const { open } = await startBroker(t)
      const webSocket = await open()
      const raw = new RawClient(createWebSocketStream(webSocket))
      send(webSocket)
      const types = []
      while (types.at(-1) !== PacketType.PINGRESP) types.push((await raw.next()).type)
      assert.deepEqual(types, [
        PacketType.CONNACK,
        PacketType.SUBACK,
        PacketType.PUBLISH,
        PacketType.PUBLISH,
        PacketType.PUBLISH,
        PacketType.PINGRESP,
      ])
    })
  }
})

test('what WebSocket or MQTT over it forbids ends that connection', async (t) => {
  const maxPacketBytes = 5000
  const unmasked = (webSocket: WebSocket, bytes: Buffer) => {
    const { _socket } = webSocket as unknown as { _socket: { write(bytes: Buffer): void } }
    _socket.write(bytes)
  }
  const cases: readonly [string, (webSocket: WebSocket) => void, number][] = [
    ['a text message [MQTT-6.0.0-1]', (webSocket) => webSocket.send('hello'), 1003],
    [
      'a packet as a text message',
      (webSocket) => webSocket.send(message(1).toString('latin1')),
      1003,
    ],
    [
      'a message beyond the bound',
      (webSocket) => webSocket.send(message(1, maxPacketBytes + 1)),
      1009,
    ],
    [
      'a message beyond the bound in fragments',
      (webSocket) => {
        for (let i = 0; i < 11; i++) webSocket.send(Buffer.alloc(500), { fin: false })
      },
      1009,
    ],
    [
      'an announced message beyond the bound',
      (webSocket) => unmasked(webSocket, Buffer.from('82ff00000000ffffffff00000000', 'hex')),
      1009,
    ],
    ['an unmasked frame', (webSocket) => unmasked(webSocket, Buffer.from('8202c000', 'hex')), 1002],
    [
      'a reserved bit',
      (webSocket) => unmasked(webSocket, Buffer.from('c28000000000', 'hex')),
      1002,
    ],
    [
      'an opcode of nobody',
      (webSocket) => unmasked(webSocket, Buffer.from('838000000000', 'hex')),
      1002,
    ],
  ]
  for (const [title, send, code] of cases) {
    await t.test(title, async (t) => {
      const { open, client, broker, remembering } = await startBroker(t, {
        limits: { maxPacketBytes },
      })
      const bystander = await client('bystander')
      await bystander.subscribe('t', 0)
      const webSocket = await open()
      webSocket.on('error', () => undefined)
      const closed = closeCode(webSocket)
      webSocket.send(connectBytes({ clientId: 'x' }))
      await remembering.until('session.opened', { clientId: 'x' })
      send(webSocket)
      // Whatever comes after the forbidden message is not served either.
      if (webSocket.readyState === WebSocket.OPEN) webSocket.send(message(2))
      assert.equal(await closed, code)
      const line = await remembering.until('connection.closed', { clientId: 'x' })
      assert.equal(line['reason'], code === 1009 ? 'packet_too_large' : 'malformed_packet')
      assert.match(String(line['detail']), /^WebSocket: /u)
      await bystander.ping()
      assert.deepEqual(bystander.unread, [])
      assert.deepEqual(
        broker.sessions().map(({ clientId }) => clientId),
        ['bystander'],
      )
    })
  }
})

test('a peer that goes on after a forbidden message is not listened to', async (t) => {
  const { open, client, remembering } = await startBroker(t)
  const bystander = await client('bystander')
  await bystander.subscribe('t', 0)
  const webSocket = await open()
  webSocket.send(connectBytes({ clientId: 'x' }))
  await once(webSocket, 'message')
  const { _socket } = webSocket as unknown as { _socket: { write(bytes: Buffer): void } }
  const masked = (opcode: number, bytes: Buffer) =>
    Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | bytes.length, 0, 0, 0, 0), bytes])
  const texts = Array.from({ length: 5 }, () => masked(1, message(1)))
  _socket.write(Buffer.concat([...texts, masked(2, message(2)), ...texts]))
  await remembering.until('connection.closed', { reason: 'malformed_packet' })
  await bystander.ping()
  assert.deepEqual(bystander.unread, [])
})

test('a packet the guard refuses closes the WebSocket, and the Will is sent', async (t) => {
  const { open, client } = await startBroker(t)
  const bystander = await client('bystander')
  await bystander.subscribe('w', 0)
  const webSocket = await open()
  webSocket.on('error', () => undefined)
  const closed = once(webSocket, 'close')
  webSocket.send(connectBytes({ clientId: 'x', will: { topic: 'w', payload: 'gone' } }))
  webSocket.send(Buffer.from([0xf0, 0]))
  await closed
  assert.equal(String((await bystander.receive()).payload), 'gone')
})

test('a CONNECT that is refused gets its CONNACK before the end', async (t) => {
  const { open } = await startBroker(t, { listener: { allowAnonymous: false } })
  const webSocket = await open()
  const raw = new RawClient(createWebSocketStream(webSocket))
  assert.equal((await raw.connect({ clientId: 'x' })).returnCode, 5)
  await raw.closed
})

test('what never becomes a client is closed by the deadline', async (t) => {
  const clock = new FakeClock()
  const { open, port, client, metrics } = await startBroker(t, {
    clock,
    limits: { connectTimeoutMs: 5000 },
  })
  const bystander = await client('bystander')
  const peers = [
    await tcpPeer(t, port, ''),
    await tcpPeer(t, port, 'GET /mqtt HTTP/1.1\r\nHost: x\r\n'),
    await tcpPeer(t, port, `GET /mqtt HTTP/1.1\r\n${UPGRADE.join('\r\n')}\r\n`),
    await tcpPeer(t, port, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx'),
  ]
  const upgraded = await open()
  const silent = once(upgraded, 'close')
  await bystander.ping()
  clock.advance(4000)
  await bystander.ping()
  assert.equal(upgraded.readyState, WebSocket.OPEN)
  clock.advance(3000)
  await Promise.all([...peers.map(({ ended }) => ended), silent])
  await bystander.ping()
  const { values } = await metrics.connectsRefused.get()
  assert.deepEqual(Object.fromEntries(values.map(({ labels, value }) => [labels.reason, value])), {
    not_a_websocket: 1,
    upgrade_timeout: 3,
    connect_timeout: 1,
  })
  assert.equal((await metrics.connectionsOpen.get()).values[0]?.value, 1)
})

test('pings', async (t) => {
  await t.test('each is answered', async (t) => {
    const { open } = await startBroker(t)
    const webSocket = await open()
    for (const text of ['one', 'two']) {
      const pong = once(webSocket, 'pong')
      webSocket.ping(text)
      assert.equal(String((await pong)[0]), text)
    }
  })

  await t.test(
    'a flood of them without reading is not kept, and the last is answered',
    async (t) => {
      const { open, client } = await startBroker(t)
      const bystander = await client('bystander')
      const webSocket = await open()
      const { _socket } = webSocket as unknown as { _socket: Socket }
      _socket.pause()
      let pongs = 0
      const last = new Promise<void>((resolve) => {
        webSocket.on('pong', (payload) => {
          pongs++
          if (payload.toString() === 'last') resolve()
        })
      })
      const count = 200_000
      for (let i = 0; i < count; i++) {
        webSocket.ping(Buffer.alloc(125))
        if (_socket.writableNeedDrain) await once(_socket, 'drain')
      }
      webSocket.ping('last')
      await bystander.ping()
      _socket.resume()
      await last
      assert.ok(pongs < count / 2, `${pongs} pongs for ${count} pings`)
    },
  )
})

test('a WebSocket that is closed or lost ends its Session', async (t) => {
  for (const end of ['close', 'terminate'] as const) {
    await t.test(end, async (t) => {
      const { open, broker, remembering } = await startBroker(t)
      const webSocket = await open()
      webSocket.send(connectBytes({ clientId: 'x' }))
      await once(webSocket, 'message')
      webSocket[end]()
      await remembering.until('connection.closed', { reason: 'connection_lost', clientId: 'x' })
      assert.deepEqual(broker.sessions(), [])
    })
  }
})

test('over TLS, with client certificates', async (t) => {
  const pki = mutualTls()
  const foreignCa = makeCa('Foreign CA')
  const startSecure = (t: TestContext, tls: Partial<TlsConfig> = {}) => {
    const { listener, ...behind } = pki.listener(tls)
    return startBroker(t, { ...behind, tenancy: true, listener })
  }
  const optionsOf = (port: number, presented?: Parameters<typeof pki.options>[1]) => {
    const { ca, cert, key } = pki.options(port, presented)
    return { ca, cert, key } as { ca: string; cert?: string; key?: string }
  }

  const refused: readonly [string, Parameters<typeof pki.options>[1], string][] = [
    ['no certificate', undefined, 'no_certificate'],
    ['a foreign one', issue(foreignCa, 'acme/pump-7'), 'unknown_ca'],
  ]
  for (const [title, presented, reason] of refused) {
    await t.test(title, async (t) => {
      const { port, remembering } = await startSecure(t)
      const webSocket = new WebSocket(
        `wss://127.0.0.1:${port}/mqtt`,
        'mqtt',
        optionsOf(port, presented),
      )
      const [err] = (await once(webSocket, 'error')) as [Error & { code?: string }]
      assert.equal(err.code, 'ECONNRESET')
      await remembering.until('peer.refused', { reason })
    })
  }

  await t.test('MQTT.js with a good one is the device', async (t) => {
    const { port, broker, remembering } = await startSecure(t)
    const certificate = pki.device('acme/pump-7')
    const client = await connectAsync(`wss://127.0.0.1:${port}/mqtt`, {
      clientId: 'x',
      protocolVersion: 4,
      reconnectPeriod: 0,
      ...optionsOf(port, certificate),
    })
    t.after(() => client.endAsync(true))
    assert.equal(broker.sessions()[0]?.user, 'acme/pump-7')
    const opened = await remembering.until('session.opened')
    assert.equal(opened['peer'], '127.0.0.1')

    const closed = new Promise<void>((resolve) => client.once('close', resolve))
    await pki.revoke(certificate)
    assert.equal(broker.closeRevoked(), 1)
    await closed
  })

  await t.test('an upgrade that is not finished when its certificate is revoked', async (t) => {
    const { port } = await startSecure(t)
    const certificate = pki.device('acme/pump-8')
    const webSocket = new WebSocket(
      `wss://127.0.0.1:${port}/mqtt`,
      'mqtt',
      optionsOf(port, certificate),
    )
    t.after(() => webSocket.terminate())
    await once(webSocket, 'open')
    await pki.revoke(certificate)
    const raw = new RawClient(createWebSocketStream(webSocket))
    assert.equal((await raw.connect({ clientId: 'x' })).returnCode, 5)
  })
})
