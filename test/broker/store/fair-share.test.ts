import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FairShare, tenantOfTopic, type Tenant } from '../../../broker/store/fair-share.ts'
import { MemoryStore } from '../../../broker/store/memory.ts'
import { createMessage } from '../../../broker/store/message.ts'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import { RetainedMessages } from '../../../broker/store/retained.ts'
import { message, storeLimits } from './support.ts'

/** Takes one at a time, in turn, until nobody gets any more; what each has then. */
function fill(limit: number, percent: number | undefined, tenants: readonly Tenant[]): number[] {
  const shares = new FairShare(percent === undefined ? {} : { tenantSharePercent: percent })
  let used = 0
  for (let went = true; went; ) {
    went = false
    for (const tenant of tenants) {
      if (used >= limit || !shares.mayTake(tenant, 1, limit - used - 1)) continue
      shares.take(tenant, 1)
      used++
      went = true
    }
  }
  return tenants.map((tenant) => shares.usedBy(tenant))
}

const table: readonly [percent: number | undefined, tenants: Tenant[], shares: number[]][] = [
  [80, ['a'], [800]],
  [80, [undefined], [800]],
  [80, ['a', 'b'], [444, 444]],
  [80, ['a', 'b', undefined], [308, 308, 307]],
  [50, ['a'], [500]],
  [50, ['a', 'b'], [333, 333]],
  [1, ['a'], [10]],
  [100, ['a'], [1000]],
  [undefined, ['a'], [1000]],
]
for (const [percent, tenants, shares] of table) {
  test(`of 1000 with ${percent} %: ${tenants.map(String).join(', ')} get ${shares.join(', ')}`, () => {
    assert.deepEqual(fill(1000, percent, tenants), shares)
  })
}

test('however many tenants take what they can, one more gets something', () => {
  for (const count of [1, 2, 5, 20]) {
    const tenants = Array.from({ length: count }, (_, i) => `t${i}`)
    const left = 10_000 - fill(10_000, 80, tenants).reduce((sum, share) => sum + share, 0)
    assert.ok(left >= Math.floor(10_000 / (1 + 4 * count)), `${count} tenants leave ${left}`)
  }
})

test('what is given back can be taken again, by anyone', () => {
  const shares = new FairShare({ tenantSharePercent: 50 })
  shares.take('a', 50)
  assert.equal(shares.mayTake('a', 1, 49), false)
  assert.equal(shares.mayTake('b', 24, 26), true)
  shares.take('a', -50)
  assert.equal(shares.usedBy('a'), 0)
  assert.equal(shares.mayTake('b', 50, 50), true)
})

test('the tenant of a Topic Name', () => {
  for (const [topic, tenant] of [
    ['tenant/acme/device/d/telemetry', 'acme'],
    ['tenant/acme/', 'acme'],
    ['tenant/__proto__/x', '__proto__'],
    ['tenant//x', ''],
    ['tenant/acme', undefined],
    ['tenants/acme/x', undefined],
    ['$SYS/tenant/acme/x', undefined],
    ['', undefined],
  ] as const) {
    assert.equal(tenantOfTopic(topic), tenant, topic)
  }
})

test('the queue budget: a tenant at its share is refused, another is not', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 100_000, tenantSharePercent: 80 })
  const one = () => message('t', 1, Buffer.alloc(1000))
  let greedy = 0
  while (budget.hold(one(), 'greedy')) greedy++
  assert.ok(budget.usedBytes <= 80_000 && budget.usedBytes > 77_000, `${budget.usedBytes}`)
  const held = one()
  assert.equal(budget.hold(held, 'modest'), true)
  assert.equal(budget.reserve(5000, 'modest'), true)
  budget.release(5000, 'modest')
  budget.letGo(held, 'modest')
  assert.ok(greedy > 40)
})

