import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns, type Turn } from '../../ingest/turns.ts'

function take(turns: Turns, bytes = 1): Turn {
  const turn = turns.take(bytes)
  assert.ok(turn !== undefined)
  return turn
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

test('turns settle in the order they were taken, whatever order they are done in', async () => {
  const turns = new Turns(100, 1000)
  const order: number[] = []
  const taken = [0, 1, 2, 3, 4].map((i) => {
    const turn = take(turns)
    void turn.settled.then(() => order.push(i))
    return turn
  })
  for (const i of [3, 1, 4]) taken[i]?.done()
  await nextTurn()
  assert.deepEqual(order, [])
  taken[0]?.done()
  await nextTurn()
  assert.deepEqual(order, [0, 1])
  taken[0]?.done()
  taken[2]?.done()
  await nextTurn()
  assert.deepEqual(order, [0, 1, 2, 3, 4])
  assert.deepEqual([turns.records, turns.bytes], [0, 0])
})

test('a turn beyond either ceiling is not given', () => {
  const byCount = new Turns(3, 1000)
  for (let i = 0; i < 3; i++) take(byCount)
  assert.equal(byCount.take(1), undefined)

  const byBytes = new Turns(100, 1000)
  take(byBytes, 900)
  assert.equal(byBytes.take(101), undefined)
  take(byBytes, 100)
  assert.equal(byBytes.take(1), undefined)

  assert.ok(new Turns(100, 10).take(50) !== undefined, 'a single record fits whatever its size')
})

test('what is done but not settled still counts', () => {
  const turns = new Turns(2, 1000)
  take(turns)
  take(turns).done()
  assert.equal(turns.take(1), undefined)
})

test('room ends below the ceiling and comes back with the queue well below it', async () => {
  const turns = new Turns(10, 1000)
  let called = 0
  const taken = Array.from({ length: 7 }, () => take(turns))
  assert.equal(turns.hasRoom, true)
  taken.push(take(turns))
  assert.equal(turns.hasRoom, false)
  turns.onRoom(() => called++)
  taken.push(take(turns), take(turns))
  for (let i = 0; i < 4; i++) taken[i]?.done()
  await nextTurn()
  assert.deepEqual([turns.hasRoom, called], [false, 0])
  taken[4]?.done()
  assert.equal(turns.hasRoom, true)
  await nextTurn()
  assert.equal(called, 1)
  turns.onRoom(() => called++)
  await nextTurn()
  assert.equal(called, 2)
})

test('giving up rejects what is left, in order, and makes room', async () => {
  const turns = new Turns(2, 1000)
  const order: string[] = []
  const first = take(turns)
  const second = take(turns)
  for (const [name, turn] of [['first', first] as const, ['second', second] as const]) {
    turn.settled.catch((err: unknown) => order.push(`${name}: ${String(err)}`))
  }
  second.done()
  const drained = turns.drained()
  assert.equal(turns.giveUp(new Error('over')), 2)
  await drained
  await nextTurn()
  assert.deepEqual(order, ['first: Error: over', 'second: Error: over'])
  assert.equal(turns.hasRoom, true)
  first.done()
  assert.deepEqual([turns.records, turns.bytes], [0, 0])
})

test('drained settles at once when nothing is held, and with the last turn otherwise', async () => {
  const turns = new Turns(10, 1000)
  await turns.drained()
  const turn = take(turns)
  let isDrained = false
  const drained = turns.drained().then(() => (isDrained = true))
  await nextTurn()
  assert.equal(isDrained, false)
  turn.done()
  await drained
})
