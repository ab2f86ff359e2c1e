import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MalformedPacket, TopicMemo } from '../../../broker/packets/index.ts'
import { seededRandom } from './seeded-random.ts'

const read = (memo: TopicMemo, text: string, padding = 0) => {
  const bytes = Buffer.concat([Buffer.alloc(padding, '+'), Buffer.from(text), Buffer.from('+#')])
  return memo.read(bytes, padding, bytes.length - 2)
}

test('topics that differ in one byte, one place or length are told apart', () => {
  const topics = ['a/b', 'a/c', 'b/b', 'a/b/', '/a/b', 'a/', 'a', 'A/b', 'a/é', 'a/è', 'a b', 'ab/']
  const memo = new TopicMemo()
  for (const first of topics) {
    for (const second of topics) {
      for (const topic of [first, second, first, second]) assert.equal(read(memo, topic), topic)
    }
  }
})

test('a bad topic stays bad behind good ones, however often it comes', () => {
  const memo = new TopicMemo()
  for (let i = 0; i < 3; i++) {
    assert.equal(read(memo, 'a/x'), 'a/x')
    for (const bad of ['a/+', 'a/#', '', 'a/\0', '/'.repeat(200)]) {
      assert.throws(() => read(memo, bad), MalformedPacket, bad)
    }
  }
})

test('what the bytes become later does not change what was remembered', () => {
  const memo = new TopicMemo()
  const bytes = Buffer.from('t/1')
  assert.equal(memo.read(bytes, 0, 3), 't/1')
  bytes.write('t/2')
  assert.equal(memo.read(bytes, 0, 3), 't/2')
  bytes.write('t/+')
  assert.throws(() => memo.read(bytes, 0, 3), MalformedPacket)
  bytes.write('t/1')
  assert.equal(memo.read(bytes, 0, 3), 't/1')
})

test('a long topic is read each time', () => {
  const memo = new TopicMemo()
  for (const length of [255, 256, 257, 60_000]) {
    for (const last of ['x', 'y', 'x']) {
      const topic = 't'.repeat(length - 1) + last
      assert.equal(read(memo, topic), topic)
    }
  }
})

test('any sequence of topics reads as what it is', () => {
  const random = seededRandom(7)
  const memo = new TopicMemo()
  const letters = ['a', 'b', '/', 'é', '€', '😀']
  for (let i = 0; i < 20_000; i++) {
    const length = 1 + random(3)
    const topic = Array.from({ length }, () => letters[random(letters.length)]).join('')
    assert.equal(read(memo, topic, random(3)), topic)
  }
})
