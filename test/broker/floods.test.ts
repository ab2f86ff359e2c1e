/**
 * Clients that send much, or much of a kind, and read nothing: they are bounded, and nobody else
 * waits for them.
 */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  PacketType,
  encodeAcknowledgement,
  encodePingreq,
  encodeSubscribe,
  encodeUnsubscribe,
  nameOf,
  parsePublish,
  TopicMemo,
} from '../../broker/packets/index.ts'
import type { Clock } from '../../core/clock.ts'
import {
  ONLY_BYSTANDERS,
  publishBytes as publish,
  startWithBystanders,
} from '../helpers/bystanders.ts'
import { FakeClock } from '../helpers/clock.ts'
import { HeldSink } from '../helpers/held-sink.ts'

/** Whatever escapes a promise or a callback anywhere while this file runs. */
const escaped: unknown[] = []
process.on('unhandledRejection', (err) => escaped.push(err))
process.on('uncaughtException', (err) => escaped.push(err))
after(() => assert.deepEqual(escaped, []))

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
  const topics = Array.from({ length: 100 }, (_, i) => `r/${i}`)
  for (const topic of topics) {
    await retainer.publish(topic, 'retained', { qos: 1, retain: true })
  }
  const peer = await client('peer')
  const filters = topics.map((topic) => ({ topic, qos: 0 as const }))
  peer.send(
    Buffer.concat([
      encodeSubscribe(1, filters),
      publish('r/7', 'live', 1, 2),
      encodeUnsubscribe(3, ['r/7']),
      publish('r/7', 'unseen', 1, 4),
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
    ...Array.from({ length: 100 }, () => 'retained'),
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

const repeat = (count: number, ...packets: readonly Buffer[]) =>
  Buffer.concat(Array.from({ length: count }, () => packets).flat())

/** Writes these bytes over and over without reading anything, until the broker has read enough. */
async function flood(socket: Socket, bytes: Buffer, maxBytes: number): Promise<number> {
  socket.pause()
  socket.on('error', () => undefined)
  let sent = 0
  let turns = 0
  while (sent < maxBytes && turns < 60 && !socket.destroyed) {
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
    ['telemetry', repeat(1000, publish(TELEMETRY, '{}', 1))],
    ['messages that need not be stored', repeat(1000, publish('plain', '', 1))],
    ['acknowledgements of nothing', repeat(1000, encodeAcknowledgement(PacketType.PUBACK, 9))],
    [
      'PINGREQ with now and then an acknowledgement',
      Buffer.concat([repeat(1000, encodePingreq()), encodeAcknowledgement(PacketType.PUBACK, 9)]),
    ],
  ]
  for (const [title, packets] of piles) {
    await t.test(title, async (t) => {
      const sink = new HeldSink()
      sink.hold = true
      const { client, bystanders, counts } = await startWithBystanders(t, { limits, sink })
      const peer = await client('pile')
      const watcher = await client('watcher')
      await watcher.subscribe('plain', 0)
      for (let i = 1; i <= 10; i++) peer.send(publish(TELEMETRY, '{}', 1, i))
      await sink.took(10)
      const sent = await flood(peer.stream as Socket, packets, 64 << 20)
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

  await t.test('a small PUBLISH does not keep the read it came in', async (t) => {
    const sink = new HeldSink()
    sink.hold = true
    const { client, bystanders } = await startWithBystanders(t, { sink })
    const peer = await client('sparse')
    const pings = repeat(30_000, encodePingreq())
    for (let i = 1; i <= 10; i++) {
      peer.send(Buffer.concat([publish(TELEMETRY, `{"n":${i}}`, 1, i), pings]))
    }
    await sink.took(10)
    for (const [i, { payload }] of sink.taken.entries()) {
      assert.equal(String(payload), `{"n":${i + 1}}`)
      assert.ok(payload.buffer.byteLength <= 16_384, `${payload.buffer.byteLength} bytes`)
    }
    await bystanders.stop()
  })

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
