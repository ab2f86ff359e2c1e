import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import { message } from './support.ts'

test('a message held by many counts its bytes once and a place for each', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e6 })
  const shared = message('t', 1, 'x'.repeat(10_000))
  budget.hold(shared)
  const one = budget.usedBytes
  assert.ok(one >= shared.bytes)
  budget.hold(shared)
  const place = budget.usedBytes - one
  assert.ok(place > 0 && place < 200, `${place}`)
  budget.letGo(shared)
  assert.equal(budget.usedBytes, one)
  budget.letGo(shared)
  assert.equal(budget.usedBytes, 0)
})

test('the limit is reached and never exceeded; a refusal takes nothing', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 10_000 })
  const held = []
  for (let i = 0; i < 100; i++) {
    const each = message('t', 1, 'x'.repeat(i * 10))
    const before = budget.usedBytes
    if (budget.hold(each)) held.push(each)
    else assert.equal(budget.usedBytes, before)
    assert.ok(budget.usedBytes <= 10_000)
  }
  assert.ok(held.length > 5 && held.length < 100)
  for (const each of held) budget.letGo(each)
  assert.equal(budget.usedBytes, 0)
})

test('letting go of what nobody holds is a bug and says so', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 10_000 })
  const each = message('t')
  budget.hold(each)
  budget.letGo(each)
  assert.throws(() => budget.letGo(each), /nobody holds/)
})
