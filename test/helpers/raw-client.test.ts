import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import {
  encodeAcknowledgement,
  encodeConnack,
  encodePublish,
  Framer,
  PacketType,
  parseConnect,
  parsePublish,
  parseSubscribe,
  PINGRESP,
  TopicMemo,
  type Frame,
} from '../../broker/packets/index.ts'
import { packetOf, RawClient } from './raw-client.ts'

const idOf = (frame: Frame) => frame.bytes.readUInt16BE(frame.bodyStart)

/** As a broker would, but each PUBLISH goes back as it came. */
const ANSWERS: Partial<Record<PacketType, (frame: Frame) => readonly Buffer[]>> = {
  [PacketType.CONNECT]: (frame) => [
    encodeConnack(parseConnect(frame).clientId === 'bad' ? 5 : 0, true),
  ],
  [PacketType.SUBSCRIBE]: (frame) => {
    const { packetId, subscriptions } = parseSubscribe(frame)
    const codes = subscriptions.map(({ topic, qos }) => (topic === 'secret' ? 0x80 : qos))
    return [packetOf(0x90, [0, packetId], codes)]
  },
  [PacketType.UNSUBSCRIBE]: (frame) => [packetOf(0xb0, [0, idOf(frame)])],
  [PacketType.PUBLISH]: (frame) => {
    const packet = parsePublish(frame, new TopicMemo())
    const { qos, packetId } = packet
    const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC
    return [encodePublish(packet), ...(qos === 0 ? [] : [encodeAcknowledgement(type, packetId)])]
  },
  [PacketType.PUBREC]: (frame) => [encodeAcknowledgement(PacketType.PUBREL, idOf(frame))],
  [PacketType.PUBREL]: (frame) => [encodeAcknowledgement(PacketType.PUBCOMP, idOf(frame))],
  [PacketType.PINGREQ]: () => [PINGRESP],
}

async function startServer(t: TestContext, onSocket: (socket: Socket) => void): Promise<RawClient> {
  const server = createServer((socket) => {
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    onSocket(socket)
  })
  t.after(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = await RawClient.tcp((server.address() as AddressInfo).port)
  t.after(() => client.destroy())
  return client
}

const startBroker = (t: TestContext, seen: Frame[] = []) =>
  startServer(t, (socket) => {
    const framer = new Framer(100_000)
    socket.on('data', (chunk: Buffer) => {
      framer.append(chunk)
      for (let frame = framer.next(); frame; frame = framer.next()) {
        seen.push(frame)
        for (const bytes of ANSWERS[frame.type]?.(frame) ?? []) socket.write(bytes)
      }
    })
  })

test('connect gives the return code and whether a Session was present', async (t) => {
  const client = await startBroker(t)
  assert.deepEqual(await client.connect(), { returnCode: 0, sessionPresent: true })
  assert.deepEqual(await client.connect({ clientId: 'bad' }), {
    returnCode: 5,
    sessionPresent: false,
  })
})

test('subscribe gives a code for each filter, and unsubscribe waits', async (t) => {
  const client = await startBroker(t)
  assert.deepEqual(await client.subscribe(['a', 'secret', 'b'], 2), [2, 0x80, 2])
  assert.deepEqual(await client.subscribe('a'), [0])
  await client.unsubscribe('a', 'b')
})

test('publish goes through the acknowledgements of its QoS, and receive too', async (t) => {
  const seen: Frame[] = []
  const client = await startBroker(t, seen)
  for (const qos of [0, 1, 2] as const) {
    await client.publish('t', `payload ${qos}`, { qos, retain: true })
    const { packetId, ...packet } = await client.receive()
    const payload = Buffer.from(`payload ${qos}`)
    assert.deepEqual(packet, { topic: 't', payload, qos, retain: true, dup: false })
    assert.equal(packetId > 0, qos > 0)
  }
  await client.ping()
  const { PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, PINGREQ } = PacketType
  assert.deepEqual(
    seen.map(({ type }) => type),
    [PUBLISH, PUBLISH, PUBACK, PUBLISH, PUBREL, PUBREC, PUBCOMP, PINGREQ],
  )
})

test('next by type leaves the others, in their order', async (t) => {
  const client = await startBroker(t)
  await client.publish('a', '')
  await client.publish('b', '')
  await client.ping()
  assert.equal(client.unread.length, 2)
  assert.equal((await client.receive()).topic, 'a')
  assert.equal((await client.next()).type, PacketType.PUBLISH)
  assert.equal(client.unread.length, 0)
})

test('waits end when the connection does, with what came before still to be had', async (t) => {
  const client = await startBroker(t)
  await client.publish('a', '')
  const waiting = client.next(PacketType.PINGRESP)
  const refused = assert.rejects(waiting, { message: 'the connection was closed' })
  await client.disconnect()
  await refused
  assert.equal((await client.next()).type, PacketType.PUBLISH)
  await assert.rejects(client.next(), { message: 'the connection was closed' })
})

test('a reset is a way to be closed', async (t) => {
  const client = await startServer(t, (socket) =>
    socket.once('data', () => socket.resetAndDestroy()),
  )
  client.send(Buffer.from('f000', 'hex'))
  await client.closed
  await assert.rejects(client.next(), { message: 'the connection was closed' })
})

test('destroy settles closed', async (t) => {
  const client = await startBroker(t)
  client.destroy()
  await client.closed
})

test('a broker that sends what is no packet is an error of next', async (t) => {
  const client = await startServer(t, (socket) => socket.write(Buffer.from('f000', 'hex')))
  await assert.rejects(client.next(), { message: 'the broker sent a malformed packet' })
  await client.closed
})

test('a port nobody listens on rejects', async () => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  await assert.rejects(RawClient.tcp(port), { code: 'ECONNREFUSED' })
})
