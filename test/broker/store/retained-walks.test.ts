import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../../core/metrics.ts'
import { Router } from '../../../broker/router.ts'
import { MemoryStore } from '../../../broker/store/memory.ts'
import type { Session } from '../../../broker/store/session.ts'
import { FakeLink, always, storeLimits } from './support.ts'

function start(otherwise: Parameters<typeof storeLimits>[0] = {}, checkRetainSource = true) {
  const store = new MemoryStore(storeLimits(otherwise))
  const router = new Router(store, createMetrics(), { checkRetainSource })
  const link = new FakeLink()
  let mayWrite = true
  let asked = 0
  const source = {
    mayStillPublish: () => {
      asked++
      return mayWrite
    },
  }
  return {
    store,
    router,
    link,
    revoke: () => (mayWrite = false),
    asked: () => asked,
    retain: (topic: string, payload = 'x', qos: 0 | 1 | 2 = 2) =>
      router.publish({ topic, payload: Buffer.from(payload), qos, retain: true, source }),
    live: (topic: string, payload: string, qos: 0 | 1 | 2 = 1) =>
      router.publish({ topic, payload: Buffer.from(payload), qos, retain: false }),
    session: (clean = true, mayReceive: (topic: string) => boolean = always) => {
      const { session } = store.open('key', { clientId: 'c', clean })
      session.attach(link, mayReceive)
      return session
    },
    subscribe(session: Session, filter: string, qos: 0 | 1 | 2) {
      store.subscribe(session, filter, qos)
      router.oweRetained(session, filter, qos)
    },
    payloads: () =>
      link.publishes.map(
        ({ message, options }) =>
          `${message.topic}=${String(message.payload)}${options.retain ? ' r' : ''}`,
      ),
  }
}

function walk(session: Session): void {
  while (session.walkRetained());
}

/** Acknowledges one after the other until nothing more comes. */
function acknowledgeAll(session: Session, link: FakeLink): void {
  for (let i = 0; i < link.publishes.length; i++) {
    const packetId = link.publishes[i]?.options.packetId ?? 0
    if (packetId > 0) session.puback(packetId)
    walk(session)
  }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `t/${i}`)

test('QoS 1: all of them as the client acknowledges, with a queue far smaller than that', () => {
  const started = start({ maxQueuedMessages: 5, maxInflightMessages: 3 })
  const { link } = started
  for (const topic of names(500)) started.retain(topic)
  const session = started.session()
  started.subscribe(session, 't/+', 1)
  walk(session)
  assert.deepEqual([session.inflight, session.queued], [3, 5])
  acknowledgeAll(session, link)
  assert.deepEqual(link.topics, names(500))
  assert.ok(link.publishes.every(({ options }) => options.retain && options.qos === 1))
  assert.deepEqual([session.owesRetained, session.queued, session.inflight], [false, 0, 0])
})

test('QoS 0: as the socket drains, leaving room in it for what is live', () => {
  const started = start({ maxSocketBacklogBytes: 4000 })
  const { link } = started
  for (const topic of names(10)) started.retain(topic)
  const session = started.session()
  link.backlogBytes = 1000
  started.subscribe(session, 't/+', 0)
  walk(session)
  assert.deepEqual(link.sent, [])
  started.live('t/3', 'live', 0)
  assert.deepEqual(started.payloads(), ['t/3=x r', 't/3=live'])
  link.backlogBytes = 999
  walk(session)
  assert.equal(link.publishes.length, 11)
  assert.equal(session.owesRetained, false)
})

test('what waits holds no memory of the bounds: a queue full of live messages takes nothing from it', () => {
  const started = start({ maxQueuedMessages: 4, maxInflightMessages: 1 })
  const { link, store } = started
  for (const topic of names(50)) started.retain(topic)
  const session = started.session()
  for (const filter of ['t/+', 'live']) started.subscribe(session, filter, 1)
  for (let i = 0; i < 5; i++) started.live('live', `${i}`)
  walk(session)
  assert.deepEqual([session.queued, store.counts().queuedMessages], [4, 4])
  acknowledgeAll(session, link)
  assert.deepEqual(
    link.topics.filter((topic) => topic !== 'live'),
    names(50),
  )
  assert.deepEqual(started.payloads().slice(0, 5), [
    'live=0',
    'live=1',
    'live=2',
    'live=3',
    'live=4',
  ])
  assert.equal(store.counts().queuedBytes, 0)
})

