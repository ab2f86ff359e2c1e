import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Portions } from '../../broker/portions.ts'
import { silentLog } from '../../core/log.ts'
import { FakeClock } from '../helpers/clock.ts'

/** Steps that each take a millisecond of the clock. */
function work(clock: FakeClock, name: string, count: number, log: string[]) {
  let step = 0
  return () => {
    clock.advance(1)
    log.push(`${name}${++step}`)
    return step < count
  }
}

test('what fits into a portion is done at once', () => {
  const clock = new FakeClock()
  const log: string[] = []
  const portions = new Portions(clock, silentLog)
  assert.equal(
    portions.run(work(clock, 'a', 4, log), () => assert.fail('not called')),
    true,
  )
  assert.deepEqual(log, ['a1', 'a2', 'a3', 'a4'])
})

test('what does not goes on in later turns, others in between, each to its end', async () => {
  const clock = new FakeClock()
  const log: string[] = []
  const portions = new Portions(clock, silentLog)
  const run = (name: string, count: number) =>
    portions.run(work(clock, name, count, log), () => log.push(`${name} done`))
  assert.equal(run('a', 12), false)
  assert.equal(run('b', 3), false)
  assert.deepEqual(log, ['a1', 'a2', 'a3', 'a4', 'a5'])
  await nextTurn()
  log.push('|')
  while (!log.includes('a done')) await nextTurn()
  assert.deepEqual(log.slice(5), [
    ...['a6', 'b1', 'a7', 'b2', 'a8', '|'],
    ...['b3', 'b done', 'a9', 'a10', 'a11', 'a12', 'a done'],
  ])
  assert.equal(run('c', 1), true)
})

test('a step that throws ends its own work only', async () => {
  const clock = new FakeClock()
  const log: string[] = []
  const portions = new Portions(clock, silentLog)
  const good = work(clock, 'a', 12, log)
  portions.run(good, () => log.push('a done'))
  portions.run(
    () => {
      throw new Error('broken')
    },
    () => log.push('b done'),
  )
  while (!log.includes('a done')) await nextTurn()
  assert.ok(log.includes('b done'))
  assert.ok(log.includes('a12'))
})
