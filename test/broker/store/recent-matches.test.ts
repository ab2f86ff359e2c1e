import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecentMatches } from '../../../broker/store/recent-matches.ts'

test('it never holds more than two generations and one entry', () => {
  const recent = new RecentMatches<number>(10, () => 1)
  for (let i = 0; i < 1000; i++) {
    recent.set(`t${i}`, i)
    assert.ok(recent.size <= 20)
  }
  assert.equal(recent.get('t999'), 999)
  assert.equal(recent.get('t0'), undefined)
})

test('heavy entries push others out sooner', () => {
  const recent = new RecentMatches<number>(10, (_, value) => value)
  for (let i = 0; i < 5; i++) recent.set(`heavy${i}`, 100)
  assert.ok(recent.size <= 2)
})

test('what is asked for again survives', () => {
  const recent = new RecentMatches<number>(10, () => 1)
  recent.set('wanted', 7)
  for (let i = 0; i < 100; i++) {
    recent.set(`t${i}`, i)
    assert.equal(recent.get('wanted'), 7)
  }
})

test('nothing is left after clear', () => {
  const recent = new RecentMatches<number>(2, () => 1)
  for (let i = 0; i < 4; i++) recent.set(`t${i}`, i)
  recent.clear()
  assert.equal(recent.size, 0)
  for (let i = 0; i < 4; i++) assert.equal(recent.get(`t${i}`), undefined)
})
