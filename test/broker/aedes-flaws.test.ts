/**
 * What Aedes 1.2.0 gets wrong on its own, each flaw a test: they must stay away with every update of
 * the engine.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { encodePublish, encodeAcknowledgement, PacketType } from '../../broker/packets/index.ts'
import { startBroker as start, type TestBrokerOptions } from '../helpers/broker.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import type { RawClient } from '../helpers/raw-client.ts'

/** Room for whatever a test sends at once: what is lost here is lost for another reason. */
const startBroker = (t: TestContext, options: TestBrokerOptions = {}) =>
  start(t, { ...options, limits: { maxQueuedMessages: 10_000, ...options.limits } })

async function receiveAll(client: RawClient, count: number): Promise<string[]> {
  const got: string[] = []
  while (got.length < count) got.push(String((await client.receive()).payload))
  return got
}

const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`)

test('no message is lost because another overtook it', async (t) => {
  await t.test('QoS 1 and QoS 0 of two publishers, one subscriber', async (t) => {
    const { client } = await startBroker(t)
    const subscriber = await client('subscriber')
    await subscriber.subscribe('t/#', 1)
    const [one, zero] = [await client('one'), await client('zero')]
    const received = receiveAll(subscriber, 4000)
    for (let i = 0; i < 2000; i++) {
      zero.send(
        encodePublish({
          topic: 't/0',
          payload: Buffer.from(`z${i}`),
          qos: 0,
          dup: false,
          retain: false,
          packetId: 0,
        }),
      )
      one.send(
        encodePublish({
          topic: 't/1',
          payload: Buffer.from(`o${i}`),
          qos: 1,
          dup: false,
          retain: false,
          packetId: 1 + (i % 60000),
        }),
      )
    }
    const got = await received
    assert.deepEqual(
      got.filter((text) => text.startsWith('o')),
      numbered('o', 2000),
    )
    assert.deepEqual(
      got.filter((text) => text.startsWith('z')),
      numbered('z', 2000),
    )
  })

  await t.test('every tenth message retained', async (t) => {
    const { client } = await startBroker(t)
    const subscriber = await client('subscriber')
    await subscriber.subscribe('t/#', 1)
    const publisher = await client('publisher')
    const received = receiveAll(subscriber, 2000)
    for (let i = 0; i < 2000; i++) {
      publisher.send(
        encodePublish({
          topic: 't/x',
          payload: Buffer.from(`m${i}`),
          qos: 1,
          dup: false,
          retain: i % 10 === 0,
          packetId: i + 1,
        }),
      )
    }
    assert.deepEqual(await received, numbered('m', 2000))
  })

  await t.test('QoS 2 retained and plain in pairs, one segment', async (t) => {
    const { client } = await startBroker(t)
    const subscriber = await client('subscriber')
    await subscriber.subscribe('t/#', 0)
    const publisher = await client('publisher')
    const packets = Array.from({ length: 100 }, (_, i) =>
      encodePublish({
        topic: 't/x',
        payload: Buffer.from(`m${i}`),
        qos: 2,
        dup: false,
        retain: i % 2 === 0,
        packetId: i + 1,
      }),
    )
    publisher.send(Buffer.concat(packets))
    assert.deepEqual(await receiveAll(subscriber, 100), numbered('m', 100))
  })

  await t.test('two messages of our own in one tick', async (t) => {
    const { broker, client } = await startBroker(t)
    const subscriber = await client('subscriber')
    await subscriber.subscribe('t/#', 1)
    const received = receiveAll(subscriber, 200)
    for (let i = 0; i < 100; i++) {
      broker.publish({ topic: 't/1', payload: Buffer.from(`m${2 * i}`), qos: 1, retain: false })
      broker.publish({ topic: 't/0', payload: Buffer.from(`m${2 * i + 1}`), qos: 0, retain: false })
    }
    const got = await received
    assert.deepEqual(new Set(got), new Set(numbered('m', 200)))
  })
})

test('PUBACK follows storage and routing', async (t) => {
  await t.test('what is acknowledged waits for an absent subscriber', async (t) => {
    const { client } = await startBroker(t)
    const absent = await client('absent', { clean: false })
    await absent.subscribe('t/#', 1)
    absent.destroy()
    await absent.closed
    const publisher = await client('publisher')
    for (let i = 0; i < 500; i++) {
      publisher.send(
        encodePublish({
          topic: 't/x',
          payload: Buffer.from(`m${i}`),
          qos: 1,
          dup: false,
          retain: false,
          packetId: i + 1,
        }),
      )
    }
    for (let i = 0; i < 500; i++) await publisher.next(PacketType.PUBACK)
    const back = await client('absent', { clean: false })
    assert.deepEqual(await receiveAll(back, 500), numbered('m', 500))
  })

  await t.test('no PUBACK or PUBREC before the sink has stored', async (t) => {
    const sink = new HeldSink()
    sink.hold = true
    const { client } = await startBroker(t, { sink })
    const device = await client('device')
    for (const qos of [1, 2] as const) {
      const topic = 'tenant/a/device/d/telemetry'
      device.send(
        encodePublish({
          topic,
          payload: Buffer.from('{}'),
          qos,
          dup: false,
          retain: false,
          packetId: qos,
        }),
      )
    }
    await sink.took(2)
    await device.ping()
    assert.deepEqual(
      device.unread.map(({ type }) => type),
      [],
    )
    sink.commit()
    assert.equal((await device.next()).type, PacketType.PUBACK)
    assert.equal((await device.next()).type, PacketType.PUBREC)
  })
})

test('a refused subscription is not served later', async (t) => {
  const { client } = await startBroker(t, {
    rules: { tenancy: true, acl: undefined, accountAccess: new Set() },
    listener: { accountAccess: [] },
  })
  const persistent = await client('persistent', { clean: false })
  assert.deepEqual(await persistent.subscribe(['secret/#', 'ok'], 1), [0x80, 0x80])
  persistent.destroy()
  await persistent.closed
  const back = await client('persistent', { clean: false })
  await back.ping()
  assert.deepEqual(back.unread, [])
})

test('three overlapping filters deliver each message once and lose none', async (t) => {
  const { client } = await startBroker(t)
  const subscriber = await client('subscriber', { clean: false })
  await subscriber.subscribe(['t/#', 't/+', 't/x'], 1)
  const publisher = await client('publisher')
  const received = receiveAll(subscriber, 2000)
  for (let i = 0; i < 2000; i++) {
    publisher.send(
      encodePublish({
        topic: 't/x',
        payload: Buffer.from(`m${i}`),
        qos: 1,
        dup: false,
        retain: false,
        packetId: i + 1,
      }),
    )
  }
  assert.deepEqual(await received, numbered('m', 2000))
  await subscriber.ping()
  assert.deepEqual(subscriber.unread, [])
})

test('a stalled subscriber delays nobody, and its backlog harms nobody', async (t) => {
  const { client } = await startBroker(t, { limits: { maxSocketBacklogBytes: 65_536 } })
  const stalled = await client('stalled')
  await stalled.subscribe('flood/#', 0)
  stalled.stream.pause()
  const subscriber = await client('subscriber')
  await subscriber.subscribe('t/#', 1)
  const flooders = await Promise.all(Array.from({ length: 20 }, (_, i) => client(`flooder-${i}`)))
  const payload = Buffer.alloc(1024)
  for (const flooder of flooders) {
    for (let i = 0; i < 1000; i++) {
      flooder.send(
        encodePublish({
          topic: 'flood/x',
          payload,
          qos: 0,
          dup: false,
          retain: false,
          packetId: 0,
        }),
      )
    }
  }
  const publisher = await client('publisher')
  const received = receiveAll(subscriber, 500)
  for (let i = 0; i < 500; i++) {
    publisher.send(
      encodePublish({
        topic: 't/x',
        payload: Buffer.from(`m${i}`),
        qos: 1,
        dup: false,
        retain: false,
        packetId: i + 1,
      }),
    )
  }
  assert.deepEqual(await received, numbered('m', 500))
  for (let i = 0; i < 500; i++) await publisher.next(PacketType.PUBACK)
  await Promise.all(flooders.map((flooder) => flooder.ping()))
})

test('a delivery never has a QoS above the one granted', async (t) => {
  for (const retain of [false, true]) {
    await t.test(retain ? 'retained' : 'live', async (t) => {
      const { client } = await startBroker(t)
      const [zero, one] = [await client('zero'), await client('one')]
      const publisher = await client('publisher')
      if (retain) await publisher.publish('w/x', 'm', { qos: 2, retain })
      await zero.subscribe('w/#', 0)
      await one.subscribe('w/+', 1)
      if (!retain) await publisher.publish('w/x', 'm', { qos: 2 })
      assert.equal((await zero.receive()).qos, 0)
      assert.equal((await one.receive()).qos, 1)
    })
  }
})

test('names of object members are ordinary Client Identifiers and topics', async (t) => {
  const { client } = await startBroker(t)
  const bystander = await client('bystander')
  await bystander.subscribe('#', 0)
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    const one = await client(name, { clean: false })
    assert.deepEqual(await one.subscribe(['a', name], 1), [1, 1])
    await one.publish(name, 'm', { qos: 1 })
    assert.equal((await one.receive()).topic, name)
    assert.equal((await bystander.receive()).topic, name)
    one.destroy()
  }
})

test('a burst of PUBREL, known and unknown, is answered and harms nobody', async (t) => {
  const { client } = await startBroker(t)
  const one = await client('one')
  const packetId = 7
  one.send(
    encodePublish({
      topic: 't',
      payload: Buffer.from('m'),
      qos: 2,
      dup: false,
      retain: false,
      packetId,
    }),
  )
  await one.next(PacketType.PUBREC)
  const pubrel = encodeAcknowledgement(PacketType.PUBREL, packetId)
  one.send(Buffer.concat([pubrel, pubrel, pubrel, encodeAcknowledgement(PacketType.PUBREL, 9)]))
  for (let i = 0; i < 4; i++) await one.next(PacketType.PUBCOMP)
  await one.ping()
})

test('a Will of QoS 3 ends that connection only [MQTT-3.1.2-14]', async (t) => {
  const { client, raw } = await startBroker(t)
  const bystander = await client('bystander')
  const bad = await raw()
  void bad
    .connect({ clientId: 'x', will: { topic: 'w', payload: 'm', qos: 3 } })
    .catch(() => undefined)
  await bad.closed
  await bystander.ping()
})

test('half-open QoS 2 messages of one Session are bounded', async (t) => {
  const { client } = await startBroker(t)
  const one = await client('one')
  for (let packetId = 1; packetId <= 5000; packetId++) {
    one.send(
      encodePublish({
        topic: 't',
        payload: Buffer.from('m'),
        qos: 2,
        dup: false,
        retain: false,
        packetId,
      }),
    )
  }
  await one.closed
  const recs = one.unread.filter(({ type }) => type === PacketType.PUBREC).length
  assert.ok(recs < 5000, `${recs} PUBRECs`)
})

test('a clean Session forgets the Packet Identifiers of QoS 2', async (t) => {
  const { client } = await startBroker(t)
  const subscriber = await client('subscriber')
  await subscriber.subscribe('t', 0)
  for (const text of ['first', 'second']) {
    const one = await client('one')
    one.send(
      encodePublish({
        topic: 't',
        payload: Buffer.from(text),
        qos: 2,
        dup: false,
        retain: false,
        packetId: 1,
      }),
    )
    await one.next(PacketType.PUBREC)
    assert.equal(String((await subscriber.receive()).payload), text)
    one.destroy()
    await one.closed
  }
})