test('live messages in a stream do not keep retained ones from their turn', () => {
  const started = start({ maxQueuedMessages: 10, maxInflightMessages: 2 })
  const { link } = started
  for (const topic of names(20)) started.retain(topic)
  const session = started.session()
  for (const filter of ['t/+', 'live']) started.subscribe(session, filter, 1)
  for (let i = 0; i < 400; i++) {
    started.live('live', `${i}`)
    const [oldest] = link.publishes.splice(0, 1)
    if (oldest !== undefined) session.puback(oldest.options.packetId)
    walk(session)
  }
  assert.equal(session.owesRetained, false)
})

test('superseded while it waits: the newest value, once; deleted: nothing', () => {
  const started = start({ maxInflightMessages: 1, maxQueuedMessages: 100 })
  const { link } = started
  for (const topic of names(40)) started.retain(topic, 'old')
  const session = started.session()
  started.subscribe(session, 't/+', 1)
  walk(session)
  started.retain('t/38', 'new')
  started.retain('t/39', '')
  acknowledgeAll(session, link)
  const got = started.payloads()
  assert.deepEqual(
    got.filter((one) => one.startsWith('t/38')),
    ['t/38=new'],
  )
  // The message that deletes is a live one, too.
  assert.deepEqual(
    got.filter((one) => one.startsWith('t/39')),
    ['t/39='],
  )
  assert.equal(got.length, 40)
})

test('superseded by one that could not be delivered live: still the newest value', () => {
  const started = start({ maxInflightMessages: 1, maxQueuedMessages: 20 })
  const { link } = started
  for (const topic of names(60)) started.retain(topic, 'old')
  const session = started.session()
  started.subscribe(session, 't/+', 1)
  walk(session)
  for (let i = 0; i < 10; i++) started.live('t/0', 'full')
  started.retain('t/59', 'new')
  acknowledgeAll(session, link)
  assert.deepEqual(
    started.payloads().filter((one) => one.startsWith('t/59')),
    ['t/59=new r'],
  )
})

test('a live message without RETAIN is not followed by the older one retained for its topic', () => {
  const started = start({ maxInflightMessages: 1 })
  const { link } = started
  for (const topic of names(40)) started.retain(topic, 'old')
  const session = started.session()
  for (const filter of ['t/+', 't/39', '+/39']) started.subscribe(session, filter, 1)
  walk(session)
  for (const payload of ['one', 'two']) started.live('t/39', payload)
  acknowledgeAll(session, link)
  assert.deepEqual(
    started.payloads().filter((one) => one.startsWith('t/39')),
    ['t/39=old r', 't/39=one', 't/39=two'],
  )
})

test('what the walk has shown already is not sent again before a live message', () => {
  const started = start({ maxInflightMessages: 2, maxQueuedMessages: 100 })
  const { link } = started
  for (const topic of names(40)) started.retain(topic, 'old')
  const session = started.session()
  started.subscribe(session, 't/+', 1)
  walk(session)
  started.live('t/0', 'live')
  acknowledgeAll(session, link)
  assert.deepEqual(
    started.payloads().filter((one) => one.startsWith('t/0=')),
    ['t/0=old r', 't/0=live'],
  )
})

