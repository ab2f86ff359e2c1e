/**
 * Bytes from hostile clients, while two others go on as if nothing were: no input brings the broker
 * down, holds it up or fills its memory.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  PacketType,
  encodeAcknowledgement,
  encodePingreq,
  encodePublish,
  encodeSubscribe,
  encodeUnsubscribe,
  nameOf,
  parsePublish,
  TopicMemo,
} from '../../broker/packets/index.ts'
import { startBroker, type TestBroker, type TestBrokerOptions } from '../helpers/broker.ts'
import type { Clock } from '../../core/clock.ts'
import { createLog } from '../../core/log.ts'
import { FakeClock } from '../helpers/clock.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { connectBytes, lengthPrefixed, packetOf, uint16 } from '../helpers/raw-client.ts'
import { BAD_STRINGS } from './packets/corpus.ts'
import { seededRandom } from './packets/seeded-random.ts'

/** Whatever escapes a promise or a callback anywhere while this file runs. */
const escaped: unknown[] = []
process.on('unhandledRejection', (err) => escaped.push(err))
process.on('uncaughtException', (err) => escaped.push(err))
after(() => assert.deepEqual(escaped, []))

const SWEEP_MS = 1000

const publish = (topic: string, payload: Uint8Array | string, qos: 0 | 1 | 2, packetId = 1) =>
  encodePublish({
    topic,
    payload: Buffer.from(payload),
    qos,
    dup: false,
    retain: false,
    packetId,
  })

/** A publisher and a subscriber that exchange numbered QoS 1 messages until told to stop. */
async function startBystanders({ client }: TestBroker) {
  const subscriber = await client('bystander-subscriber')
  await subscriber.subscribe('bystander/#', 1)
  const publisher = await client('bystander-publisher')
  let going = true
  let sent = 0
  const sending = (async () => {
    while (going) {
      await publisher.publish('bystander/n', `${++sent}`, { qos: 1 })
      await nextTurn()
    }
    await publisher.publish('bystander/n', 'end', { qos: 1 })
  })()
  const received: string[] = []
  const receiving = (async () => {
    for (;;) {
      const text = String((await subscriber.receive()).payload)
      if (text === 'end') return
      received.push(text)
    }
  })()
  return {
    subscriber,
    publisher,
    /** Every message came, once and in order. @returns how many */
    async stop(): Promise<number> {
      going = false
      await Promise.all([sending, receiving])
      assert.deepEqual(
        received,
        Array.from({ length: sent }, (_, i) => `${i + 1}`),
      )
      return sent
    },
  }
}

/** A broker whose time the test moves, with bystanders; what it logs as an error fails the test. */
async function startWithBystanders(t: TestContext, options: TestBrokerOptions = {}) {
  const clock = new FakeClock()
  const errors: string[] = []
  const log = createLog({
    level: 'error',
    service: 'test',
    destination: { write: (line) => errors.push(line) },
  })
  const started = await startBroker(t, { clock, log, ...options })
  t.after(() => assert.deepEqual(errors, []))
  const bystanders = await startBystanders(started)
  const { metrics } = started
  const valueOf = async (name: 'connectionsOpen' | 'sessionsOpen' | 'sessionsStored') =>
    (await metrics[name].get()).values[0]?.value
  /** What the broker says of itself once it has noticed that all others are gone. */
  const counts = async () => {
    while ((await valueOf('connectionsOpen')) !== 2) await nextTurn()
    clock.advance(SWEEP_MS)
    return { connections: await valueOf('sessionsOpen'), sessions: await valueOf('sessionsStored') }
  }
  /** Every reason for which a connection was closed or not let in. */
  const reasons = async () => {
    const [closed, refused] = [
      await metrics.sessionsClosed.get(),
      await metrics.connectsRefused.get(),
    ]
    return new Set([...closed.values, ...refused.values].map(({ labels }) => labels.reason))
  }
  return { ...started, clock, bystanders, counts, reasons }
}

const ONLY_BYSTANDERS = { connections: 2, sessions: 2 }

