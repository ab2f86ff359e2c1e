import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics } from '../../core/metrics.ts'
import { Journal } from '../../ingest/journal.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import { FakeClock } from '../helpers/clock.ts'
import { RememberingLog } from '../helpers/log.ts'
import { serverError } from './server-error.ts'

function journalOf(write: (events: readonly number[]) => Promise<void>, maxHeld?: number) {
  const clock = new FakeClock()
  const log = new RememberingLog()
  const metrics = createMetrics()
  const journal = new Journal<number>({
    name: 'audit',
    write,
    clock,
    random: () => 0,
    log: log.log,
    limit: new LogLimit(clock),
    metrics,
    ...(maxHeld === undefined ? {} : { maxHeld }),
  })
  const lost = async () => (await metrics.ingestEventsLost.get()).values[0]?.value ?? 0
  return { journal, clock, log, lost }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('events are written together, a hundred milliseconds after the first', async () => {
  const writes: (readonly number[])[] = []
  const { journal, clock } = journalOf(async (events) => void writes.push(events))
  journal.add(1)
  clock.advance(60)
  journal.add(2)
  clock.advance(39)
  assert.deepEqual(writes, [])
  clock.advance(1)
  assert.deepEqual(writes, [[1, 2]])
  await turn()
  journal.add(3)
  clock.advance(100)
  assert.deepEqual(writes, [[1, 2], [3]])
})

test('a thousand events are not waited with', () => {
  const writes: (readonly number[])[] = []
  const { journal } = journalOf(async (events) => void writes.push(events))
  for (const n of numbers(1000)) journal.add(n)
  assert.deepEqual(writes, [numbers(1000)])
})

test('while the database is away the batch is kept, in order, and the oldest of the others are lost', async () => {
  let isAway = true
  const written: number[] = []
  const { journal, clock, lost, log } = journalOf(async (events) => {
    if (isAway) throw serverError('57P01')
    written.push(...events)
  }, 4)
  journal.add(0)
  journal.add(1)
  clock.advance(100)
  await turn()
  for (const n of [2, 3, 4, 5]) journal.add(n)
  assert.equal(journal.held, 4)
  assert.equal(await lost(), 2)
  assert.equal(log.last('journal.lost')?.['journal'], 'audit')
  isAway = false
  const idle = journal.idle()
  clock.advance(100)
  await idle
  assert.deepEqual(written, [0, 1, 4, 5])
  assert.equal(journal.held, 0)
})

test('an event that PostgreSQL refuses is lost alone', async () => {
  const written: number[] = []
  const { journal, lost } = journalOf(async (events) => {
    if (events.includes(3)) throw serverError('22P02')
    written.push(...events)
  })
  for (const n of numbers(6)) journal.add(n)
  await journal.idle()
  assert.deepEqual(written, [0, 1, 2, 4, 5])
  assert.equal(await lost(), 1)
})

test('where nothing is let in that is said once, and asked again after a minute', async () => {
  let tries = 0
  let isOpen = false
  const { journal, clock, log, lost } = journalOf(async () => {
    tries++
    if (!isOpen) throw serverError('42501')
  })
  const said = () => log.lines.filter((line) => line['event'] === 'journal.refused').length
  journal.add(1)
  await journal.idle()
  journal.add(2)
  await journal.idle()
  assert.deepEqual([tries, await lost(), said()], [1, 2, 1])
  clock.advance(60_000)
  journal.add(3)
  await journal.idle()
  assert.deepEqual([tries, await lost(), said()], [2, 3, 1])
  clock.advance(60_000)
  isOpen = true
  journal.add(4)
  await journal.idle()
  assert.deepEqual([tries, await lost()], [3, 3])
})

test('close gives up what is held, and takes nothing more', async () => {
  const { journal, lost } = journalOf(() => new Promise(() => undefined))
  journal.add(1)
  journal.add(2)
  const idle = journal.idle()
  journal.close()
  await idle
  journal.add(3)
  assert.equal(await lost(), 3)
})
