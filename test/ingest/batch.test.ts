import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffMs, writeBatch, type BatchSurroundings } from '../../ingest/batch.ts'
import { faultOf } from '../../ingest/sqlstate.ts'
import { TelemetryStore } from '../../ingest/store.ts'
import { serverError } from './server-error.ts'

interface Outcome {
  /** One list for each write, in order. */
  readonly writes: number[][]
  readonly stored: number[]
  readonly refused: string[]
  readonly sleeps: number[]
}

type Judge = (items: readonly number[], write: number) => Error | undefined

/** Writes `items` to a store that says of each write what is wrong with it; sleeping takes no time. */
async function run(
  items: readonly number[],
  judge: Judge,
  options: { neighbours?: number[]; stopAfter?: number; random?: number } = {},
): Promise<Outcome> {
  const outcome: Outcome = { writes: [], stored: [], refused: [], sleeps: [] }
  const abort = new AbortController()
  const around: BatchSurroundings = {
    clock: {
      now: () => 0,
      monotonic: () => 0,
      sleep: (ms) => {
        outcome.sleeps.push(ms)
        if (outcome.sleeps.length === options.stopAfter) abort.abort()
        return Promise.resolve()
      },
      every: () => () => undefined,
      after: () => () => undefined,
    },
    random: () => options.random ?? 1,
    signal: abort.signal,
    commits: 0,
  }
  await writeBatch(
    items,
    {
      write: (tried) => {
        outcome.writes.push([...tried])
        const err = judge(tried, outcome.writes.length)
        return err === undefined ? Promise.resolve() : Promise.reject(err)
      },
      stored: (tried) => outcome.stored.push(...tried),
      refused: (item, cause) => {
        outcome.refused.push(`${item}:${(cause as { code: string }).code}`)
      },
      faultOf,
      suspectOf: (cause) => TelemetryStore.suspectOf(cause),
      failed: () => undefined,
    },
    around,
    () => options.neighbours?.shift(),
  )
  return outcome
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function sorted(numbers: readonly number[]): number[] {
  return [...numbers].sort((a, b) => a - b)
}

const poisoned =
  (code: string, ...poison: number[]): Judge =>
  (items) =>
    items.some((item) => poison.includes(item)) ? serverError(code) : undefined

test('a batch that goes through is written once', async () => {
  const { writes, stored, sleeps } = await run(range(5), () => undefined)
  assert.deepEqual([writes, stored, sleeps], [[range(5)], range(5), []])
})

test('a transient failure is tried again, with back-off, as long as it takes', async () => {
  const down: Judge = (_, write) => (write <= 9 ? new Error('Connection terminated') : undefined)
  const { writes, stored, sleeps } = await run(range(3), down)
  assert.deepEqual(
    writes,
    Array.from({ length: 10 }, () => range(3)),
  )
  assert.deepEqual(stored, range(3))
  assert.deepEqual(sleeps, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
})

test('back-off is between half of it and all of it', () => {
  assert.deepEqual([backoffMs(0, 0), backoffMs(0, 1)], [50, 100])
  assert.deepEqual([backoffMs(3, 0.5), backoffMs(50, 0), backoffMs(5000, 1)], [600, 2500, 5000])
})

test('one refused row among a thousand is found in O(log n) writes and its neighbours stored', async () => {
  for (const poison of [0, 1, 499, 500, 998, 999]) {
    const { writes, stored, refused, sleeps } = await run(range(1000), poisoned('23514', poison))
    assert.deepEqual(refused, [`${poison}:23514`])
    assert.deepEqual(
      sorted(stored),
      range(1000).filter((item) => item !== poison),
    )
    assert.ok(writes.length <= 2 * Math.ceil(Math.log2(1000)) + 1, `${writes.length} writes`)
    assert.deepEqual(sleeps, [])
  }
})

test('rows keep their order when a batch is cut', async () => {
  const { stored } = await run(range(100), poisoned('22P02', 17, 18, 71))
  assert.deepEqual(
    stored,
    range(100).filter((item) => ![17, 18, 71].includes(item)),
  )
})

test('a row that the server names is found in three more writes', async () => {
  const judge: Judge = (items) => {
    const line = items.indexOf(617) + 1
    return line === 0 ? undefined : serverError('23514', { where: `COPY telemetry, line ${line}` })
  }
  const { writes, refused } = await run(range(1000), judge)
  assert.deepEqual(
    writes.map((tried) => tried.length),
    [1000, 617, 1, 382],
  )
  assert.deepEqual(refused, ['617:23514'])
})

test('a wrong hint costs writes, never a good row', async () => {
  for (const line of [0, 1, 5, 10, 11, 999]) {
    const judge: Judge = (items) =>
      items.includes(7)
        ? serverError('23514', { where: `COPY telemetry, line ${line}` })
        : undefined
    const { refused, stored } = await run(range(10), judge)
    assert.deepEqual(refused, ['7:23514'], `line ${line}`)
    assert.deepEqual(
      sorted(stored),
      range(10).filter((item) => item !== 7),
      `line ${line}`,
    )
  }
})

test('every row refused is every row refused', async () => {
  const { writes, stored, refused } = await run(range(16), () => serverError('23502'))
  assert.deepEqual(stored, [])
  assert.equal(refused.length, 16)
  assert.equal(writes.length, 31)
})

test('the server going away in the middle of the cutting loses nothing', async () => {
  const judge: Judge = (items, write) =>
    write > 3 && write < 7 ? new Error('gone') : poisoned('23514', 3)(items, write)
  const { stored, refused } = await run(range(8), judge)
  assert.deepEqual(refused, ['3:23514'])
  assert.deepEqual(sorted(stored), [0, 1, 2, 4, 5, 6, 7])
})

test('a fault that hits every row condemns none, however long it lasts', async () => {
  const noTable: Judge = (_, write) => (write < 200 ? serverError('42P01') : undefined)
  const { writes, stored, refused, sleeps } = await run(range(100), noTable)
  assert.deepEqual(refused, [])
  assert.deepEqual(sorted(stored), range(100))
  assert.ok(writes.length >= 200)
  assert.ok(sleeps.length >= 200 / 4, 'no more than four tries between two waits')
  assert.ok(sleeps.includes(5000))
})

test('a single row that fails for an unclear reason is held while nobody else gets through', async () => {
  const { refused, writes } = await run([1], () => serverError('42804'), { stopAfter: 50 })
  assert.deepEqual(refused, [])
  assert.equal(writes.length, 50)
})

test('a row that fails for an unclear reason while others get through is condemned at last', async () => {
  const neighbours = range(200).slice(100)
  const { refused, stored, writes } = await run(range(64), poisoned('XX000', 40), { neighbours })
  assert.deepEqual(refused, ['40:XX000'])
  const expected = range(64).filter((item) => item !== 40)
  assert.deepEqual(sorted(stored).slice(0, 63), expected)
  assert.ok(writes.filter((tried) => tried.length === 1 && tried[0] === 40).length >= 3)
  assert.ok(neighbours.length > 90, 'few neighbours are needed')
})

test('several such rows at the front do not keep the rows behind them from the table', async () => {
  const poison = range(10)
  const neighbours = range(1000).slice(100)
  const judge = poisoned('54000', ...poison)
  const { stored, refused } = await run(range(64), judge, { neighbours })
  assert.deepEqual(sorted(stored).slice(0, 54), range(64).slice(10))
  assert.deepEqual(refused.sort(), poison.map((item) => `${item}:54000`).sort())
})

test('a lone row is judged beside rows that wait, one at a time', async () => {
  const neighbours = [10, 11, 12, 13]
  const { refused, stored } = await run([7], poisoned('42804', 7), { neighbours })
  assert.deepEqual(refused, ['7:42804'])
  assert.deepEqual(stored, [10, 11])
  assert.deepEqual(neighbours, [12, 13])
})

test('an abort ends the trying and leaves the rest unsettled', async () => {
  const { stored, refused, writes } = await run(range(4), () => new Error('gone'), { stopAfter: 3 })
  assert.deepEqual([stored, refused, writes.length], [[], [], 3])
})
