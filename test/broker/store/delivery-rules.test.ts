import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PLAIN_DELIVERY, type DeliveryRules } from '../../../broker/store/delivery-rules.ts'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import { Session } from '../../../broker/store/session.ts'
import { FakeLink, LIVE, always, message, storeLimits } from './support.ts'

function session(
  rules: Partial<DeliveryRules>,
  clean = false,
  budget = new QueueBudget({ maxQueuedBytesTotal: 1e9 }),
) {
  const delivery = { ...PLAIN_DELIVERY, ...rules }
  return new Session({ key: 'k', clientId: 'c', clean, limits: storeLimits(), budget, delivery })
}

test('QoS 0 is queued for an absent client, in order with the rest', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e9 })
  const one = session({ queueQos0: true }, false, budget)
  for (const [topic, qos] of [
    ['a', 0],
    ['b', 1],
    ['c', 0],
  ] as const) {
    assert.equal(one.deliver(message(topic, qos), qos, LIVE), 'queued')
  }
  const link = new FakeLink()
  one.attach(link, always)
  assert.deepEqual(link.sent, ['0:a', '1:b#1', '0:c'])
  one.puback(1)
  assert.deepEqual([one.queued, one.inflight, budget.usedBytes], [0, 0, 0])
})

test('QoS 0 does not overtake what is queued of it', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e9 })
  const limits = storeLimits({ maxInflightMessages: 1 })
  const delivery = { ...PLAIN_DELIVERY, queueQos0: true }
  const one = new Session({ key: 'k', clientId: 'c', clean: false, limits, budget, delivery })
  for (const [topic, qos] of [
    ['a', 1],
    ['b', 1],
    ['c', 0],
  ] as const) {
    one.deliver(message(topic, qos), qos, LIVE)
  }
  const link = new FakeLink()
  one.attach(link, always)
  assert.equal(one.deliver(message('d', 0), 0, LIVE), 'queued')
  assert.deepEqual(link.sent, ['1:a#1'])
  one.puback(1)
  assert.deepEqual(link.sent, ['1:a#1', '1:b#2', '0:c', '0:d'])
  assert.equal(one.deliver(message('e', 0), 0, LIVE), 'sent')
})

test('without queue_qos0_messages, and for a clean Session, it is dropped', () => {
  assert.equal(session({}).deliver(message('a', 0), 0, LIVE), 'dropped_absent')
  assert.equal(
    session({ queueQos0: true }, true).deliver(message('a', 0), 0, LIVE),
    'dropped_absent',
  )
})

test('max_inflight_bytes: what does not fit waits, and one message always fits', () => {
  const one = session({ maxInflightBytes: 10 })
  const link = new FakeLink()
  one.attach(link, always)
  const big = 'x'.repeat(11)
  assert.equal(one.deliver(message('big', 1, big), 1, LIVE), 'sent')
  assert.equal(one.deliver(message('a', 1, '12345'), 1, LIVE), 'queued')
  assert.equal(one.deliver(message('b', 1, '12345'), 1, LIVE), 'queued')
  assert.equal(one.deliver(message('c', 2, '1'), 2, LIVE), 'queued')
  one.puback(1)
  assert.deepEqual(link.sent, ['1:big#1', '1:a#2', '1:b#3'])
  one.puback(2)
  assert.deepEqual(link.sent.slice(3), ['2:c#4'])
  one.puback(3)
  one.pubrec(4)
  assert.equal(one.deliver(message('big', 1, 'x'.repeat(10)), 1, LIVE), 'sent')
})

test('upgrade_outgoing_qos takes the granted QoS', () => {
  const one = session({ upgradeOutgoingQos: true })
  const link = new FakeLink()
  one.attach(link, always)
  one.deliver(message('a', 0), 2, LIVE)
  one.deliver(message('b', 2), 1, LIVE)
  assert.deepEqual(link.sent, ['2:a#1', '1:b#2'])
})
