/**
 * Ten thousand ways to be malformed, and clients that are gone too soon or too slow: that connection
 * ends, and nobody else notices.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { after, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  PacketType,
  encodeAcknowledgement,
  encodePingreq,
  encodeSubscribe,
  encodeUnsubscribe,
} from '../../broker/packets/index.ts'
import {
  ONLY_BYSTANDERS,
  publishBytes as publish,
  startWithBystanders,
} from '../helpers/bystanders.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { connectBytes, lengthPrefixed, packetOf, uint16 } from '../helpers/raw-client.ts'
import { BAD_STRINGS } from './packets/corpus.ts'
import { seededRandom } from './packets/seeded-random.ts'

/** Whatever escapes a promise or a callback anywhere while this file runs. */
const escaped: unknown[] = []
process.on('unhandledRejection', (err) => escaped.push(err))
process.on('uncaughtException', (err) => escaped.push(err))
after(() => assert.deepEqual(escaped, []))

const random = seededRandom(20_261_122)
const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T
const bytesOf = (length: number) => Buffer.from(Array.from({ length }, () => random(256)))
const badString = () => Buffer.from(pick(BAD_STRINGS)[1], 'hex')

/** Packets by themselves well-formed, of a client on its best behaviour. */
const GOOD: readonly (() => Buffer)[] = [
  () => publish('hostile/a', 'x', 0),
  () => publish('hostile/b', 'x', 1, 1 + random(65_535)),
  () => publish('hostile/c', bytesOf(random(300)), 2, 1 + random(20)),
  () => encodeSubscribe(1 + random(65_535), [{ topic: pick(['hostile/#', '+/a', 'x']), qos: 1 }]),
  () => encodeUnsubscribe(1 + random(65_535), ['hostile/#']),
  () => encodePingreq(),
  () => encodeAcknowledgement(PacketType.PUBREL, 1 + random(20)),
  () => encodeAcknowledgement(PacketType.PUBACK, 1 + random(20)),
]

/** Packets no client may send, or not then. */
const BAD: readonly (() => Buffer)[] = [
  // Fixed header.
  () => Buffer.from([pick([0x00, 0x0f, 0xf0, 0xff]), random(3)]),
  () => Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
  () => Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]),
  () =>
    packetOf(pick([0x62, 0x82, 0xa2]) ^ pick([1, 2, 4, 8]), uint16(1), lengthPrefixed('x'), [0]),
  () => Buffer.from([pick([0x20, 0x90, 0xb0, 0xd0]), 2, 0, 1]),
  () => Buffer.from([pick([0xc0, 0xe0]), 1, 0]),
  // A second CONNECT.
  () => connectBytes({ clientId: 'again' }),
  // PUBLISH.
  () => packetOf(0x36, lengthPrefixed('x'), uint16(1)),
  () => packetOf(0x38, lengthPrefixed('x')),
  () => packetOf(0x30, lengthPrefixed(pick(['', 'a/+', '#', 'a\0b']))),
  () => packetOf(0x30, lengthPrefixed(badString())),
  () => packetOf(0x32, lengthPrefixed('x'), uint16(0)),
  () => packetOf(0x32, lengthPrefixed('x'), [1]),
  () => packetOf(0x30, [0xff, 0xff], [1]),
  () => packetOf(0x30, lengthPrefixed('/'.repeat(201))),
  // SUBSCRIBE, UNSUBSCRIBE.
  () => packetOf(0x82, uint16(1)),
  () => packetOf(0x82, uint16(0), lengthPrefixed('x'), [0]),
  () => packetOf(0x82, uint16(1), lengthPrefixed('x'), [pick([3, 4, 0x80, 0xff])]),
  () => packetOf(0x82, uint16(1), lengthPrefixed(pick(['', 'a+', '#/a', 'a#', '++'])), [0]),
  () => packetOf(0x82, uint16(1), lengthPrefixed(badString()), [0]),
  () => packetOf(0x82, uint16(1), lengthPrefixed('x')),
  () => packetOf(0xa2, uint16(1)),
  () => packetOf(0xa2, uint16(1), lengthPrefixed('')),
  // Acknowledgements.
  () => packetOf(pick([0x40, 0x50, 0x62, 0x70]), uint16(0)),
  () => packetOf(pick([0x40, 0x50, 0x62, 0x70]), [1]),
  () => packetOf(pick([0x40, 0x50, 0x62, 0x70]), [0, 1, 0]),
  // No MQTT at all.
  () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  () => Buffer.from('16030100c8010000c40303', 'hex'),
  () => Buffer.from([0xff, ...bytesOf(1 + random(200))]),
]

