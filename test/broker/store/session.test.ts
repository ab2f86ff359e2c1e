import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QoS } from '../../../broker/store/message.ts'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import { MAX_RECEIVING } from '../../../broker/store/session.ts'
import { FakeLink, LIVE, always, createSession, message } from './support.ts'

const QUALITIES: QoS[] = [0, 1, 2]
test('QoS 2 messages that await PUBREL are bounded, and told from repeated ones', () => {
  const session = createSession()
  assert.equal(session.beginReceive(5), 'new')
  assert.equal(session.beginReceive(5), 'duplicate')
  for (let id = 100; id < 99 + MAX_RECEIVING; id++) assert.equal(session.beginReceive(id), 'new')
  assert.equal(session.beginReceive(6), 'too_many')
  assert.equal(session.beginReceive(5), 'duplicate')
  assert.equal(session.endReceive(5), true)
  assert.equal(session.endReceive(5), false)
  assert.equal(session.beginReceive(6), 'new')
})

test('memory kept beside the queue counts at the same bounds and ends with the Session', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e6 })
  const session = createSession({ maxQueuedBytes: 10_000, budget })
  assert.equal(session.reserve(8000), true)
  assert.equal(session.reserve(8000), false)
  assert.equal(session.deliver(message('t', 1, 'x'.repeat(3000)), 1, LIVE), 'dropped_queue_bytes')
  session.release(8000)
  assert.equal(session.reserve(9000), true)
  session.end()
  assert.equal(session.reserve(1), false)
  session.release(9000)
  assert.equal(budget.usedBytes, 0)
})

test('what the client may not receive is not sent, not queued and not in flight', () => {
  const session = createSession()
  const link = new FakeLink()
  session.attach(link, (topic) => topic !== 'secret')
  for (const qos of QUALITIES) {
    assert.equal(session.deliver(message('secret', qos), qos, LIVE), 'refused')
    assert.equal(session.deliver(message('secret', qos), qos, { retained: true }), 'refused')
  }
  assert.deepEqual(link.sent, [])
  assert.equal(session.isEmpty, true)
})

test('a right lost while the client was away holds for its queue and for what is sent again', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e6 })
  const session = createSession({ budget, maxInflightMessages: 3 })
  session.attach(new FakeLink(), always)
  for (const topic of ['a', 'secret', 'b', 'secret', 'c', 'secret', 'd']) {
    session.deliver(message(topic), 1, LIVE)
  }
  session.detach()
  const link = new FakeLink()
  session.attach(link, (topic) => topic !== 'secret')
  assert.deepEqual(link.sent, ['1+:a#1', '1+:b#3', '1:c#4'])
  assert.equal(session.puback(2), 'unknown')
  for (const id of [1, 3, 4]) session.puback(id)
  assert.deepEqual(link.topics, ['a', 'b', 'c', 'd'])
  session.puback(5)
  assert.equal(budget.usedBytes, 0)
})

test('a right lost while a message waits for the window holds at the moment of sending', () => {
  const session = createSession({ maxInflightMessages: 1 })
  const link = new FakeLink()
  let isAllowed = true
  session.attach(link, (topic) => topic !== 'secret' || isAllowed)
  for (const topic of ['a', 'secret', 'b']) session.deliver(message(topic), 1, LIVE)
  isAllowed = false
  session.puback(1)
  assert.deepEqual(link.topics, ['a', 'b'])
})

test('a clean Session is over with its connection and gives everything back', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e6 })
  const session = createSession({ clean: true, budget, maxInflightMessages: 2 })
  session.attach(new FakeLink(), always)
  for (let i = 0; i < 5; i++) session.deliver(message('t', 2), 2, LIVE)
  session.pubrec(1)
  session.beginReceive(9)
  session.detach()
  assert.equal(session.ended, true)
  assert.equal(session.isEmpty, true)
  assert.deepEqual([budget.usedBytes, budget.queuedMessages], [0, 0])
  assert.equal(session.deliver(message('t'), 1, LIVE), 'dropped_absent')
  const link = new FakeLink()
  assert.equal(session.attach(link, always), false)
  assert.deepEqual(link.sent, [])
})

test('an old connection that closes late does not cut the new one off', () => {
  const session = createSession()
  const [older, newer] = [new FakeLink(), new FakeLink()]
  session.attach(older, always)
  session.attach(newer, always)
  session.detach(older)
  assert.equal(session.connected, true)
  session.deliver(message('t'), 1, LIVE)
  assert.deepEqual([older.sent, newer.sent], [[], ['1:t#1']])
})

test('a payload in flight lets go of its chunk, and of the pool once the client is away', () => {
  const chunk = Buffer.alloc(65_536, 'z')
  const session = createSession({ maxInflightMessages: 1 })
  const sent = message('a', 1, chunk.subarray(0, 50))
  const queued = message('b', 1, chunk.subarray(50, 100))
  const passing = message('c', 0, chunk.subarray(100, 150))
  session.attach(new FakeLink(), always)
  session.deliver(passing, 1, LIVE)
  session.deliver(sent, 1, LIVE)
  session.deliver(queued, 1, LIVE)
  assert.equal(passing.payload.buffer, chunk.buffer, 'QoS 0 only passes through')
  assert.notEqual(sent.payload.buffer, chunk.buffer)
  assert.equal(queued.payload.buffer.byteLength, 50)
  session.detach()
  assert.equal(sent.payload.buffer.byteLength, 50)
  assert.equal(sent.payload.toString(), 'z'.repeat(50))
})

test('a Link that answers within the call gets a long queue in order, without recursion', () => {
  const session = createSession({
    maxInflightMessages: 2,
    maxQueuedMessages: 1e6,
    maxQueuedBytes: 1e9,
  })
  const link = new FakeLink()
  const send = link.sendPublish.bind(link)
  link.sendPublish = (sent, options) => {
    send(sent, options)
    session.puback(options.packetId)
  }
  for (let i = 0; i < 30_000; i++) session.deliver(message(`t${i}`), 1, LIVE)
  session.attach(link, always)
  for (let i = 30_000; i < 31_000; i++) session.deliver(message(`t${i}`), 1, LIVE)
  assert.deepEqual(
    link.topics,
    Array.from({ length: 31_000 }, (_, i) => `t${i}`),
  )
  assert.equal(session.isEmpty, true)
})

test('a Link that ends within the call leaves the rest queued for the next one', () => {
  const session = createSession()
  for (let i = 0; i < 5; i++) session.deliver(message(`t${i}`), 1, LIVE)
  const first = new FakeLink()
  const send = first.sendPublish.bind(first)
  first.sendPublish = (sent, options) => {
    send(sent, options)
    if (first.publishes.length === 2) session.detach(first)
  }
  session.attach(first, always)
  const second = new FakeLink()
  session.attach(second, always)
  assert.deepEqual(first.sent, ['1:t0#1', '1:t1#2'])
  assert.deepEqual(second.sent, ['1+:t0#1', '1+:t1#2', '1:t2#3', '1:t3#4', '1:t4#5'])
})
