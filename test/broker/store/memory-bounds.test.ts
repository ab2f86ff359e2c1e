import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryStore } from '../../../broker/store/memory.ts'
import type { Session } from '../../../broker/store/session.ts'
import { message, storeLimits } from './support.ts'

function createStore(otherwise: Parameters<typeof storeLimits>[0] = {}): MemoryStore {
  return new MemoryStore(storeLimits(otherwise))
}

function open(store: MemoryStore, key: string, clean = false): Session {
  return store.open(key, { clientId: key, clean }).session
}

test('one Session too many is refused; a known key still gets in', () => {
  const store = createStore({ maxSessions: 3 })
  for (const key of ['a', 'b', 'c']) open(store, key)
  assert.throws(() => open(store, 'd'), {
    name: 'OperationalError',
    code: 'TOO_MANY_SESSIONS',
    message: 'there are 3 Sessions already, and no more may be kept',
  })
  assert.equal(store.open('a', { clientId: 'a', clean: false }).present, true)
  open(store, 'b', true)
  assert.equal(store.sessions.size, 3)
  store.drop('c')
  open(store, 'd')
})

test('one subscription too many is refused; a known filter still gets another QoS', () => {
  const store = createStore({ maxSubscriptionsPerSession: 3 })
  const session = open(store, 'k')
  for (const filter of ['a', 'b', '$share/g/c'])
    assert.equal(store.subscribe(session, filter, 1), true)
  assert.equal(store.subscribe(session, 'd', 1), false)
  assert.equal(store.subscribe(session, 'a', 2), true)
  assert.equal(store.match('a').get(session), 2)
  store.unsubscribe(session, 'b')
  assert.equal(store.subscribe(session, 'd', 1), true)
  assert.deepEqual([session.subscriptions.size, store.counts().subscriptions], [3, 3])
})

test('one Session cannot fill memory with long filters, but any single one fits', () => {
  const store = createStore({ maxSubscriptionsPerSession: 100 })
  const session = open(store, 'k')
  const filter = (i: number) => `${i}/${'a/'.repeat(198)}${'x'.repeat(60_000)}`
  let taken = 0
  while (taken < 100 && store.subscribe(session, filter(taken), 1)) taken++
  assert.ok(taken >= 1 && taken < 10, `${taken}`)
  assert.equal(store.subscribe(session, 'short', 1), true)
  assert.equal(store.subscribe(open(store, 'other'), filter(0), 1), true)
  for (let i = 0; i < taken; i++) store.unsubscribe(session, filter(i))
  assert.equal(store.subscribe(session, filter(99), 1), true)
})

test('all subscriptions together are bounded, and a refused one leaves no trace', () => {
  const store = createStore({ maxSessions: 20, maxSubscriptionsPerSession: 10_000 })
  const session = open(store, 'k')
  let taken = 0
  while (store.subscribe(session, `${taken}/a/b/c/d/e`, 1)) taken++
  assert.ok(taken > 100 && taken < 2000, `${taken}`)
  assert.equal(session.subscriptions.size, taken)
  assert.equal(store.counts().subscriptions, taken)
  assert.equal(store.subscribe(session, '0/a/b/c/d/e', 2), true)
})

test('a malformed filter is refused and leaves no trace', () => {
  const store = createStore()
  const session = open(store, 'k')
  for (const filter of ['', 'a#', '+a', '#/a', '$share/g', '$share//t', 'a/'.repeat(300)]) {
    assert.equal(store.subscribe(session, filter, 1), false)
  }
  assert.equal(session.subscriptions.size, 0)
})

test('as many Wills are kept as Sessions may be, and they hold no chunk', () => {
  const store = createStore({ maxSessions: 2 })
  const will = message('w', 1, Buffer.alloc(65_536).subarray(0, 10))
  store.putWill('a', will)
  store.putWill('b', message('w'))
  assert.throws(() => store.putWill('c', message('w')), { code: 'TOO_MANY_SESSIONS' })
  store.putWill('b', message('w2'))
  assert.equal(store.wills.get('a')?.payload.buffer.byteLength, 10)
  assert.equal(store.deleteWill('b')?.topic, 'w2')
  assert.equal(store.deleteWill('b'), undefined)
})
