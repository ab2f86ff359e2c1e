import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodePublish, encodePingreq, PacketType } from '../../broker/packets/index.ts'
import { startBroker } from '../helpers/broker.ts'
import { FakeClock } from '../helpers/clock.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { RememberingLog } from '../helpers/log.ts'
import { connectBytes } from '../helpers/raw-client.ts'

const TELEMETRY = 'tenant/a/device/d/telemetry'

const publish = (packetId: number, qos: 0 | 1 | 2 = 1, topic = TELEMETRY) =>
  encodePublish({
    topic,
    payload: Buffer.from(`{"n":${packetId}}`),
    qos,
    dup: false,
    retain: false,
    packetId,
  })

test('a peer that is not let in', async (t) => {
  const cases: readonly [string, Buffer, readonly number[]][] = [
    [
      'MQTT 5 is told so in its own form',
      connectBytes({ protocolLevel: 5, trailing: Buffer.alloc(0) }),
      [0x20, 3, 0, 0x84, 0],
    ],
    [
      'protocol level 3 under the name MQTT: CONNACK 1',
      connectBytes({ protocolLevel: 3, clientId: 'a' }),
      [0x20, 2, 0, 1],
    ],
    [
      'empty Client Identifier with Clean Session 0: CONNACK 2',
      connectBytes({ clean: false }),
      [0x20, 2, 0, 2],
    ],
    ['another protocol: no answer', connectBytes({ protocolName: 'HTTP' }), []],
    ['PINGREQ before CONNECT: no answer', encodePingreq(), []],
    [
      'a CONNECT larger than the bound: no answer',
      connectBytes({ clientId: 'x'.repeat(9000) }),
      [],
    ],
  ]
  for (const [title, bytes, answer] of cases) {
    await t.test(title, async (t) => {
      const { raw } = await startBroker(t)
      const peer = await raw()
      peer.send(bytes)
      await peer.closed
      assert.deepEqual(
        peer.unread.flatMap((frame) => [...frame.bytes]),
        answer,
      )
    })
  }
})

test('anonymous is refused with CONNACK 5 where it is not allowed', async (t) => {
  const { raw } = await startBroker(t, { listener: { allowAnonymous: false } })
  const peer = await raw()
  assert.equal((await peer.connect({ clientId: 'a' })).returnCode, 5)
  await peer.closed
})

test('a second CONNECT ends the connection [MQTT-3.1.0-2]', async (t) => {
  const { client } = await startBroker(t)
  const one = await client('one')
  one.send(connectBytes({ clientId: 'one' }))
  await one.closed
})

test('what comes with CONNECT in one segment is served after CONNACK', async (t) => {
  const sink = new HeldSink()
  const { raw } = await startBroker(t, { sink })
  const peer = await raw()
  peer.send(
    Buffer.concat([
      connectBytes({ clientId: 'a' }),
      publish(1),
      publish(2, 1, 'plain'),
      encodePingreq(),
    ]),
  )
  const types = []
  for (let i = 0; i < 4; i++) types.push((await peer.next()).type)
  assert.deepEqual(
    new Set(types),
    new Set([PacketType.CONNACK, PacketType.PUBACK, PacketType.PUBACK, PacketType.PINGRESP]),
  )
  assert.equal(types[0], PacketType.CONNACK)
  assert.equal(sink.taken.length, 1)
})

test('sockets without a CONNECT are closed after the deadline', async (t) => {
  const clock = new FakeClock()
  const { raw, client } = await startBroker(t, { clock, limits: { connectTimeoutMs: 5000 } })
  const silent = await raw()
  const bystander = await client('bystander')
  await bystander.ping()
  clock.advance(7000)
  await silent.closed
  await bystander.ping()
})

test('one socket too many is closed right after accept', async (t) => {
  const { client, raw } = await startBroker(t, { listener: { maxConnections: 1 } })
  const first = await client('first')
  const second = await raw()
  await second.closed
  await first.ping()
})