test('UNSUBSCRIBE ends it, another SUBSCRIBE begins it again [MQTT-3.8.4-3]', () => {
  const started = start({ maxInflightMessages: 1, maxQueuedMessages: 0 })
  const { link, store } = started
  for (const topic of names(3)) started.retain(topic)
  const session = started.session()
  started.subscribe(session, 't/+', 1)
  walk(session)
  store.unsubscribe(session, 't/+')
  assert.equal(session.owesRetained, false)
  acknowledgeAll(session, link)
  assert.deepEqual(link.topics, ['t/0'])
  started.subscribe(session, 't/+', 1)
  walk(session)
  started.subscribe(session, 't/+', 1)
  acknowledgeAll(session, link)
  assert.deepEqual(link.topics, ['t/0', 't/0', 't/0', 't/1', 't/2'])
})

test('a kept Session goes on where it was when its client comes back, a clean one owes nothing', () => {
  for (const clean of [false, true]) {
    const started = start({ maxInflightMessages: 1, maxQueuedMessages: 0 })
    const { link, store } = started
    for (const topic of names(4)) started.retain(topic)
    const session = started.session(clean)
    started.subscribe(session, 't/+', 1)
    walk(session)
    store.close(session, link)
    assert.equal(session.owesRetained, !clean)
    assert.equal(session.walkRetained(), false)
    if (clean) continue
    session.attach(link, always)
    acknowledgeAll(session, link)
    assert.deepEqual(link.sent.slice(0, 2), ['1r:t/0#1', '1+r:t/0#1'])
    assert.deepEqual(link.topics.slice(1), names(4))
  }
})

test('rights are asked for when its turn comes: of the reader and of who published it', () => {
  const started = start({ maxInflightMessages: 1, maxQueuedMessages: 0 })
  const { link } = started
  for (const topic of names(4)) started.retain(topic)
  let mayRead = true
  const session = started.session(true, () => mayRead)
  started.subscribe(session, 't/+', 1)
  walk(session)
  mayRead = false
  session.puback(1)
  while (session.owesRetained) walk(session)
  assert.deepEqual(link.topics, ['t/0'])
  mayRead = true
  started.subscribe(session, 't/+', 1)
  walk(session)
  started.revoke()
  acknowledgeAll(session, link)
  assert.deepEqual(link.topics, ['t/0', 't/0'])
})

test('with the memory of all Sessions used up it goes on one by one', () => {
  const started = start({ maxQueuedBytesTotal: 100 })
  for (const topic of names(30)) started.retain(topic)
  const session = started.session()
  started.subscribe(session, 't/+', 2)
  walk(session)
  assert.equal(session.inflight, 1)
  const { link } = started
  for (let i = 0; i < link.publishes.length; i++) {
    const packetId = link.publishes[i]?.options.packetId ?? 0
    session.pubrec(packetId)
    session.pubcomp(packetId)
    walk(session)
  }
  assert.deepEqual(link.topics, names(30))
})

test('a step looks at a bounded number of nodes, however few of them match', () => {
  const started = start()
  for (let i = 0; i < 5000; i++) started.retain(`t/${i}/no`)
  const session = started.session()
  started.subscribe(session, 't/+/yes', 1)
  let steps = 0
  while (session.walkRetained()) steps++
  assert.ok(steps > 100, `${steps} steps`)
})

test('thousands of walks that wait cost a live message no look at each of them', () => {
  const started = start({ maxInflightMessages: 1, maxQueuedMessages: 50 })
  const { link } = started
  for (const topic of names(5)) started.retain(topic)
  started.retain('a/b/c/d/e/f')
  const session = started.session()
  started.subscribe(session, 't/+', 1)
  walk(session)
  const filters = Array.from({ length: 64 }, (_, n) =>
    ['a', 'b', 'c', 'd', 'e', 'f'].map((level, at) => ((n >> at) & 1 ? '+' : level)).join('/'),
  )
  for (const filter of filters) started.subscribe(session, filter, 1)
  const before = started.asked()
  for (let i = 0; i < 10; i++) started.live('a/b/c/d/e/f', `live ${i}`)
  assert.equal(started.asked() - before, 1)
  acknowledgeAll(session, link)
  const ofTopic = started.payloads().filter((text) => text.startsWith('a/'))
  assert.equal(ofTopic[0], 'a/b/c/d/e/f=x r')
  assert.equal(ofTopic.length, 11)
})
