/** More retained messages than a Session may hold, to clients that take them fast, slowly, or not. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { PacketType, parsePublish, TopicMemo } from '../../broker/packets/index.ts'
import { startBroker, type TestBroker } from '../helpers/broker.ts'
import type { RawClient } from '../helpers/raw-client.ts'

const DEVICES = 50_000
const FILTER = 'tenant/+/device/+/shadow/desired'
const PAYLOAD = Buffer.alloc(100, 'x')

const topicOf = (i: number) => `tenant/t${i % 7}/device/${i}/shadow/desired`

async function start(t: TestContext): Promise<TestBroker> {
  const started = await startBroker(t, {
    limits: { maxRetainedMessages: DEVICES, maxRetainedBytes: 256 << 20 },
  })
  for (let i = 0; i < DEVICES; i++) {
    started.broker.publish({ topic: topicOf(i), payload: PAYLOAD, qos: 2, retain: true })
  }
  assert.equal(started.broker.counts().retainedMessages, DEVICES)
  return started
}

/** Receives until each device's message has come. Fails on one that comes twice. */
async function receiveAll(client: RawClient, got = new Set<string>()): Promise<void> {
  while (got.size < DEVICES) {
    const { topic, retain } = await client.receive()
    assert.equal(retain, true)
    assert.ok(!got.has(topic), `${topic} came twice`)
    got.add(topic)
  }
  await client.ping()
  assert.deepEqual(client.unread, [])
}

async function dropped({ metrics }: TestBroker): Promise<readonly unknown[]> {
  return (await metrics.publishDropped.get()).values
}

for (const qos of [0, 1, 2] as const) {
  test(`QoS ${qos}: all of ${DEVICES}, and none dropped`, async (t) => {
    const started = await start(t)
    const client = await started.client('service')
    assert.deepEqual(await client.subscribe(FILTER, qos), [qos])
    await receiveAll(client)
    assert.deepEqual(await dropped(started), [])
  })
}

for (const qos of [0, 1] as const) {
  test(`QoS ${qos}: a reader that stalls costs nobody anything, and has all of them in the end`, async (t) => {
    const started = await start(t)
    const stalled = await started.client('stalled')
    await stalled.subscribe(FILTER, qos)
    stalled.stream.pause()
    const other = await started.client('other')
    await other.subscribe(FILTER, qos)
    await receiveAll(other)
    const { queuedMessages, queuedBytes } = started.broker.counts()
    assert.ok(queuedMessages <= 16, `${queuedMessages} queued`)
    assert.ok(queuedBytes < 100_000, `${queuedBytes} bytes`)
    stalled.stream.resume()
    await receiveAll(stalled)
    assert.deepEqual(await dropped(started), [])
  })
}

test('a connection that takes over goes on where the older one was', async (t) => {
  const started = await start(t)
  const first = await started.client('service', { clean: false })
  await first.subscribe(FILTER, 1)
  const got = new Set<string>()
  while (got.size < 1000) got.add((await first.receive()).topic)
  const second = await started.raw()
  const { sessionPresent } = await second.connect({ clientId: 'service', clean: false })
  assert.equal(sessionPresent, true)
  await first.closed
  while (got.size < DEVICES) got.add((await second.receive()).topic)
  assert.equal(got.size, DEVICES)
  assert.equal(started.broker.counts().queuedMessages, 0)
})

test('with the end of a clean Session nothing is owed any more', async (t) => {
  const started = await start(t)
  const client = await started.client('service')
  await client.subscribe(FILTER, 1)
  await client.receive()
  await client.disconnect()
  const again = await started.client('service')
  await again.ping()
  assert.deepEqual(again.unread, [])
  assert.equal(started.broker.counts().queuedBytes, 0)
})

test('UNSUBSCRIBE in the midst of it: after UNSUBACK come only those that were on their way', async (t) => {
  const started = await start(t)
  const client = await started.client('service')
  await client.subscribe(FILTER, 1)
  for (let i = 0; i < 100; i++) await client.receive()
  const leaving = client.unsubscribe(FILTER)
  let rest = 0
  const receiving = (async () => {
    for (;;) {
      await client.receive()
      rest++
    }
  })()
  await leaving
  const before = rest
  for (let i = 0; i < 5; i++) await client.ping()
  // The window and what stood in the queue.
  assert.ok(rest - before <= 36, `${rest - before} after UNSUBACK`)
  client.destroy()
  await assert.rejects(receiving)
})

test('live messages find room beside them, and no older value follows a newer one', async (t) => {
  const started = await start(t)
  const client = await started.client('service')
  await client.subscribe(FILTER, 0)
  const updates = 2000
  for (let i = 0; i < updates; i++) {
    const topic = topicOf(DEVICES - 1 - i)
    started.broker.publish({ topic, payload: Buffer.from('new'), qos: 1, retain: true })
  }
  started.broker.publish({ topic: topicOf(0), payload: Buffer.from('end'), qos: 0, retain: false })
  const newest = new Map<string, string>()
  const memo = new TopicMemo()
  let isEnd = false
  while (!isEnd || newest.size < DEVICES) {
    const { topic, payload } = parsePublish(await client.next(PacketType.PUBLISH), memo)
    const text = String(payload)
    if (text === 'end') isEnd = true
    else {
      assert.ok(newest.get(topic) !== 'new', `${topic} came again after its newest value`)
      newest.set(topic, text)
    }
  }
  assert.equal([...newest.values()].filter((text) => text === 'new').length, updates)
  assert.deepEqual(await dropped(started), [])
})
