import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMessage, type Message } from '../../../broker/store/message.ts'
import { RetainedMessages } from '../../../broker/store/retained.ts'
import { matches, randomNumbers, storeLimits } from './support.ts'

function retained(topic: string, payload = 'x'): Message {
  return createMessage({ topic, payload: Buffer.from(payload), qos: 1, retain: true })
}

function createRetained(otherwise: Parameters<typeof storeLimits>[0] = {}): RetainedMessages {
  return new RetainedMessages(storeLimits(otherwise))
}

function topicsFor(store: RetainedMessages, filter: string): string[] {
  return store
    .match(filter)
    .map(({ topic }) => topic)
    .toSorted()
}

test('the last message of a topic is kept, an empty payload removes it [MQTT-3.3.1-10]', () => {
  const store = createRetained()
  assert.equal(store.store(retained('a', 'one')), true)
  const second = retained('a', 'two')
  assert.equal(store.store(second), true)
  assert.deepEqual(store.match('a'), [second])
  assert.equal(store.size, 1)
  assert.equal(store.store(retained('a', '')), true)
  assert.deepEqual(store.match('a'), [])
  assert.deepEqual([store.size, store.bytes], [0, 0])
})

test('an empty payload for a topic that has none is no message [MQTT-3.3.1-11]', () => {
  const store = createRetained()
  store.store(retained('a/b'))
  assert.equal(store.store(retained('a', '')), true)
  assert.equal(store.store(retained('a/b/c', '')), true)
  assert.deepEqual(topicsFor(store, '#'), ['a/b'])
  assert.equal(store.size, 1)
})

const topics = [
  '/',
  '//',
  'a',
  'a/',
  'a/b',
  'a//b',
  '/a',
  '$SYS/up',
  '$x',
  'b/$x',
  '__proto__/a',
  'constructor',
]
const table: [filter: string, found: string[]][] = [
  ['', []],
  ['c', []],
  ['a/b/c', []],
  ['A', []],
  ['toString', []],
  ['+/+/+/+', []],
  ['#', ['/', '//', '/a', '__proto__/a', 'a', 'a/', 'a//b', 'a/b', 'b/$x', 'constructor']],
  ['+', ['a', 'constructor']],
  ['+/+', ['/', '/a', '__proto__/a', 'a/', 'a/b', 'b/$x']],
  ['+/+/+', ['//', 'a//b']],
  ['+/#', ['/', '//', '/a', '__proto__/a', 'a', 'a/', 'a//b', 'a/b', 'b/$x', 'constructor']],
  ['a/#', ['a', 'a/', 'a//b', 'a/b']],
  ['a/+', ['a/', 'a/b']],
  ['a//+', ['a//b']],
  ['/#', ['/', '//', '/a']],
  ['/+', ['/', '/a']],
  ['+/a', ['/a', '__proto__/a']],
  ['$SYS/#', ['$SYS/up']],
  ['$SYS/+', ['$SYS/up']],
  ['+/up', []],
  ['$x/#', ['$x']],
  ['__proto__/+', ['__proto__/a']],
  ['constructor', ['constructor']],
]
for (const [filter, found] of table) {
  test(`${JSON.stringify(filter)} finds ${JSON.stringify(found)} of the retained messages`, () => {
    const store = createRetained()
    for (const topic of topics) store.store(retained(topic))
    assert.deepEqual(topicsFor(store, filter), found)
  })
}

test('random topics and filters: the same messages as comparing each topic', () => {
  const random = randomNumbers(1883)
  const words = ['a', 'b', '', '$x', 'constructor', '__proto__']
  const text = (wildcards: boolean) => {
    const levels = Array.from({ length: 1 + random.below(4) }, () =>
      wildcards && random.below(3) === 0 ? '+' : words[random.below(words.length)],
    )
    if (wildcards && random.below(4) === 0) levels.push('#')
    return levels.join('/')
  }
  for (let round = 0; round < 60; round++) {
    const store = createRetained()
    const held = new Map<string, Message>()
    for (let i = 0; i < 80; i++) {
      const topic = text(false)
      const message = retained(topic, random.below(3) === 0 ? '' : `${i}`)
      assert.equal(store.store(message), true)
      if (message.payload.length === 0) held.delete(topic)
      else held.set(topic, message)
    }
    assert.equal(store.size, held.size)
    for (let i = 0; i < 60; i++) {
      const filter = text(true)
      const expected = [...held.keys()].filter((topic) => matches(filter, topic)).toSorted()
      assert.deepEqual(
        topicsFor(store, filter),
        expected,
        `${filter} in ${[...held.keys()].join(' ')}`,
      )
    }
    for (const topic of held.keys()) store.store(retained(topic, ''))
    assert.deepEqual([store.size, store.bytes], [0, 0])
  }
})

test('at the bound of messages a new topic is refused and a known one still replaced', () => {
  const store = createRetained({ maxRetainedMessages: 3 })
  for (const topic of ['a', 'b', 'c']) assert.equal(store.store(retained(topic)), true)
  assert.equal(store.store(retained('d')), false)
  assert.equal(store.store(retained('b', 'new')), true)
  assert.equal(store.store(retained('e', '')), true)
  assert.equal(store.match('b')[0]?.payload.toString(), 'new')
  assert.deepEqual(topicsFor(store, '#'), ['a', 'b', 'c'])
  store.store(retained('a', ''))
  assert.equal(store.store(retained('d')), true)
})

test('the bound of bytes is reached and never exceeded, whatever the topics look like', () => {
  const random = randomNumbers(7)
  const store = createRetained({ maxRetainedBytes: 100_000 })
  let refused = 0
  for (let i = 0; i < 2000; i++) {
    const topic = Array.from({ length: 1 + random.below(60) }, () => random.below(3)).join('/')
    if (!store.store(retained(topic, 'x'.repeat(1 + random.below(2000))))) refused++
    assert.ok(store.bytes <= 100_000, `${store.bytes}`)
    assert.equal(store.size, store.match('#').length)
  }
  assert.ok(refused > 100)
  assert.ok(store.bytes > 80_000)
})

test('a replacement within the bytes is taken; one beyond leaves neither itself nor the old value', () => {
  const store = createRetained({ maxRetainedBytes: 2000 })
  assert.equal(store.store(retained('a', 'x'.repeat(500))), true)
  assert.equal(store.store(retained('a', 'x'.repeat(1000))), true)
  assert.equal(store.store(retained('a', 'x'.repeat(3000))), false)
  assert.deepEqual(store.match('a'), [], 'a value known to be old is not served')
  assert.equal(store.bytes, 0)
})

test('a topic of 200 levels counts for what the tree under it takes', () => {
  const store = createRetained()
  store.store(retained(`${'a/'.repeat(199)}a`))
  assert.ok(store.bytes > 200 * 200)
})

test('a tree deeper than any stack is searched without recursion', () => {
  const store = createRetained()
  store.store(retained('a/'.repeat(20_000)))
  assert.equal(store.match('#').length, 1)
  assert.equal(store.match('a/+/#').length, 1)
})

test('a retained payload does not hold on to the chunk it was read in', () => {
  const store = createRetained()
  const payload = Buffer.alloc(65_536, 'y').subarray(0, 10)
  store.store(createMessage({ topic: 'a', payload, qos: 0, retain: true }))
  const [message] = store.match('a')
  assert.equal(message?.payload.toString(), 'yyyyyyyyyy')
  assert.equal(message?.payload.buffer.byteLength, 10)
})