test('the queue budget: a message of many tenants counts once for all, and once for each', () => {
  const budget = new QueueBudget({ maxQueuedBytesTotal: 10_000, tenantSharePercent: 50 })
  const shared = message('t', 1, Buffer.alloc(1000))
  const place = 96
  for (const tenant of ['a', 'b', undefined, 'a', 'b']) {
    assert.equal(budget.hold(shared, tenant), true)
  }
  assert.equal(budget.usedBytes, shared.bytes + 5 * place)
  assert.throws(() => budget.letGo(shared, 'c'), /nobody holds/u)
  for (const tenant of ['a', 'a', 'b', undefined]) budget.letGo(shared, tenant)
  assert.equal(budget.usedBytes, shared.bytes + place)
  assert.throws(() => budget.letGo(shared, 'a'), /nobody holds/u)
  budget.letGo(shared, 'b')
  assert.equal(budget.usedBytes, 0)
  // Nothing is left at the tenants either: each can have its share again.
  for (const tenant of ['a', 'b']) {
    assert.equal(budget.reserve(5000, tenant), true)
    budget.release(5000, tenant)
  }
})

function retained(topic: string, payload = 'x') {
  return createMessage({ topic, payload: Buffer.from(payload), qos: 1, retain: true })
}

for (const [what, limits] of [
  ['messages', { maxRetainedMessages: 100 }],
  ['bytes', { maxRetainedBytes: 200_000 }],
] as const) {
  test(`retained ${what}: a tenant at its share keeps no more topics, another does`, () => {
    const store = new RetainedMessages(storeLimits({ ...limits, tenantSharePercent: 80 }))
    let count = 0
    while (store.store(retained(`tenant/greedy/${count}`))) count++
    const before = store.size
    assert.equal(before, count)
    assert.equal(store.store(retained('tenant/greedy/0', 'other')), true)
    assert.equal(store.store(retained('tenant/modest/1')), true)
    assert.equal(store.store(retained('of/nobody')), true)
    assert.equal(store.size, before + 2)
    // What it takes away it may put back, and nothing else is left of it.
    for (let i = 0; i < count; i++) store.store(retained(`tenant/greedy/${i}`, ''))
    for (const topic of ['tenant/modest/1', 'of/nobody']) store.store(retained(topic, ''))
    assert.deepEqual([store.size, store.bytes], [0, 0])
    for (let i = 0; i < count; i++) assert.ok(store.store(retained(`tenant/greedy/${i}`)))
    assert.equal(store.store(retained('tenant/greedy/more')), false)
  })
}

test('Sessions: a tenant at its share gets no more, another does, and one that ends makes room', () => {
  const store = new MemoryStore(storeLimits({ maxSessions: 10, tenantSharePercent: 80 }))
  const open = (key: string, tenant: string, clean = false) =>
    store.open(key, { clientId: key, clean, tenant }).session
  for (let i = 0; i < 8; i++) open(`g${i}`, 'greedy')
  assert.throws(() => open('g8', 'greedy'), {
    code: 'TOO_MANY_SESSIONS',
    message: 'tenant "greedy" has 8 of 10 Sessions, its share',
  })
  open('m', 'modest')
  // Those it has are still its own, also with Clean Session.
  open('g0', 'greedy')
  open('g1', 'greedy', true)
  store.drop('g2')
  assert.throws(() => open('g8', 'greedy'), { code: 'TOO_MANY_SESSIONS' })
  store.drop('m')
  assert.ok(open('g8', 'greedy'))
})

test('a share that a reload changes counts what is there', () => {
  const limits = storeLimits({ maxSessions: 10, tenantSharePercent: 100 })
  const store = new MemoryStore(limits)
  const open = (key: string) => store.open(key, { clientId: key, clean: true, tenant: 'a' })
  for (let i = 0; i < 6; i++) open(`${i}`)
  Object.assign(limits, { tenantSharePercent: 50 })
  assert.throws(() => open('more'), { code: 'TOO_MANY_SESSIONS' })
  Object.assign(limits, { tenantSharePercent: 80 })
  open('more')
})
