import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { decode, rowOf } from '../../ingest/decode.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import { RowsWriter } from '../../ingest/rows-writer.ts'
import { Turns } from '../../ingest/turns.ts'
import { FakeClock } from '../helpers/clock.ts'
import { RememberingLog } from '../helpers/log.ts'
import { numbered } from './messages.ts'
import { serverError } from './server-error.ts'

/** Each write takes as long as it says, or fails. */
function writerOf(writes: (number | Error)[]) {
  const clock = new FakeClock()
  const log = new RememberingLog()
  const turns = new Turns(100, 1 << 20)
  const writer = new RowsWriter({
    config: { batchSize: 10, writers: 1 },
    store: {
      insert: async () => {
        const next = writes.shift() ?? 0
        if (next instanceof Error) throw next
        clock.advance(next)
      },
    },
    committed: () => undefined,
    refused: ({ turn }) => turn.done(),
    around: {
      clock: { ...systemClock, sleep: async () => undefined },
      random: () => 0,
      signal: new AbortController().signal,
      commits: 0,
    },
    clock,
    log: log.log,
    limit: new LogLimit(clock),
    metrics: createMetrics(),
  })
  const write = async () => {
    const telemetry = numbered(1)
    const message = decode(telemetry)
    assert.ok(typeof message !== 'string')
    const turn = turns.take(1)
    assert.ok(turn !== undefined)
    writer.push({ telemetry, row: rowOf(message), turn })
    await turn.settled
  }
  return { writer, log, write }
}

test('a batch that takes more than 100 ms is warned of, one that takes as much is not', async () => {
  const { writer, log, write } = writerOf([100, 101])
  await write()
  assert.equal(log.last('batch.slow'), undefined)
  await write()
  const { level, rows, ms } = log.last('batch.slow') ?? {}
  assert.deepEqual({ level, rows, ms }, { level: 'warn', rows: 1, ms: 101 })
  assert.deepEqual(writer.statistics, {
    batches_flushed: 2,
    write_errors: 0,
    last_flush_latency_ms: 101,
  })
})

test('the statistics count batches and failed writes', async () => {
  const { writer, write } = writerOf([serverError('08006'), serverError('22003'), 3])
  assert.deepEqual(writer.statistics, {
    batches_flushed: 0,
    write_errors: 0,
    last_flush_latency_ms: null,
  })
  await write()
  await write()
  assert.deepEqual(writer.statistics, {
    batches_flushed: 1,
    write_errors: 2,
    last_flush_latency_ms: 3,
  })
})
