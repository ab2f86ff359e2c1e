import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryStore } from '../../../broker/store/memory.ts'
import type { QoS } from '../../../broker/store/message.ts'
import type { Session } from '../../../broker/store/session.ts'
import { FakeLink, LIVE, always, message, storeLimits } from './support.ts'

function createStore(otherwise: Parameters<typeof storeLimits>[0] = {}): MemoryStore {
  return new MemoryStore(storeLimits(otherwise))
}

function open(store: MemoryStore, key: string, clean = false): Session {
  return store.open(key, { clientId: key, clean }).session
}

/** As the router does it. */
function publish(store: MemoryStore, topic: string, qos: QoS = 1): void {
  const sent = message(topic, qos)
  for (const [session, granted] of store.match(topic)) session.deliver(sent, granted, LIVE)
}

// ---- Clean Session and Session Present [MQTT-3.1.2-4 to -6, MQTT-3.2.2-1 to -3]

const lives: [name: string, before: boolean | undefined, clean: boolean, present: boolean][] = [
  ['nothing kept, Clean Session 1', undefined, true, false],
  ['nothing kept, Clean Session 0', undefined, false, false],
  ['a clean Session, then Clean Session 1', true, true, false],
  ['a clean Session, then Clean Session 0', true, false, false],
  ['a kept Session, then Clean Session 1', false, true, false],
  ['a kept Session, then Clean Session 0', false, false, true],
]
for (const [name, before, clean, present] of lives) {
  for (const subscribed of [true, false]) {
    test(`${name}, ${subscribed ? 'with' : 'without'} a subscription: Session Present ${present ? 1 : 0}`, () => {
      const store = createStore()
      let older: Session | undefined
      if (before !== undefined) {
        older = open(store, 'k', before)
        if (subscribed) store.subscribe(older, 't', 1)
      }
      const { session, present: answer } = store.open('k', { clientId: 'k', clean })
      assert.equal(answer, present)
      assert.equal(session === older, present)
      assert.equal(session.clean, clean)
      assert.equal(store.sessions.size, 1)
      assert.equal(store.match('t').size, present && subscribed ? 1 : 0)
      assert.equal(older === undefined || older.ended, !present)
    })
  }
}

test('a clean Session takes its subscriptions and messages with it when its connection ends', () => {
  const store = createStore()
  const session = open(store, 'k', true)
  session.attach(new FakeLink(), always)
  for (const filter of ['a', '#', '$share/g/a']) store.subscribe(session, filter, 2)
  publish(store, 'a', 2)
  session.detach()
  store.close(session)
  assert.equal(store.sessions.size, 0)
  assert.equal(store.match('a').size, 0)
  assert.deepEqual(
    { ...store.counts(), retainedMessages: undefined, retainedBytes: undefined },
    {
      sessions: 0,
      subscriptions: 0,
      sharedSubscriptions: 0,
      queuedMessages: 0,
      queuedBytes: 0,
      retainedMessages: undefined,
      retainedBytes: undefined,
    },
  )
})

test('a kept Session collects messages while its client is away', () => {
  const store = createStore()
  const session = open(store, 'k')
  session.attach(new FakeLink(), always)
  store.subscribe(session, 't', 1)
  store.close(session)
  publish(store, 't')
  publish(store, 't', 0)
  assert.equal(store.counts().queuedMessages, 1)
  const link = new FakeLink()
  assert.equal(store.open('k', { clientId: 'k', clean: false }).present, true)
  session.attach(link, always)
  assert.deepEqual(link.sent, ['1:t#1'])
})

test('the late end of an older connection touches neither a new Session nor a new connection', () => {
  const store = createStore()
  const older = open(store, 'k', true)
  const newer = open(store, 'k')
  store.subscribe(newer, 't', 1)
  store.close(older)
  assert.equal(store.sessions.get('k'), newer)
  assert.equal(store.match('t').size, 1)

  const [first, second] = [new FakeLink(), new FakeLink()]
  newer.attach(first, always)
  newer.attach(second, always)
  store.close(newer, first)
  assert.equal(newer.connected, true)
})

test('a Session that is over can subscribe to nothing', () => {
  const store = createStore()
  const session = open(store, 'k', true)
  open(store, 'k', true)
  assert.equal(store.subscribe(session, 't', 1), false)
  assert.equal(store.match('t').size, 0)
})

test('a dropped Session is gone, connected or not, and its Will with it', () => {
  const store = createStore()
  const session = open(store, 'k')
  const link = new FakeLink()
  session.attach(link, always)
  store.subscribe(session, 't', 1)
  store.putWill('k', message('will'))
  publish(store, 't')
  assert.equal(store.drop('k'), true)
  assert.equal(store.drop('k'), false)
  publish(store, 't')
  assert.deepEqual(link.topics, ['t'])
  assert.deepEqual([store.sessions.size, store.wills.size, store.counts().queuedBytes], [0, 0, 0])
})

