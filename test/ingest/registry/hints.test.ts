import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Hints } from '../../../ingest/registry/hints.ts'
import type { DeviceName } from '../../../ingest/registry/records.ts'
import { FakeClock } from '../../helpers/clock.ts'

const named = (deviceId: string): DeviceName => ({ tenantId: 'acme', deviceId })

/** What is asked, in order; `answers`: what the next questions come to, true when there is none left. */
function open(answers: boolean[] = []) {
  const clock = new FakeClock()
  const asked: (readonly string[] | 'everything')[] = []
  const forgotten: string[] = []
  const abort = new AbortController()
  const hints = new Hints({
    clock,
    random: () => 1,
    signal: abort.signal,
    invalidate: (name) => void forgotten.push(name?.deviceId ?? 'everything'),
    look: async (names) => {
      asked.push(names.map(({ deviceId }) => deviceId))
      return answers.shift() ?? true
    },
    lookAtAll: async () => {
      asked.push('everything')
      return answers.shift() ?? true
    },
  })
  return { hints, clock, asked, forgotten, abort }
}

test('what is named in one packet is one query, once each, and forgotten before', async () => {
  const { hints, asked, forgotten } = open()
  for (const id of ['a', 'b', 'a']) hints.take(named(id))
  await turn()
  assert.deepEqual(asked, [['a', 'b']])
  assert.deepEqual(forgotten, ['a', 'b'])
})

test('what comes during a round waits for the next, a moment later', async () => {
  const { hints, clock, asked } = open()
  hints.take(named('a'))
  await turn()
  hints.take(named('b'))
  hints.take(named('c'))
  await turn()
  assert.deepEqual(asked, [['a']])
  clock.advance(100)
  await turn()
  assert.deepEqual(asked, [['a'], ['b', 'c']])
})

test('a flood is one round of 500 devices, and one look at everything', async () => {
  const { hints, clock, asked, forgotten } = open()
  for (let i = 0; i < 10_000; i++) hints.take(named(`d${i}`))
  await turn()
  assert.deepEqual(
    asked.map((one) => (one === 'everything' ? one : one.length)),
    [500, 'everything'],
  )
  assert.equal(forgotten.length, 501)
  clock.advance(60_000)
  await turn()
  assert.equal(asked.length, 2)
})

test('a flood of hints at everything is one look a second', async () => {
  const { hints, clock, asked } = open()
  for (let second = 0; second < 5; second++) {
    for (let i = 0; i < 50; i++) {
      hints.take('everything')
      clock.advance(i === 0 ? 0 : 20)
      await turn()
    }
    assert.equal(asked.length, second + 1)
    clock.advance(20)
    await turn()
  }
})

test('a device does not wait for a look at everything', async () => {
  const { hints, clock, asked, forgotten } = open()
  hints.take('everything')
  await turn()
  hints.take('everything')
  hints.take(named('a'))
  await turn()
  assert.deepEqual(asked, ['everything', ['a']])
  assert.deepEqual(forgotten, ['everything', 'a'])
  clock.advance(1_000)
  await turn()
  assert.deepEqual(asked, ['everything', ['a'], 'everything'])
})

test('what got no answer is asked again, with what has come meanwhile', async () => {
  const { hints, clock, asked } = open([false, false])
  hints.take(named('a'))
  hints.take('everything')
  await turn()
  hints.take(named('b'))
  clock.advance(5_000)
  await turn()
  assert.deepEqual(asked, [['a'], 'everything', ['a', 'b'], 'everything'])
  clock.advance(60_000)
  await turn()
  assert.equal(asked.length, 4)
})

test('after the end nothing is asked any more', async () => {
  const { hints, clock, asked, abort } = open([false])
  hints.take(named('a'))
  await turn()
  abort.abort()
  hints.take(named('b'))
  clock.advance(60_000)
  await turn()
  assert.deepEqual(asked, [['a']])
})