// ---- a great many broken sequences

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
async function attack(port: number, bytes: Buffer): Promise<void> {
  const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => undefined)
  socket.resume()
  const closed = once(socket, 'close')
  await new Promise<void>((resolve) => {
    for (const event of ['connect', 'close']) socket.once(event, () => resolve())
  })
  const cut = random(bytes.length + 1)
  socket.write(bytes.subarray(0, cut))
  if (random(2) === 0) await nextTurn()
  socket.write(bytes.subarray(cut))
  for (let turns = random(12); turns > 0; turns--) await nextTurn()
  switch (random(4)) {
    case 0:
      socket.destroy()
      break
    case 1:
      socket.resetAndDestroy()
      break
    default:
      socket.end()
  }
  await closed
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

test('a great many Topic Filters in one SUBSCRIBE', async (t) => {
  const started = await startWithBystanders(t, { limits: { maxSubscriptionsPerSession: 100 } })
  const { client, bystanders, counts } = started
  const filters = (count: number, prefix: string) =>
    Array.from({ length: count }, (_, i) => ({ topic: `${prefix}${i}`, qos: 1 as const }))
  await t.test('10 000: granted up to the bound, each answered', async (t) => {
    const peer = await started.client('bomb')
    t.after(() => peer.destroy())
    peer.send(encodeSubscribe(1, filters(10_000, 'bomb/')))
    const { bytes, bodyStart } = await peer.next(PacketType.SUBACK)
    const codes = bytes.subarray(bodyStart + 2)
    assert.equal(codes.length, 10_000)
    assert.equal(codes.filter((code) => code === 1).length, 100)
    assert.equal(codes.filter((code) => code === 0x80).length, 9900)
    await peer.disconnect()
  })
  await t.test('one more is refused as malformed', async () => {
    const peer = await client('bomb')
    peer.send(encodeSubscribe(1, filters(10_001, '')))
    await peer.closed
    assert.deepEqual(peer.unread, [])
  })
  await t.test('the same one 10 000 times, with retained messages', async () => {
    const retainer = await client('retainer')
    for (let i = 0; i < 20; i++) await retainer.publish(`r/${i}`, 'x', { qos: 1, retain: true })
    await retainer.disconnect()
    const peer = await client('bomb')
    const same = Array.from({ length: 10_000 }, () => ({ topic: 'r/#', qos: 0 as const }))
    peer.send(encodeSubscribe(1, same))
    await peer.next(PacketType.SUBACK)
    await peer.publish('r/0', 'later', { qos: 1 })
    await peer.disconnect()
  })
  await bystanders.stop()
  assert.deepEqual(await counts(), ONLY_BYSTANDERS)
})

test('retained messages for many filters come between what others do, and in their order', async (t) => {
  // Each look at the clock takes a millisecond, so that a few filters are a portion.
  const clock = new FakeClock()
  const ticking: Clock = {
    now: () => clock.now(),
    monotonic: () => {
      clock.advance(1)
      return clock.monotonic()
    },
    sleep: (ms, signal) => clock.sleep(ms, signal),
    every: (ms, tick) => clock.every(ms, tick),
    after: (ms, then) => clock.after(ms, then),
  }
  const { client, bystanders } = await startWithBystanders(t, { clock: ticking })
  const retainer = await client('retainer')
  for (const name of ['a', 'b']) {
    await retainer.publish(`r/${name}`, 'retained', { qos: 1, retain: true })
  }
  const peer = await client('peer')
  const filters = Array.from({ length: 100 }, () => ({ topic: 'r/+', qos: 0 as const }))
  peer.send(
    Buffer.concat([
      encodeSubscribe(1, filters),
      publish('r/a', 'live', 1, 2),
      encodeUnsubscribe(3, ['r/+']),
      publish('r/a', 'unseen', 1, 4),
    ]),
  )
  const order: string[] = []
  while (order.at(-1) !== 'PUBACK 4') {
    const frame = await peer.next()
    const { type, bytes, bodyStart } = frame
    if (type === PacketType.PUBLISH)
      order.push(String(parsePublish(frame, new TopicMemo()).payload))
    else order.push(`${nameOf(type)} ${bytes.readUInt16BE(bodyStart)}`)
  }
  assert.deepEqual(order, [
    'SUBACK 1',
    ...Array.from({ length: 200 }, () => 'retained'),
    'live',
    'UNSUBACK 3',
    'PUBACK 2',
    'PUBACK 4',
  ])
  await bystanders.stop()
})

