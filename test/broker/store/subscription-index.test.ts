import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QoS } from '../../../broker/store/message.ts'
import { SubscriptionIndex } from '../../../broker/store/subscription-index.ts'
import { matches, randomNumbers } from './support.ts'

class Subscriber {
  readonly name: string
  connected = true

  constructor(name: string) {
    this.name = name
  }

  mayReceive(): boolean {
    return this.connected
  }
}

function createIndex(maxBytes = 1e9): SubscriptionIndex<Subscriber> {
  return new SubscriptionIndex({ maxBytes })
}

function namesFor(index: SubscriptionIndex<Subscriber>, topic: string): string[] {
  return [...index.match(topic).keys()].map(({ name }) => name)
}

const table: [filter: string, topic: string, isMatch: boolean][] = [
  // Not matched.
  ['sport/tennis/player1', 'sport/tennis', false],
  ['sport/tennis', 'sport/tennis/player1', false],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['+', '/finance', false],
  ['+/+', 'finance', false],
  ['sport/#', 'sports', false],
  ['sport/#', 'Sport', false],
  ['ACCOUNTS', 'Accounts', false],
  ['a', 'a/', false],
  ['a', '/a', false],
  ['a/', 'a', false],
  ['/', '//', false],
  ['//', '/', false],
  ['', 'a', false],
  ['#', '$SYS', false],
  ['#', '$SYS/broker/uptime', false],
  ['+', '$SYS', false],
  ['+/monitor/Clients', '$SYS/monitor/Clients', false],
  ['+/#', '$SYS/broker/uptime', false],
  ['$SYS/+', '$SYS/broker/uptime', false],
  ['constructor', 'toString', false],
  ['__proto__/+', 'constructor/a', false],
  ['a\u0301', 'á', false],
  // Matched: the examples of §4.7 first.
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/#', 'sport', true],
  ['#', 'sport/tennis', true],
  ['sport/tennis/+', 'sport/tennis/player1', true],
  ['sport/+', 'sport/', true],
  ['+/tennis/#', 'sport/tennis', true],
  ['sport/+/player1', 'sport/tennis/player1', true],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['$SYS/#', '$SYS/broker/uptime', true],
  ['$SYS/#', '$SYS', true],
  ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
  ['#', '/', true],
  ['+/+', '/', true],
  ['+/+/+', '//', true],
  ['/', '/', true],
  ['//', '//', true],
  ['a//b', 'a//b', true],
  ['a/+/b', 'a//b', true],
  ['/#', '/', true],
  ['#', 'a/$SYS', true],
  ['+/+', 'a/$b', true],
  ['+/#', 'a', true],
  ['constructor', 'constructor', true],
  ['__proto__', '__proto__', true],
  ['__proto__/#', '__proto__/toString', true],
  ['+/hasOwnProperty', 'a/hasOwnProperty', true],
  [' ', ' ', true],
  ['tenant/Ω/😀', 'tenant/Ω/😀', true],
]
for (const [filter, topic, isMatch] of table) {
  test(`${JSON.stringify(filter)} ${isMatch ? 'matches' : 'does not match'} ${topic}`, () => {
    const index = createIndex()
    assert.equal(index.add(filter, new Subscriber('s'), 1), filter !== '')
    assert.equal(index.match(topic).size, isMatch ? 1 : 0)
    assert.equal(matches(filter, topic), isMatch, 'and so does the oracle of the random test')
  })
}

test('overlapping filters give each subscriber once, with the highest of its QoS', () => {
  const index = createIndex()
  const [a, b] = [new Subscriber('a'), new Subscriber('b')]
  index.add('x/y', a, 0)
  index.add('x/#', a, 2)
  index.add('+/y', a, 1)
  index.add('#', b, 1)
  index.add('x/y/#', b, 0)
  assert.deepEqual(
    index.match('x/y'),
    new Map<Subscriber, QoS>([
      [a, 2],
      [b, 1],
    ]),
  )
  index.remove('x/#', a)
  assert.equal(index.match('x/y').get(a), 1)
})

test('the same filter again replaces the QoS, also by a lower one [MQTT-3.8.4-3]', () => {
  const index = createIndex()
  const s = new Subscriber('s')
  index.add('x', s, 2)
  assert.equal(index.match('x').get(s), 2)
  index.add('x', s, 0)
  assert.equal(index.match('x').get(s), 0)
  assert.equal(index.size, 1)
})

test('what was found for a topic is forgotten when a subscription comes or goes', () => {
  const index = createIndex()
  const s = new Subscriber('s')
  assert.equal(index.match('x/y').size, 0)
  index.add('x/#', s, 1)
  assert.equal(index.match('x/y').size, 1)
  index.remove('x/#', s)
  assert.equal(index.match('x/y').size, 0)
})

