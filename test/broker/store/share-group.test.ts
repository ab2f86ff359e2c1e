import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SubscriptionIndex } from '../../../broker/store/subscription-index.ts'

class Subscriber {
  readonly name: string
  connected = true
  may = true

  constructor(name: string) {
    this.name = name
  }

  mayReceive(): boolean {
    return this.connected && this.may
  }
}

function createIndex(maxBytes = 1e9): SubscriptionIndex<Subscriber> {
  return new SubscriptionIndex({ maxBytes })
}

function namesFor(index: SubscriptionIndex<Subscriber>, topic: string): string[] {
  return [...index.match(topic).keys()].map(({ name }) => name)
}

test('a shared subscription gives each message to one member, in turn', () => {
  const index = createIndex()
  const members = ['a', 'b', 'c'].map((name) => new Subscriber(name))
  for (const s of members) index.add('$share/g/t/#', s, 1)
  const got = Array.from({ length: 6 }, () => namesFor(index, 't/x')).flat()
  assert.deepEqual(got, ['a', 'b', 'c', 'a', 'b', 'c'])
})

test('each group, and the same group on another filter, gets its own copy', () => {
  const index = createIndex()
  index.add('$share/g/t', new Subscriber('a'), 1)
  index.add('$share/h/t', new Subscriber('b'), 1)
  index.add('$share/g/+', new Subscriber('c'), 1)
  index.add('t', new Subscriber('d'), 1)
  assert.deepEqual(namesFor(index, 't').toSorted(), ['a', 'b', 'c', 'd'])
})

test('a member that is also subscribed by itself gets the message once, with the higher QoS', () => {
  const index = createIndex()
  const s = new Subscriber('s')
  index.add('t', s, 0)
  index.add('$share/g/t', s, 2)
  assert.deepEqual(index.match('t'), new Map([[s, 2]]))
})

test('a member that may not receive takes no turn; an absent one comes before it', () => {
  const index = createIndex()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new Subscriber(name)) as [
    Subscriber,
    Subscriber,
    Subscriber,
  ]
  for (const s of [a, b, c]) index.add('$share/g/t', s, 1)
  a.may = false
  const next = (count: number) => Array.from({ length: count }, () => namesFor(index, 't')).flat()
  assert.deepEqual(next(4), ['b', 'c', 'b', 'c'])
  b.connected = false
  c.connected = false
  assert.deepEqual(next(4), ['b', 'c', 'b', 'c'])
  b.connected = true
  b.may = false
  c.connected = true
  c.may = false
  assert.deepEqual(next(3), ['a', 'b', 'c'])
})

test('connected members are preferred; with none the message goes to one absent member', () => {
  const index = createIndex()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new Subscriber(name)) as [
    Subscriber,
    Subscriber,
    Subscriber,
  ]
  for (const s of [a, b, c]) index.add('$share/g/t', s, 1)
  b.connected = false
  assert.deepEqual(
    [1, 2, 3, 4].flatMap(() => namesFor(index, 't')),
    ['a', 'c', 'a', 'c'],
  )
  a.connected = false
  assert.deepEqual(
    [1, 2].flatMap(() => namesFor(index, 't')),
    ['c', 'c'],
  )
  c.connected = false
  assert.deepEqual([1, 2, 3].flatMap(() => namesFor(index, 't')).toSorted(), ['a', 'b', 'c'])
})

test('a member that leaves takes no turn with it', () => {
  const index = createIndex()
  const members = ['a', 'b', 'c', 'd'].map((name) => new Subscriber(name))
  for (const s of members) index.add('$share/g/t', s, 1)
  assert.deepEqual(
    [1, 2].flatMap(() => namesFor(index, 't')),
    ['a', 'b'],
  )
  index.remove('$share/g/t', members[0] as Subscriber)
  assert.deepEqual(
    [1, 2, 3].flatMap(() => namesFor(index, 't')),
    ['c', 'd', 'b'],
  )
  for (const s of members) index.remove('$share/g/t', s)
  assert.deepEqual(namesFor(index, 't'), [])
})

test('a shared filter with a wildcard leaves out topics that begin with $', () => {
  const index = createIndex()
  index.add('$share/g/#', new Subscriber('a'), 1)
  assert.deepEqual(namesFor(index, '$SYS/x'), [])
  assert.deepEqual(namesFor(index, '$share/g/x'), [])
  assert.deepEqual(namesFor(index, 'x'), ['a'])
})