test('topics of 200 levels', async (t) => {
  const { client, bystanders, counts } = await startWithBystanders(t)
  const deep = (levels: number, level = 'x') =>
    Array.from({ length: levels }, () => level).join('/')
  const peer = await client('deep')
  const filters = [deep(200), deep(200, '+'), `${deep(100, '+')}/#`, deep(200, '')]
  assert.deepEqual(await peer.subscribe(filters, 1), [1, 1, 1, 1])
  await peer.publish(deep(200), 'm', { qos: 1, retain: true })
  assert.equal((await peer.receive()).topic, deep(200))
  // 2^16 ways through the tree, were each one tried.
  const half = (n: number) =>
    Array.from({ length: 16 }, (_, bit) => ((n >> bit) & 1 ? 'x' : '+')).join('/')
  await peer.subscribe(
    Array.from({ length: 900 }, (_, n) => half(n * 73)),
    0,
  )
  await peer.publish(deep(16), 'm', { qos: 1 })
  assert.equal((await peer.receive()).topic, deep(16))
  for (const bytes of [
    publish(deep(201), 'm', 0),
    encodeSubscribe(9, [{ topic: deep(201, '+'), qos: 0 }]),
  ]) {
    const bad = await client('too-deep')
    bad.send(bytes)
    await bad.closed
  }
  await peer.disconnect()
  await bystanders.stop()
  assert.deepEqual(await counts(), ONLY_BYSTANDERS)
})

/** Writes these bytes over and over without reading anything, until the broker has read enough. */
async function flood(socket: Socket, bytes: Buffer, maxBytes: number): Promise<number> {
  socket.pause()
  socket.on('error', () => undefined)
  let sent = 0
  let turns = 0
  while (sent < maxBytes && turns < 200 && !socket.destroyed) {
    if (socket.writableLength > 0) {
      turns++
      await nextTurn()
      continue
    }
    turns = 0
    sent += bytes.length
    socket.write(bytes)
  }
  return sent
}

test('floods whose answers nobody reads', async (t) => {
  const FLOOD = 64 << 20
  const repeat = (count: number, ...packets: readonly Buffer[]) =>
    Buffer.concat(Array.from({ length: count }, () => packets).flat())
  const floods: readonly [string, Buffer][] = [
    ['of PINGREQ', repeat(32_768, encodePingreq())],
    ['of QoS 1', repeat(5000, publish('flood', '', 1))],
    [
      'of QoS 2',
      repeat(3000, publish('flood', '', 2, 7), encodeAcknowledgement(PacketType.PUBREL, 7)),
    ],
    ['of SUBSCRIBE', repeat(5000, encodeSubscribe(1, [{ topic: 'flood', qos: 0 }]))],
    [
      'of messages to itself',
      Buffer.concat([
        encodeSubscribe(1, [{ topic: 'flood', qos: 2 }]),
        repeat(5000, publish('flood', 'x', 1)),
      ]),
    ],
  ]
  for (const [title, bytes] of floods) {
    await t.test(title, async (t) => {
      const { client, bystanders, counts } = await startWithBystanders(t, {
        limits: { maxSocketBacklogBytes: 65_536 },
      })
      const before = process.memoryUsage().rss
      const peer = await client('flood')
      const sent = await flood(peer.stream as Socket, bytes, FLOOD)
      // The broker stopped reading: the rest is the sender's.
      assert.ok(sent < FLOOD, `${sent} bytes were taken`)
      const grown = process.memoryUsage().rss - before
      t.diagnostic(`sent ${Math.round(sent / 1e6)} MB, RSS grew by ${Math.round(grown / 1e6)} MB`)
      peer.destroy()
      await bystanders.stop()
      assert.deepEqual(await counts(), ONLY_BYSTANDERS)
    })
  }
})