/** CONNECTs that get no further. */
const BAD_CONNECTS: readonly (() => Buffer)[] = [
  () => connectBytes({ protocolName: pick(['MQTx', '', 'mqtt', 'HTTP/1.1']), clientId: 'x' }),
  () => connectBytes({ protocolLevel: pick([0, 1, 2, 3, 5, 6, 127]), clientId: 'x' }),
  () => connectBytes({ flags: pick([0x03, 0x0a, 0x22, 0x42, 0x1e]), clientId: 'x' }),
  () => connectBytes({ clean: false }),
  () => connectBytes({ clientId: badString() }),
  () => connectBytes({ will: { topic: pick(['', 'a/+', '#']), payload: 'x' }, clientId: 'x' }),
  () => connectBytes({ will: { topic: 'w', payload: 'x', qos: 3 }, clientId: 'x' }),
  () => connectBytes({ clientId: 'x', trailing: bytesOf(1 + random(5)) }),
  () => connectBytes({ clientId: 'x'.repeat(8200) }),
  () => connectBytes({ clientId: 'x', firstByte: 0x11 }),
  () => connectBytes({ clientId: 'x', flags: 0xc2 }),
  () => connectBytes({ clientId: 'x', userName: badString() }),
]

function flipped(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  for (let i = random(4); i >= 0; i--) {
    const at = random(changed.length)
    changed[at] = (changed[at] ?? 0) ^ (1 << random(8))
  }
  return changed
}

/** Everything one hostile connection sends. */
function sequence(n: number): Buffer {
  const connect = () =>
    connectBytes({
      clientId: `hostile-${n % 50}`,
      clean: random(2) === 0,
      ...(random(3) === 0 ? { will: { topic: 'hostile/will', payload: 'x', qos: random(3) } } : {}),
    })
  const good = () => Array.from({ length: random(4) }, () => pick(GOOD)())
  switch (random(8)) {
    case 0:
      return bytesOf(1 + random(400))
    case 1:
      return pick(BAD_CONNECTS)()
    case 2:
      return flipped(connect())
    case 3:
      return Buffer.concat([pick([...GOOD, ...BAD])(), connect()])
    case 4:
      return Buffer.concat([connect(), ...good().map(flipped), pick(BAD)()])
    case 5: {
      const whole = Buffer.concat([connect(), ...good()])
      return whole.subarray(0, random(whole.length + 1))
    }
    default:
      return Buffer.concat([connect(), ...good(), pick(BAD)(), ...good()])
  }
}

