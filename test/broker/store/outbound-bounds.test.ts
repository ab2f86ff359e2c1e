import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DeliveryOutcome } from '../../../broker/store/link.ts'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import { FakeLink, LIVE, always, createSession, message } from './support.ts'

test('a full queue drops the newest message and keeps the others', () => {
  const session = createSession({ maxQueuedMessages: 3 })
  const outcomes = [1, 2, 3, 4, 5].map((i) => session.deliver(message(`t${i}`), 1, LIVE))
  const dropped = 'dropped_queue_messages'
  assert.deepEqual(outcomes, ['queued', 'queued', 'queued', dropped, dropped])
  const link = new FakeLink()
  session.attach(link, always)
  assert.deepEqual(link.topics, ['t1', 't2', 't3'])
})

test('the bytes queued for one Session reach their bound and never exceed it', () => {
  const session = createSession({ maxQueuedBytes: 10_000, maxInflightMessages: 1 })
  const outcomes = new Set<DeliveryOutcome>()
  for (let i = 0; i < 50; i++) {
    outcomes.add(session.deliver(message('t', 1, 'x'.repeat(i * 20)), 1, LIVE))
    assert.ok(session.queuedBytes <= 10_000)
  }
  assert.deepEqual([...outcomes], ['queued', 'dropped_queue_bytes'])
  assert.ok(session.queuedBytes > 9000)
  session.attach(new FakeLink(), always)
  for (let id = 1; session.queued > 0; id++) session.puback(id)
  assert.equal(session.queuedBytes, 0)
})

test('the budget bounds all Sessions together, and what one gives back another can use', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 20_000 })
  const sessions = Array.from({ length: 5 }, (_, i) => createSession({ budget, key: `k${i}` }))
  let queued = 0
  for (let i = 0; i < 100; i++) {
    const session = sessions[i % 5]
    const outcome = session?.deliver(message('t', 1, 'x'.repeat(500)), 1, LIVE)
    if (outcome === 'queued') queued++
    else assert.equal(outcome, 'dropped_budget')
    assert.ok(budget.usedBytes <= 20_000)
  }
  assert.equal(budget.queuedMessages, queued)
  assert.ok(queued > 10 && queued < 40)
  sessions[0]?.end()
  assert.equal(sessions[1]?.deliver(message('t', 1, 'x'.repeat(500)), 1, LIVE), 'queued')
  for (const session of sessions) session.end()
  assert.deepEqual([budget.usedBytes, budget.queuedMessages], [0, 0])
})

test('with the budget used up by absent clients a connected one still gets message by message', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 2000 })
  const absent = createSession({ budget })
  while (absent.deliver(message('t', 1, 'x'.repeat(100)), 1, LIVE) === 'queued');
  const session = createSession({ budget, key: 'other' })
  const link = new FakeLink()
  session.attach(link, always)
  const large = () => message('t', 1, 'x'.repeat(1500))
  for (let i = 1; i <= 5; i++) {
    assert.equal(session.deliver(large(), 1, LIVE), 'sent')
    assert.equal(session.deliver(large(), 1, LIVE), 'dropped_budget')
    assert.ok(budget.usedBytes <= 2000)
    session.puback(i)
  }
  absent.end()
  assert.equal(budget.usedBytes, 0)
})

test('a message queued for a thousand Sessions counts its payload once', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1_000_000 })
  const shared = message('t', 1, 'x'.repeat(100_000))
  for (let i = 0; i < 1000; i++) {
    assert.equal(createSession({ budget, key: `k${i}` }).deliver(shared, 1, LIVE), 'queued')
  }
})

test('QoS 0 is dropped while the socket is at its bound, and sent below it', () => {
  const session = createSession({ maxSocketBacklogBytes: 1000 })
  const link = new FakeLink()
  session.attach(link, always)
  link.backlogBytes = 1000
  assert.equal(session.deliver(message('t', 0), 0, LIVE), 'dropped_backlog')
  link.backlogBytes = 999
  assert.equal(session.deliver(message('t', 0), 0, LIVE), 'sent')
})

test('while the socket is at its bound one message is in flight, and each PUBACK lets one out', () => {
  const session = createSession({ maxSocketBacklogBytes: 1000 })
  const link = new FakeLink()
  session.attach(link, always)
  link.backlogBytes = 5000
  const outcomes = [1, 2, 3, 4, 5].map((i) => session.deliver(message(`t${i}`), 1, LIVE))
  assert.deepEqual(outcomes, ['sent', 'queued', 'queued', 'queued', 'queued'])
  for (const id of [1, 2, 3]) session.puback(id)
  assert.deepEqual(link.topics, ['t1', 't2', 't3', 't4'])
  link.backlogBytes = 0
  session.puback(4)
  session.deliver(message('t6'), 1, LIVE)
  assert.deepEqual(link.topics, ['t1', 't2', 't3', 't4', 't5', 't6'])
})

test('sending again follows the socket too, and ends without any other event than PUBACK', () => {
  const session = createSession({ maxSocketBacklogBytes: 1000 })
  session.attach(new FakeLink(), always)
  for (let i = 1; i <= 20; i++) session.deliver(message(`t${i}`), 1, LIVE)
  session.detach()
  for (let i = 21; i <= 25; i++) session.deliver(message(`t${i}`), 1, LIVE)
  const link = new FakeLink()
  link.backlogBytes = 1_000_000
  session.attach(link, always)
  for (let id = 1; id <= 25; id++) {
    assert.equal(link.publishes.length, id)
    assert.equal(session.puback(id), 'done')
  }
  const expected = Array.from({ length: 25 }, (_, i) => `1${i < 20 ? '+' : ''}:t${i + 1}#${i + 1}`)
  assert.deepEqual(link.sent, expected)
  assert.equal(session.isEmpty, true)
})

test('a new message does not overtake those that are still to be sent again', () => {
  const session = createSession({ maxSocketBacklogBytes: 1000 })
  session.attach(new FakeLink(), always)
  for (const topic of ['a', 'b', 'c']) session.deliver(message(topic), 1, LIVE)
  session.detach()
  const link = new FakeLink()
  link.backlogBytes = 5000
  session.attach(link, always)
  link.backlogBytes = 0
  assert.equal(session.deliver(message('d'), 1, LIVE), 'queued')
  session.puback(1)
  assert.deepEqual(link.topics, ['a', 'b', 'c', 'd'])
})