test('keys and filters named like members of an object are names like any other', () => {
  const store = createStore()
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    assert.equal(store.open(name, { clientId: name, clean: false }).present, false)
    assert.equal(store.subscribe(open(store, name), name, 1), true)
    assert.deepEqual(
      [...store.match(name).keys()].map(({ key }) => key),
      [name],
    )
    assert.equal(store.deleteWill(name), undefined)
  }
})

// ---- what Aedes gets wrong (1.2.0), excluded here

test('2000 messages through three overlapping filters arrive once each and in order', () => {
  for (const qos of [1, 2] as const) {
    const store = createStore({ maxQueuedMessages: 2000 })
    const session = open(store, 'k')
    for (const filter of ['t/#', 't/+', '+/x']) store.subscribe(session, filter, qos)
    const link = new FakeLink()
    session.attach(link, always)
    const numbers: string[] = []
    for (let i = 0; i < 2000; i++) {
      const sent = message('t/x', qos, `${i}`)
      for (const [each, granted] of store.match('t/x')) each.deliver(sent, granted, LIVE)
    }
    for (let next = link.publishes.shift(); next !== undefined; next = link.publishes.shift()) {
      numbers.push(next.message.payload.toString())
      const { packetId } = next.options
      if (qos === 1) assert.equal(session.puback(packetId), 'done')
      else assert.deepEqual([session.pubrec(packetId), session.pubcomp(packetId)], ['done', 'done'])
    }
    assert.deepEqual(
      numbers,
      Array.from({ length: 2000 }, (_, i) => `${i}`),
    )
    assert.equal(store.counts().queuedBytes, 0)
  }
})

test('a message is delivered with the highest QoS granted to any matching filter, and no higher', () => {
  const store = createStore()
  const session = open(store, 'k')
  const link = new FakeLink()
  session.attach(link, always)
  store.subscribe(session, 'w/#', 1)
  store.subscribe(session, 'w/+', 0)
  publish(store, 'w/x', 2)
  assert.deepEqual(link.sent, ['1:w/x#1'])
})

test('a subscription that was refused gets nothing, now or later', () => {
  const store = createStore({ maxSubscriptionsPerSession: 1 })
  const session = open(store, 'k')
  assert.equal(store.subscribe(session, 'ok', 1), true)
  assert.equal(store.subscribe(session, 'secret/#', 1), false)
  publish(store, 'secret/x')
  assert.equal(session.queued, 0)
  assert.deepEqual([...session.subscriptions.keys()], ['ok'])
})

test('one subscriber that takes nothing delays no other', () => {
  const store = createStore()
  const [slow, quick] = [open(store, 'slow'), open(store, 'quick')]
  const [stuck, link] = [new FakeLink(), new FakeLink()]
  stuck.backlogBytes = 1e9
  slow.attach(stuck, always)
  quick.attach(link, always)
  for (const session of [slow, quick]) store.subscribe(session, 't', 0)
  for (let i = 0; i < 500; i++) publish(store, 't', 0)
  assert.deepEqual([stuck.sent.length, link.sent.length], [0, 500])
})

test('whatever the order of QoS and RETAIN, nothing that overtakes makes another message drop', () => {
  const store = createStore()
  const session = open(store, 'k')
  const link = new FakeLink()
  session.attach(link, always)
  store.subscribe(session, 't/#', 1)
  for (let i = 0; i < 200; i++) {
    publish(store, `t/${i}/one`, 1)
    publish(store, `t/${i}/zero`, 0)
  }
  for (let id = 1; session.inflight > 0; id++) session.puback(id)
  const expected = (word: string) => Array.from({ length: 200 }, (_, i) => `t/${i}/${word}`)
  assert.deepEqual(
    link.topics.filter((topic) => topic.endsWith('one')),
    expected('one'),
  )
  assert.deepEqual(
    link.topics.filter((topic) => topic.endsWith('zero')),
    expected('zero'),
  )
})

test('a group of absent members queues each message for one of them', () => {
  const store = createStore()
  const [a, b] = [open(store, 'a'), open(store, 'b')]
  for (const session of [a, b]) store.subscribe(session, '$share/g/t', 1)
  for (let i = 0; i < 4; i++) publish(store, 't')
  assert.deepEqual([a.queued, b.queued], [2, 2])
  const link = new FakeLink()
  b.attach(link, always)
  for (let i = 0; i < 4; i++) publish(store, 't')
  assert.equal(a.queued, 2)
  assert.equal(link.topics.length, 6)
})
