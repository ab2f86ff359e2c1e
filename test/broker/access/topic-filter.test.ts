import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterWithin, matches, sharedSubscription } from '../../../broker/access/topic-filter.ts'
import { isTopicFilter } from '../../../core/names.ts'

const NO_MATCH: readonly (readonly [filter: string, topic: string])[] = [
  ['', ''],
  ['', 'a'],
  ['a', ''],
  ['#', ''],
  ['+', ''],
  ['a', 'b'],
  ['a', 'A'],
  ['a', 'ab'],
  ['ab', 'a'],
  ['a', 'a/'],
  ['a/', 'a'],
  ['a/b', 'a'],
  ['a', 'a/b'],
  ['a/b', 'a/c'],
  ['a/b/', 'a/b'],
  ['+', 'a/b'],
  ['+', '/a'],
  ['+/+', 'a'],
  ['+/a', 'a'],
  ['a/+', 'a'],
  ['a/+', 'a/b/c'],
  ['a/+/c', 'a/c'],
  ['a/+/c', 'a/b/c/d'],
  ['a/#', 'ab'],
  ['a/#', 'b/a'],
  ['a/b/#', 'a'],
  ['a/+/#', 'a'],
  ['/#', 'a'],
  ['#', '$SYS'],
  ['#', '$SYS/broker/version'],
  ['+/broker/version', '$SYS/broker/version'],
  ['+/#', '$SYS/broker'],
  ['+', '$SYS'],
  ['$SYS/#', 'SYS/broker'],
  ['$SYS/#', '$SYSTEM/x'],
  // Wildcards that do not fill a level are no wildcards.
  ['a#', 'ab'],
  ['a/b#', 'a/bc'],
  ['+a', 'ba'],
  ['a+', 'ab'],
  ['a/#/c', 'a/b/c'],
  ['##', 'a'],
]

const MATCH: readonly (readonly [filter: string, topic: string])[] = [
  ['a', 'a'],
  ['a/b', 'a/b'],
  ['/', '/'],
  ['a/', 'a/'],
  ['#', 'a'],
  ['#', '/'],
  ['#', 'a/b/c'],
  ['#', 'a/$SYS'],
  ['+', 'a'],
  ['+/+', '/'],
  ['+/+', '/a'],
  ['/+', '/a'],
  ['/+', '/'],
  ['a/+', 'a/b'],
  ['a/+', 'a/'],
  ['+/b', '/b'],
  ['a/+/c', 'a/b/c'],
  ['a/+/c', 'a//c'],
  ['a/#', 'a'],
  ['a/#', 'a/'],
  ['a/#', 'a/b'],
  ['a/#', 'a/b/c'],
  ['a/+/#', 'a/b'],
  ['a/+/#', 'a/b/c'],
  ['a/+/#', 'a/'],
  ['+/#', 'a'],
  ['$SYS/#', '$SYS'],
  ['$SYS/#', '$SYS/broker/version'],
  ['$SYS/+/version', '$SYS/broker/version'],
  ['$', '$'],
  ['é/+', 'é/ü'],
]

test('a Topic Filter does not match', async (t) => {
  for (const [filter, topic] of NO_MATCH) {
    await t.test(`${JSON.stringify(filter)} ${JSON.stringify(topic)}`, () => {
      assert.equal(matches(filter, topic), false)
    })
  }
})

test('a Topic Filter matches', async (t) => {
  for (const [filter, topic] of MATCH) {
    await t.test(`${JSON.stringify(filter)} ${JSON.stringify(topic)}`, () => {
      assert.equal(matches(filter, topic), true)
    })
  }
})

/** Every text of up to `levels` levels made of `words`. */
function textsOf(words: readonly string[], levels: number): string[] {
  let longest = words.map((word) => word)
  const all = [...longest]
  for (let i = 1; i < levels; i++) {
    longest = longest.flatMap((text) => words.map((word) => `${text}/${word}`))
    all.push(...longest)
  }
  return all
}

const TOPICS = textsOf(['a', 'b', '', '$x'], 4).filter((topic) => topic !== '')
const FILTERS = textsOf(['a', '', '$x', '+', '#'], 3).filter(isTopicFilter)

/** MQTT 3.1.1 §4.7 level by level, without a thought for speed. */
function matchesByLevels(filter: string, topic: string): boolean {
  if (topic.startsWith('$') !== filter.startsWith('$') && topic.startsWith('$')) return false
  const go = (f: readonly string[], t: readonly string[]): boolean => {
    const [level, ...filterRest] = f
    if (level === undefined) return t.length === 0
    if (level === '#') return true
    const [ours, ...topicRest] = t
    if (ours === undefined) return false
    return (level === '+' || level === ours) && go(filterRest, topicRest)
  }
  return go(filter.split('/'), topic.split('/'))
}

test('every filter of three levels agrees with the specification on every topic of four', () => {
  for (const filter of FILTERS) {
    for (const topic of TOPICS) {
      assert.equal(matches(filter, topic), matchesByLevels(filter, topic), `${filter} ${topic}`)
    }
  }
})

test('a filter is within another exactly when the other matches all it matches', () => {
  // `z` stands for any level neither filter names.
  const topics = textsOf(['a', '', '$x', 'z'], 4).filter((topic) => topic !== '')
  const matched = new Map(
    FILTERS.map((filter) => [filter, topics.filter((topic) => matches(filter, topic))]),
  )
  for (const [inner, topicsOfInner] of matched) {
    for (const outer of FILTERS) {
      const expected = topicsOfInner.every((topic) => matches(outer, topic))
      assert.equal(filterWithin(inner, outer), expected, `${inner} within ${outer}`)
    }
  }
})

test('nothing is within an empty filter, and an invalid one is within nothing', () => {
  assert.equal(filterWithin('a', ''), false)
  assert.equal(filterWithin('', '#'), false)
  assert.equal(filterWithin('a/b', 'a/#/b'), false)
})

test('a shared subscription is taken apart, or known as malformed', async (t) => {
  for (const filter of [
    '$share',
    '$share/',
    '$share/x',
    '$share//a',
    '$share/g/',
    '$share/+/a',
    '$share/#',
    '$share/g#/a',
    '$share/g+h/a',
    '$share/g/$share/h/a',
    '$share/g/$share',
  ]) {
    await t.test(filter, () => assert.equal(sharedSubscription(filter), 'malformed'))
  }
  for (const filter of ['a', '$SYS/#', '$sharex/g/a', '$Share/g/a', 'a/$share/g/b', '#']) {
    await t.test(filter, () => assert.equal(sharedSubscription(filter), undefined))
  }
  assert.deepEqual(sharedSubscription('$share/g/a'), { group: 'g', filter: 'a' })
  assert.deepEqual(sharedSubscription('$share/g/#'), { group: 'g', filter: '#' })
  assert.deepEqual(sharedSubscription('$share/g//'), { group: 'g', filter: '/' })
  assert.deepEqual(sharedSubscription('$share/g/a/b/+'), { group: 'g', filter: 'a/b/+' })
})
