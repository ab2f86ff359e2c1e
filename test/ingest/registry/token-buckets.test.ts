import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenBuckets } from '../../../ingest/registry/token-buckets.ts'
import { FakeClock } from '../../helpers/clock.ts'

type Step = readonly [waitMs: number, ask: number, passes: number]

/** At 5 per second and a burst of 20 unless the case says otherwise. */
const CASES: readonly (readonly [title: string, rps: number, burst: number, steps: Step[]])[] = [
  [
    'a burst below 1 lets nothing through, ever',
    5,
    0.9,
    [
      [0, 5, 0],
      [60_000, 5, 0],
    ],
  ],
  [
    'a burst of 0 lets nothing through',
    5,
    0,
    [
      [0, 1, 0],
      [60_000, 1, 0],
    ],
  ],
  [
    'a negative burst lets nothing through',
    5,
    -3,
    [
      [0, 1, 0],
      [60_000, 1, 0],
    ],
  ],
  [
    'a rate of 0 lets the first burst through and no more',
    0,
    3,
    [
      [0, 5, 3],
      [3_600_000, 5, 0],
    ],
  ],
  ['a new bucket is full', 5, 20, [[0, 25, 20]]],
  [
    'it refills continuously',
    5,
    20,
    [
      [0, 20, 20],
      [100, 1, 0],
      [100, 1, 1],
      [0, 1, 0],
    ],
  ],
  [
    'a refused message costs nothing',
    5,
    20,
    [
      [0, 30, 20],
      [1000, 10, 5],
    ],
  ],
  [
    'it never holds more than the burst',
    5,
    20,
    [
      [0, 20, 20],
      [3_600_000, 30, 20],
    ],
  ],
  [
    'the rate may be a fraction',
    0.5,
    1,
    [
      [0, 2, 1],
      [1000, 1, 0],
      [1000, 2, 1],
    ],
  ],
  [
    'the burst may be a fraction above 1',
    1,
    1.5,
    [
      [0, 3, 1],
      [500, 1, 1],
      [500, 1, 0],
    ],
  ],
]

test('a bucket gives a token for each message, until it is empty', () => {
  for (const [title, rateLimitRps, rateLimitBurst, steps] of CASES) {
    const clock = new FakeClock()
    const buckets = new TokenBuckets({ rateLimitRps, rateLimitBurst }, clock)
    for (const [waitMs, ask, passes] of steps) {
      clock.advance(waitMs)
      const passed = Array.from({ length: ask }, () => buckets.take('acme/pump-7')).filter(Boolean)
      assert.equal(passed.length, passes, title)
    }
  }
})

test('devices have buckets of their own', () => {
  const buckets = new TokenBuckets({ rateLimitRps: 1, rateLimitBurst: 1 }, new FakeClock())
  assert.equal(buckets.take('acme/a'), true)
  assert.equal(buckets.take('acme/a'), false)
  assert.equal(buckets.take('acme/b'), true)
  assert.equal(buckets.take('other/a'), true)
})

test('limits that change apply to the next message', () => {
  const clock = new FakeClock()
  const limits = { rateLimitRps: 1, rateLimitBurst: 2 }
  const buckets = new TokenBuckets(limits, clock)
  assert.equal(buckets.take('a'), true)
  limits.rateLimitBurst = 0
  assert.equal(buckets.take('a'), false)
  Object.assign(limits, { rateLimitRps: 100, rateLimitBurst: 10 })
  clock.advance(100)
  const passed = Array.from({ length: 20 }, () => buckets.take('a')).filter(Boolean)
  assert.equal(passed.length, 10)
})

test('the clock of the wall is not looked at', () => {
  const clock = new FakeClock()
  const jumping = { monotonic: () => clock.monotonic(), now: () => assert.fail('asked the wall') }
  const buckets = new TokenBuckets({ rateLimitRps: 1, rateLimitBurst: 1 }, jumping)
  assert.equal(buckets.take('a'), true)
})

test('idle buckets are forgotten, others are not', () => {
  const clock = new FakeClock()
  const buckets = new TokenBuckets({ rateLimitRps: 0, rateLimitBurst: 1 }, clock)
  buckets.take('idle')
  clock.advance(2000)
  buckets.take('busy')
  clock.advance(2000)
  buckets.sweep(3000)
  assert.equal(buckets.size, 1)
  assert.equal(buckets.take('busy'), false)
  assert.equal(buckets.take('idle'), true)
})

test('there are never more buckets than allowed: the oldest goes', () => {
  const buckets = new TokenBuckets({ rateLimitRps: 0, rateLimitBurst: 1 }, new FakeClock(), 3)
  for (const device of ['a', 'b', 'c', 'd']) assert.equal(buckets.take(device), true)
  assert.equal(buckets.size, 3)
  for (const device of ['b', 'c', 'd']) assert.equal(buckets.take(device), false)
})
