import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RetainedCursor } from '../../../broker/store/retained-cursor.ts'
import { TopicTrie, levelsOf } from '../../../broker/store/topic-trie.ts'
import { matches, randomNumbers } from './support.ts'

const LEVELS = ['a', 'b', '', '$x']
const WILD = [...LEVELS, '+', '+']

function trieOf(topics: Iterable<string>): TopicTrie<string> {
  const trie = new TopicTrie<string>()
  for (const topic of topics) trie.ensure(levelsOf(topic)).value = topic
  return trie
}

function next(cursor: RetainedCursor<string>, steps = 1): string | undefined {
  do cursor.advance(steps)
  while (cursor.current === undefined && !cursor.isDone)
  return cursor.current?.value
}

function rest(cursor: RetainedCursor<string>, steps = 1): string[] {
  const found: string[] = []
  for (let one = next(cursor, steps); one !== undefined; one = next(cursor, steps)) found.push(one)
  return found
}

function randomTopics(random: ReturnType<typeof randomNumbers>): Set<string> {
  const topics = new Set<string>()
  for (let i = 0; i < 25; i++) {
    const depth = 1 + random.below(4)
    const topic = Array.from({ length: depth }, () => LEVELS[random.below(LEVELS.length)])
    if (topic.join('/') !== '') topics.add(topic.join('/'))
  }
  return topics
}

function randomFilter(random: ReturnType<typeof randomNumbers>): string {
  const depth = random.below(4)
  const levels = Array.from({ length: depth }, () => WILD[random.below(WILD.length)])
  return [...levels, random.below(2) === 0 ? '#' : 'a'].join('/')
}

test('any filter over any topics: each that matches, once, in steps of any size', () => {
  const random = randomNumbers(1)
  for (let round = 0; round < 2000; round++) {
    const topics = randomTopics(random)
    const filter = randomFilter(random)
    const cursor = new RetainedCursor(trieOf(topics), filter)
    const wanted = [...topics].filter((topic) => matches(filter, topic)).toSorted()
    for (const topic of topics) {
      assert.equal(cursor.matches(levelsOf(topic)), matches(filter, topic), `${filter} ${topic}`)
    }
    assert.deepEqual(rest(cursor, 1 + random.below(5)).toSorted(), wanted, filter)
    assert.equal(cursor.isDone, true)
  }
})

test('at any place, what it has passed is what it has shown before', () => {
  const random = randomNumbers(2)
  for (let round = 0; round < 500; round++) {
    const topics = randomTopics(random)
    const filter = randomFilter(random)
    const cursor = new RetainedCursor(trieOf(topics), filter)
    const wanted = [...topics].filter((topic) => matches(filter, topic))
    const shown = new Set<string>()
    for (;;) {
      for (const topic of wanted) {
        const hasPassed = shown.has(topic) && cursor.current?.value !== topic
        assert.equal(cursor.hasPassed(levelsOf(topic)), hasPassed, `${filter} ${topic}`)
      }
      if (cursor.isDone) break
      cursor.advance(1)
      if (cursor.current?.value !== undefined) shown.add(cursor.current.value)
    }
  }
})

test('while topics come and go, each that stays is shown once, and none that is gone', () => {
  const random = randomNumbers(3)
  for (let round = 0; round < 500; round++) {
    const topics = randomTopics(random)
    const trie = trieOf(topics)
    const filter = randomFilter(random)
    const cursor = new RetainedCursor(trie, filter)
    const staying = new Set(topics)
    const shown: string[] = []
    for (let one = next(cursor); one !== undefined; one = next(cursor)) {
      assert.ok(trie.find(levelsOf(one))?.value !== undefined, `${one} is gone`)
      shown.push(one)
      const [gone] = [...staying].slice(random.below(staying.size))
      if (gone !== undefined && random.below(2) === 0) {
        staying.delete(gone)
        const node = trie.find(levelsOf(gone))
        if (node !== undefined) node.value = undefined
        trie.prune(levelsOf(gone))
        // As new, at the end of its siblings.
        if (random.below(2) === 0) trie.ensure(levelsOf(gone)).value = gone
      }
    }
    for (const topic of staying) {
      const times = shown.filter((one) => one === topic).length
      assert.equal(times, matches(filter, topic) ? 1 : 0, `${filter} ${topic}`)
    }
  }
})

test('a node whose value has gone while the cursor stands on it shows nothing', () => {
  const trie = trieOf(['a', 'b'])
  const cursor = new RetainedCursor(trie, '#')
  assert.equal(next(cursor), 'a')
  const node = trie.find(['a'])
  assert.ok(node)
  node.value = undefined
  trie.prune(['a'])
  assert.equal(cursor.current?.value, undefined)
  assert.equal(next(cursor), 'b')
})

test('the steps of one call bound the nodes it looks at', () => {
  const topics = Array.from({ length: 1000 }, (_, i) => `${i}/no`)
  const cursor = new RetainedCursor(trieOf([...topics, 'last/yes']), '+/yes')
  let calls = 0
  while (cursor.current === undefined) {
    cursor.advance(10)
    calls++
  }
  assert.ok(calls > 100, `${calls} calls`)
})