test('Keep Alive', async (t) => {
  await t.test('silence of one and a half times Keep Alive ends the connection', async (t) => {
    const clock = new FakeClock()
    const { client } = await startBroker(t, { clock })
    const one = await client('one', { keepAlive: 10 })
    clock.advance(14_000)
    await one.ping()
    clock.advance(14_000)
    await one.ping()
    clock.advance(17_000)
    await one.closed
  })

  await t.test(
    'while PUBLISHes wait for COMMIT it does not run out, and PINGREQ is answered',
    async (t) => {
      const clock = new FakeClock()
      const sink = new HeldSink()
      sink.hold = true
      const { client } = await startBroker(t, { clock, sink, limits: { maxWaitingPublishes: 10 } })
      const one = await client('one', { keepAlive: 2 })
      for (let i = 1; i <= 50; i++) one.send(publish(i))
      await sink.took(10)
      await one.ping()
      clock.advance(60_000)
      await one.ping()
      assert.equal(sink.taken.length, 10)
      assert.deepEqual(one.unread, [])
      sink.hold = false
      sink.commit()
      for (let i = 1; i <= 50; i++) {
        const frame = await one.next(PacketType.PUBACK)
        assert.equal(frame.bytes.readUInt16BE(frame.bodyStart), i)
      }
    },
  )

  await t.test('a full ingest holds QoS 1 back without losing its place', async (t) => {
    const sink = new HeldSink()
    sink.hasRoom = false
    const { client } = await startBroker(t, { sink })
    const one = await client('one')
    for (let i = 1; i <= 20; i++) one.send(publish(i))
    await one.ping()
    assert.equal(sink.taken.length, 0)
    sink.room()
    for (let i = 1; i <= 20; i++) {
      const frame = await one.next(PacketType.PUBACK)
      assert.equal(frame.bytes.readUInt16BE(frame.bodyStart), i)
    }
  })
})

test('acknowledgements come in the order of the PUBLISHes [MQTT-4.6.0-2]', async (t) => {
  const sink = new HeldSink()
  sink.hold = true
  const { client } = await startBroker(t, { sink })
  const one = await client('one')
  one.send(
    Buffer.concat([publish(1), publish(2, 1, 'plain'), publish(3, 2), publish(4, 1, 'plain')]),
  )
  await sink.took(2)
  await one.ping()
  assert.deepEqual(one.unread, [])
  sink.commit()
  const order = []
  for (let i = 0; i < 4; i++) {
    const frame = await one.next()
    order.push([frame.type, frame.bytes.readUInt16BE(frame.bodyStart)])
  }
  assert.deepEqual(order, [
    [PacketType.PUBACK, 1],
    [PacketType.PUBACK, 2],
    [PacketType.PUBREC, 3],
    [PacketType.PUBACK, 4],
  ])
})

test('a message that was not taken is not acknowledged: the connection ends', async (t) => {
  const sink = new HeldSink()
  sink.hold = true
  const { client } = await startBroker(t, { sink })
  const one = await client('one')
  one.send(publish(1))
  await sink.took(1)
  sink.refuse()
  await one.closed
  assert.deepEqual(one.unread, [])
})

test('a QoS 2 message sent again over a new connection waits for the first COMMIT and is stored once', async (t) => {
  const sink = new HeldSink()
  sink.hold = true
  const { client } = await startBroker(t, { sink })
  const one = await client('one', { clean: false })
  one.send(publish(1, 2))
  await sink.took(1)
  one.destroy()
  const again = await client('one', { clean: false })
  again.send(publish(1, 2))
  await again.ping()
  assert.deepEqual(again.unread, [])
  sink.commit()
  assert.equal((await again.next()).type, PacketType.PUBREC)
  assert.equal(sink.taken.length, 1)
})

test('takeover', async (t) => {
  await t.test(
    'the older connection of the same Client Identifier is closed [MQTT-3.1.4-2]',
    async (t) => {
      const remembering = new RememberingLog()
      const { client } = await startBroker(t, { log: remembering.log })
      const older = await client('one')
      const newer = await client('one')
      await older.closed
      await remembering.until('connection.closed', { reason: 'session_taken_over' })
      await newer.ping()
    },
  )

  await t.test('the Session goes with it, also in a burst of connects', async (t) => {
    const { client } = await startBroker(t)
    const first = await client('one', { clean: false })
    await first.subscribe('t', 1)
    const all = await Promise.all(
      Array.from({ length: 20 }, () => client('one', { clean: false }).catch(() => undefined)),
    )
    const publisher = await client('publisher')
    await publisher.publish('t', 'm', { qos: 1 })
    const got = await Promise.race(
      all
        .filter((one) => one !== undefined)
        .map((one) => one.receive().catch(() => new Promise<never>(() => undefined))),
    )
    assert.equal(String(got.payload), 'm')
  })
})

test('Session Present is right without subscriptions [MQTT-3.2.2-2]', async (t) => {
  const { raw } = await startBroker(t)
  const connect = async (clean: boolean) => {
    const client = await raw()
    const answer = await client.connect({ clientId: 'one', clean })
    client.destroy()
    await client.closed
    return answer.sessionPresent
  }
  assert.equal(await connect(false), false)
  assert.equal(await connect(false), true)
  assert.equal(await connect(true), false)
  assert.equal(await connect(false), false)
})