test('removing what is not there changes nothing', () => {
  const index = createIndex()
  const [a, b] = [new Subscriber('a'), new Subscriber('b')]
  index.add('x/y', a, 1)
  assert.equal(index.remove('x/y', b), false)
  assert.equal(index.remove('x', a), false)
  assert.equal(index.remove('x/y/z', a), false)
  assert.equal(index.remove('$share/g/x/y', a), false)
  assert.equal(index.remove('x/#/y', a), false)
  assert.deepEqual(namesFor(index, 'x/y'), ['a'])
})

test('nothing is left of a subscription that was removed', () => {
  const index = createIndex()
  const s = new Subscriber('s')
  const filters = ['a/b/c', 'a/b', 'a/#', '+/+', '/', '$share/g/a/b/c', '$share/h/a/b/c/d']
  for (const filter of filters) index.add(filter, s, 1)
  assert.equal(index.size, 7)
  assert.equal(index.shared, 2)
  for (const filter of filters) assert.equal(index.remove(filter, s), true)
  assert.deepEqual([index.size, index.shared, index.bytes], [0, 0, 0])
})

test('the bytes of all subscriptions reach their bound and never exceed it', () => {
  const index = createIndex(10_000)
  let filters = 0
  while (index.add(`device/${filters}`, new Subscriber('s'), 1)) {
    filters++
    assert.ok(index.bytes <= 10_000)
  }
  assert.ok(filters > 5 && index.bytes > 9000)
})

test('at its bound the index refuses new subscriptions, keeps old ones and takes them again', () => {
  const s = new Subscriber('s')
  const filters = ['a/b', 'a/c', '$share/g/a/b']
  const measure = createIndex()
  for (const filter of filters) measure.add(filter, s, 1)
  const index = createIndex(measure.bytes)
  for (const filter of filters) assert.equal(index.add(filter, s, 1), true)
  assert.equal(index.add('z', s, 1), false)
  assert.equal(index.add('a/b', new Subscriber('other'), 1), false)
  assert.equal(index.add('$share/h/a/b', s, 1), false)
  for (const filter of filters) assert.equal(index.add(filter, s, 2), true, 'QoS takes no room')
  assert.equal(index.match('a/c').get(s), 2)
  index.remove('a/c', s)
  assert.equal(index.add('z', s, 1), true)
})

test('one filter of 200 levels counts for what its nodes take', () => {
  const index = createIndex()
  index.add(`${'a/'.repeat(199)}a`, new Subscriber('s'), 1)
  assert.ok(index.bytes > 200 * 200)
})

test('a topic deeper than any stack is looked up without recursion', () => {
  const index = createIndex()
  index.add('#', new Subscriber('s'), 0)
  assert.deepEqual(namesFor(index, 'a/'.repeat(30_000)), ['s'])
})

test('more topics than are remembered are still answered right', () => {
  const index = createIndex()
  const s = new Subscriber('s')
  index.add('even/+', s, 1)
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 150_000; i++) {
      const topic = i % 2 === 0 ? `even/${i}` : `odd/${i}`
      if (index.match(topic).size !== (i % 2 === 0 ? 1 : 0)) assert.fail(topic)
    }
  }
})

test('random filters and topics: the same subscribers and QoS as comparing each filter', () => {
  const random = randomNumbers(20_261_122)
  const words = ['a', 'b', '', '$x', 'constructor']
  const level = (wildcards: boolean) =>
    wildcards && random.below(3) === 0 ? '+' : words[random.below(5)]
  const text = (wildcards: boolean) => {
    const levels = Array.from({ length: 1 + random.below(4) }, () => level(wildcards))
    if (wildcards && random.below(4) === 0) levels.push('#')
    return levels.join('/')
  }
  for (let round = 0; round < 60; round++) {
    const index = createIndex()
    const subscribers = Array.from({ length: 5 }, (_, i) => new Subscriber(`s${i}`))
    const held: { filter: string; s: Subscriber; qos: QoS }[] = []
    for (let i = 0; i < 60; i++) {
      const gone = random.below(4) === 0 ? held.splice(random.below(held.length), 1)[0] : undefined
      if (gone !== undefined) assert.equal(index.remove(gone.filter, gone.s), true)
      const filter = text(true)
      const s = subscribers[random.below(5)] as Subscriber
      const qos = random.below(3) as QoS
      if (!index.add(filter, s, qos)) continue
      const known = held.find((each) => each.filter === filter && each.s === s)
      if (known === undefined) held.push({ filter, s, qos })
      else known.qos = qos
    }
    assert.equal(index.size, held.length)
    for (let i = 0; i < 100; i++) {
      const topic = text(false)
      if (topic === '') continue
      const expected = new Map<Subscriber, QoS>()
      for (const { filter, s, qos } of held) {
        if (matches(filter, topic)) expected.set(s, Math.max(qos, expected.get(s) ?? 0) as QoS)
      }
      assert.deepEqual(index.match(topic), expected, `${topic} among ${JSON.stringify(held)}`)
    }
  }
})