test('while storage is away, what a client may pile up is bounded', async (t) => {
  const TELEMETRY = 'tenant/a/device/d/telemetry'
  const limits = { maxWaitingPublishes: 10, maxWaitingBytes: 65_536 }
  const piles: readonly [string, Buffer][] = [
    ['telemetry', publish(TELEMETRY, '{}', 1)],
    ['messages that need not be stored', publish('plain', '', 1)],
    ['acknowledgements of nothing', encodeAcknowledgement(PacketType.PUBACK, 9)],
    [
      'PINGREQ with now and then an acknowledgement',
      Buffer.concat([
        ...Array.from({ length: 1000 }, () => encodePingreq()),
        encodeAcknowledgement(PacketType.PUBACK, 9),
      ]),
    ],
  ]
  for (const [title, packet] of piles) {
    await t.test(title, async (t) => {
      const sink = new HeldSink()
      sink.hold = true
      const { client, bystanders, counts } = await startWithBystanders(t, { limits, sink })
      const peer = await client('pile')
      const watcher = await client('watcher')
      await watcher.subscribe('plain', 0)
      for (let i = 1; i <= 10; i++) peer.send(publish(TELEMETRY, '{}', 1, i))
      await sink.took(10)
      const sent = await flood(peer.stream as Socket, packet, 64 << 20)
      assert.ok(sent < 64 << 20, `${sent} bytes were taken`)
      await watcher.ping()
      assert.equal(watcher.unread.length, 0)
      assert.equal(sink.taken.length, 10)
      peer.destroy()
      await watcher.disconnect()
      sink.hold = false
      sink.commit()
      await bystanders.stop()
      assert.deepEqual(await counts(), ONLY_BYSTANDERS)
    })
  }

  await t.test(
    'one PUBLISH that waits does not let any number of others queue behind it',
    async (t) => {
      const sink = new HeldSink()
      sink.hold = true
      const { client, bystanders } = await startWithBystanders(t, { limits, sink })
      const peer = await client('pile')
      const watcher = await client('watcher')
      await watcher.subscribe('plain', 0)
      peer.send(publish(TELEMETRY, '{}', 1, 1))
      for (let i = 2; i <= 100; i++) peer.send(publish('plain', `${i}`, 1, i))
      await peer.ping()
      assert.deepEqual(peer.unread, [])
      await watcher.ping()
      assert.equal(watcher.unread.length, limits.maxWaitingPublishes - 1)
      sink.hold = false
      sink.commit()
      for (let i = 1; i <= 100; i++) {
        const { bytes, bodyStart } = await peer.next(PacketType.PUBACK)
        assert.equal(bytes.readUInt16BE(bodyStart), i)
      }
      await watcher.ping()
      assert.equal(watcher.unread.length, 99)
      await bystanders.stop()
    },
  )
})

test('# by many, and one publisher', async (t) => {
  const { client, bystanders } = await startWithBystanders(t, {
    limits: { maxQueuedMessages: 10_000 },
  })
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => client(`many-${i}`)))
  await Promise.all(many.map((one) => one.subscribe(['#', 'many/+', 'many/x'], 1)))
  const publisher = await client('publisher')
  const COUNT = 200
  for (let i = 1; i <= COUNT; i++) publisher.send(publish('many/x', `${i}`, 1, i))
  const wanted = Array.from({ length: COUNT }, (_, i) => `${i + 1}`)
  await Promise.all(
    many.map(async (one) => {
      const got: string[] = []
      while (got.length < COUNT) {
        const { topic, payload } = await one.receive()
        if (topic === 'many/x') got.push(String(payload))
      }
      assert.deepEqual(got, wanted)
    }),
  )
  for (let i = 1; i <= COUNT; i++) await publisher.next(PacketType.PUBACK)
  await bystanders.stop()
})

test('no Session is left: CONNACK 3, and everybody else goes on', async (t) => {
  const { client, raw, bystanders, metrics } = await startWithBystanders(t, {
    limits: { maxSessions: 3 },
  })
  const third = await client('third')
  const fourth = await raw()
  assert.equal((await fourth.connect({ clientId: 'fourth' })).returnCode, 3)
  await fourth.closed
  const { values } = await metrics.connectsRefused.get()
  assert.deepEqual(values, [{ labels: { reason: 'too_many_sessions' }, value: 1 }])
  await third.disconnect()
  await client('fourth')
  await bystanders.stop()
})