test('the Will', async (t) => {
  const will = { topic: 'w', payload: 'gone', qos: 1 }

  await t.test('is sent when the connection breaks', async (t) => {
    const { client } = await startBroker(t)
    const watcher = await client('watcher')
    await watcher.subscribe('w', 1)
    const one = await client('one', { will })
    one.destroy()
    assert.equal(String((await watcher.receive()).payload), 'gone')
  })

  await t.test('is sent when the guard ends the connection', async (t) => {
    const { client } = await startBroker(t)
    const watcher = await client('watcher')
    await watcher.subscribe('w', 1)
    const one = await client('one', { will })
    one.send(Buffer.from([0xf0, 0]))
    assert.equal(String((await watcher.receive()).payload), 'gone')
  })

  await t.test('is not sent after DISCONNECT [MQTT-3.1.2-10]', async (t) => {
    const remembering = new RememberingLog()
    const { client } = await startBroker(t, { log: remembering.log })
    const watcher = await client('watcher')
    await watcher.subscribe('w', 1)
    const one = await client('one', { will })
    await one.disconnect()
    await remembering.until('connection.closed', { reason: 'client_disconnected', clientId: 'one' })
    const next = await client('one')
    await next.publish('w', 'after', { qos: 1 })
    assert.equal(String((await watcher.receive()).payload), 'after')
  })

  await t.test('goes to ingest like any PUBLISH', async (t) => {
    const sink = new HeldSink()
    const { client } = await startBroker(t, { sink })
    const one = await client('one', { will: { ...will, topic: TELEMETRY } })
    one.destroy()
    await sink.took(1)
    assert.equal(sink.taken[0]?.msgType, 'telemetry')
  })
})

test('a retained message reaches a later subscriber, after SUBACK and with RETAIN', async (t) => {
  const { client } = await startBroker(t)
  const publisher = await client('publisher')
  await publisher.publish('r', 'kept', { qos: 1, retain: true })
  const subscriber = await client('subscriber')
  assert.deepEqual(await subscriber.subscribe('r', 1), [1])
  const packet = await subscriber.receive()
  assert.equal(packet.retain, true)
  await publisher.publish('r', 'live', { qos: 1 })
  assert.equal((await subscriber.receive()).retain, false)
  await subscriber.unsubscribe('r')
  await publisher.publish('r', 'unseen', { qos: 1 })
  await subscriber.ping()
  assert.deepEqual(subscriber.unread, [])
})

test('SUBACK has one return code for each filter, also for a repeated one [MQTT-3.9.3-1]', async (t) => {
  const { client } = await startBroker(t)
  const subscriber = await client('subscriber')
  assert.deepEqual(await subscriber.subscribe(['t', 't', 'u'], 1), [1, 1, 1])
})

test('a PUBACK in the flow of QoS 2 ends the connection; an unknown one does not', async (t) => {
  const { client } = await startBroker(t)
  const subscriber = await client('subscriber')
  await subscriber.subscribe('t', 2)
  subscriber.send(Buffer.from([0x40, 2, 0, 99]))
  await subscriber.ping()
  const publisher = await client('publisher')
  await publisher.publish('t', 'm', { qos: 2 })
  const frame = await subscriber.next(PacketType.PUBLISH)
  const packetId = frame.bytes.readUInt16BE(frame.bodyStart + 3)
  subscriber.send(Buffer.from([0x40, 2, packetId >> 8, packetId & 0xff]))
  await subscriber.closed
})

test('a denied PUBLISH is acknowledged and dropped, or ends the connection, as set', async (t) => {
  const rules = { tenancy: true, acl: undefined, accountAccess: new Set<string>() }
  await t.test('drop', async (t) => {
    const sink = new HeldSink()
    const { client, metrics } = await startBroker(t, { sink, rules })
    const one = await client('one')
    await one.publish(TELEMETRY, '{}', { qos: 1 })
    await one.publish(TELEMETRY, '{}', { qos: 2 })
    assert.equal(sink.taken.length, 0)
    assert.equal(sink.denied.length, 2)
    const { values } = await metrics.publishRefused.get()
    assert.equal(
      values.reduce((sum, { value }) => sum + value, 0),
      2,
    )
  })
  await t.test('disconnect', async (t) => {
    const { client } = await startBroker(t, { rules, deniedPublish: 'disconnect' })
    const one = await client('one')
    one.send(publish(1))
    await one.closed
    assert.deepEqual(one.unread, [])
  })
})