/** Sends it in a few pieces and leaves: politely, brutally, or when the broker has had enough. */
function attack(port: number, bytes: Buffer): Promise<void> {
  const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  const cut = random(bytes.length + 1)
  let turns = random(12)
  const ending = random(4)
  const leave = () => {
    if (turns-- > 0) setImmediate(leave)
    else if (ending === 0) socket.destroy()
    else if (ending === 1) socket.resetAndDestroy()
    else socket.end()
  }
  socket.on('error', () => undefined)
  socket.resume()
  socket.once('connect', () => {
    socket.write(bytes.subarray(0, cut))
    setImmediate(() => {
      socket.write(bytes.subarray(cut))
      leave()
    })
  })
  // Callbacks all the way: the test runner makes each promise cost several times as much.
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

const SEQUENCES = 10_000
const PARALLEL = 200

test(`${SEQUENCES} hostile connections, ${PARALLEL} at a time`, async (t) => {
  const { port, bystanders, counts, reasons } = await startWithBystanders(t)
  const before = process.memoryUsage().rss
  let next = 0
  const attackers = Array.from({ length: PARALLEL }, async () => {
    while (next < SEQUENCES) await attack(port, sequence(next++))
  })
  await Promise.all(attackers)
  const exchanged = await bystanders.stop()
  t.diagnostic(`bystanders exchanged ${exchanged} messages meanwhile`)
  t.diagnostic(`RSS grew by ${Math.round((process.memoryUsage().rss - before) / 1e6)} MB`)
  assert.equal((await counts()).connections, 2)
  // So that nobody turns this into a test of one refusal over and over.
  const seen = await reasons()
  for (const reason of [
    'malformed_packet',
    'packet_too_large',
    'protocol_error',
    'protocol_level',
    'client_id',
    'connection_lost',
  ]) {
    assert.ok(seen.has(reason), `${reason} never happened`)
  }
})

test('clients that are gone before their CONNACK leave nothing behind', async (t) => {
  const { port, bystanders, counts } = await startWithBystanders(t, { limits: { maxSessions: 60 } })
  let next = 0
  const attackers = Array.from({ length: 20 }, async () => {
    while (next < 1000) {
      const n = next++
      const socket = connectTcp({ port, host: '127.0.0.1' })
      socket.on('error', () => undefined)
      socket.resume()
      const closed = once(socket, 'close')
      await once(socket, 'connect')
      const will = { topic: 'hostile/will', payload: 'x' }
      socket.write(connectBytes({ clientId: `gone-${n}`, ...(n % 2 === 0 ? { will } : {}) }))
      for (let turns = random(4); turns > 0; turns--) await nextTurn()
      if (n % 3 === 0) socket.resetAndDestroy()
      else socket.end()
      await closed
    }
  })
  await Promise.all(attackers)
  await bystanders.stop()
  assert.deepEqual(await counts(), ONLY_BYSTANDERS)
})

test('a client that does not wait for CONNACK is served, also when it hangs up at once', async (t) => {
  const sink = new HeldSink()
  const { port, bystanders, client, counts } = await startWithBystanders(t, { sink })
  const watcher = await client('watcher')
  await watcher.subscribe(['t', 'w'], 1)
  const will = { topic: 'w', payload: 'not sent' }
  const telemetry = 'tenant/a/device/d/telemetry'
  const packets = [
    connectBytes({ clientId: 'brief', will }),
    publish('t', 'first', 0),
    publish('t', 'second', 1),
    publish(telemetry, '{}', 1, 2),
    Buffer.from([0xe0, 0]),
  ]
  const socket = connectTcp({ port, host: '127.0.0.1' })
  t.after(() => socket.destroy())
  socket.end(Buffer.concat(packets))
  assert.equal(String((await watcher.receive()).payload), 'first')
  assert.equal(String((await watcher.receive()).payload), 'second')
  await sink.took(1)
  await watcher.publish('t', 'end', { qos: 1 })
  assert.equal(String((await watcher.receive()).payload), 'end')
  await watcher.disconnect()
  await bystanders.stop()
  assert.deepEqual(await counts(), ONLY_BYSTANDERS)
})

test('a CONNECT that comes byte by byte', async (t) => {
  const { raw, clock, bystanders, counts } = await startWithBystanders(t, {
    limits: { connectTimeoutMs: 10_000 },
  })
  const bytes = connectBytes({ clientId: 'patient', userName: 'u', password: 'p' })
  const drip = async (ms: number) => {
    const peer = await raw()
    for (const byte of bytes) {
      peer.send(Buffer.of(byte))
      await nextTurn()
      clock.advance(ms)
    }
    return peer
  }
  await t.test('is taken within the deadline', async () => {
    const peer = await drip(100)
    assert.equal((await peer.next(PacketType.CONNACK)).bytes[3], 0)
    await peer.disconnect()
  })
  await t.test('and ended by it', async () => {
    const peer = await drip(1000)
    await peer.closed
    assert.deepEqual(peer.unread, [])
  })
  await bystanders.stop()
  assert.deepEqual(await counts(), ONLY_BYSTANDERS)
})

test('a packet that is announced and never comes costs what was sent of it', async (t) => {
  const { client, bystanders, counts, clock } = await startWithBystanders(t)
  const peers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => client(`patient-${i}`, { keepAlive: 10 })),
  )
  const before = process.memoryUsage()
  for (const peer of peers) peer.send(Buffer.from([0x30, 0x80, 0x80, 0x0f, 0, 1, 0x78]))
  await bystanders.subscriber.ping()
  const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers
  assert.ok(grown < 100 * 20_000, `${grown} bytes for 100 announcements of 245 760`)
  clock.advance(17_000)
  await Promise.all(peers.map((peer) => peer.closed))
  await bystanders.stop()
  assert.deepEqual(await counts(), ONLY_BYSTANDERS)
})
