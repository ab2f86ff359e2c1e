import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf } from '../../core/errors.ts'
import type { Check } from '../../ingest/checks/check.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import type { Reason } from '../../ingest/reasons.ts'
import type { Row } from '../../ingest/telemetry.ts'
import { FakeClock } from '../helpers/clock.ts'
import { message, numbered, publisher, RECEIVED_AT } from './messages.ts'
import { makeParts, quiet, type Parts } from './parts.ts'
import { serverError } from './server-error.ts'

const BAD = message('{}')

/** Appends the messages and notes the order in which they settle. */
function appendAll(parts: Parts, count: number, settled: string[], from = 0): Promise<unknown> {
  const appended = Array.from({ length: count }, (_, i) => {
    const promise = parts.pipeline.append(numbered(from + i))
    promise.then(
      () => settled.push(`${from + i}`),
      (err: unknown) => settled.push(`${from + i} ${codeOf(err) ?? ''}`),
    )
    return promise
  })
  return Promise.allSettled(appended)
}

function names(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${from + i}`)
}

function seqs(rows: readonly Row[]): number[] {
  return rows.map(({ seq }) => Number(seq))
}

test('what arrives together is one batch, and what arrives meanwhile the next', async () => {
  const parts = makeParts({ batchSize: 100, writers: 1 })
  parts.rows.open = false
  const settled: string[] = []
  void appendAll(parts, 5, settled)
  await parts.rows.begun(1)
  void appendAll(parts, 7, settled, 5)
  await quiet()
  assert.equal(parts.rows.writes.length, 1)
  parts.rows.write(0).commit()
  await parts.rows.begun(2)
  assert.deepEqual(seqs(parts.rows.write(1).items), [5, 6, 7, 8, 9, 10, 11])
})

test('a batch is no larger than its bounds', async () => {
  const parts = makeParts({ batchSize: 4, writers: 1 })
  await appendAll(parts, 10, [])
  assert.deepEqual(
    parts.rows.writes.map(({ items }) => items.length),
    [4, 4, 2],
  )
})

test('records settle in the order of arrival though a later batch commits first', async () => {
  const parts = makeParts({ batchSize: 3 })
  parts.rows.open = false
  const settled: string[] = []
  void appendAll(parts, 8, settled)
  await parts.rows.begun(2)
  parts.rows.write(1).commit()
  await parts.rows.begun(3)
  parts.rows.write(2).commit()
  await quiet()
  assert.deepEqual(settled, [])
  parts.rows.write(0).commit()
  await quiet()
  assert.deepEqual(settled, names(0, 8))
})

test('a rejected message settles in its turn, once its own row is committed', async () => {
  const parts = makeParts()
  parts.rows.open = false
  parts.rejections.open = false
  const settled: string[] = []
  void appendAll(parts, 2, settled)
  void parts.pipeline.append(BAD).then(() => settled.push('bad'))
  void appendAll(parts, 2, settled, 2)
  await Promise.all([parts.rows.begun(1), parts.rejections.begun(1)])
  assert.deepEqual(
    parts.rejections.write(0).items.map(({ reason }) => reason),
    ['MISSING_SITE_ID'],
  )
  parts.rejections.write(0).commit()
  await quiet()
  assert.deepEqual(settled, [], 'the rows before it are not committed')
  parts.rows.write(0).commit()
  await quiet()
  assert.deepEqual(settled, ['0', '1', 'bad', '2', '3'])
})

test('rows behind a rejected message wait for its row', async () => {
  const parts = makeParts()
  parts.rejections.open = false
  const settled: string[] = []
  void parts.pipeline.append(BAD).then(() => settled.push('bad'))
  void appendAll(parts, 1, settled)
  await parts.rejections.begun(1)
  await quiet()
  assert.deepEqual([settled, parts.rows.committed.length], [[], 1])
  parts.rejections.write(0).fail(new Error('Connection terminated'))
  await parts.rejections.begun(2)
  assert.deepEqual(settled, [], 'tried again while the database is away')
  parts.rejections.write(1).commit()
  await quiet()
  assert.deepEqual(settled, ['bad', '0'])
})

test('nothing settles while PostgreSQL is away, and everything once it is back', async () => {
  const parts = makeParts({ batchSize: 5 })
  parts.rows.open = false
  const settled: string[] = []
  void appendAll(parts, 12, settled)
  for (let attempt = 0; attempt < 6; attempt++) {
    await parts.rows.begun(attempt + 1)
    parts.rows.write(attempt).fail(new Error('Connection terminated unexpectedly'))
  }
  await quiet()
  assert.deepEqual(settled, [])
  assert.equal(parts.rowsWriter.trouble, 'transient')
  parts.rows.open = true
  for (const write of parts.rows.writes) write.commit()
  await quiet()
  assert.deepEqual(settled, names(0, 12))
  assert.equal(parts.rowsWriter.trouble, undefined)
  assert.equal(new Set(seqs(parts.rows.committed)).size, 12)
})

test('a row that PostgreSQL refuses is quarantined, its neighbours stored, all in order', async () => {
  const parts = makeParts({ batchSize: 100 })
  parts.rows.open = false
  const settled: string[] = []
  void appendAll(parts, 8, settled)
  for (let i = 0; settled.length < 8; i++) {
    await Promise.race([parts.rows.begun(i + 1), quiet()])
    const write = parts.rows.writes[i]
    if (write === undefined) break
    if (seqs(write.items).includes(5)) write.fail(serverError('23514'))
    else write.commit()
    await quiet()
  }
  assert.deepEqual(settled, names(0, 8))
  assert.deepEqual(seqs(parts.rows.committed), [0, 1, 2, 3, 4, 6, 7])
  assert.deepEqual(
    parts.rejections.committed.map(({ reason, tenantId, deviceId, payload }) => [
      reason,
      tenantId,
      deviceId,
      payload.toString(),
    ]),
    [['ROW_REJECTED:23514', 'acme', 'pump-7', numbered(5).payload.toString()]],
  )
  assert.deepEqual(parts.counted, ['acme ROW_REJECTED:23514'])
})

test('a quarantine that PostgreSQL refuses holds nobody up', async () => {
  for (const code of ['42501', '42P01', '22P02', '54000']) {
    const parts = makeParts()
    parts.rejections.open = false
    const settled: string[] = []
    for (let i = 0; i < 3; i++) void parts.pipeline.append(BAD).then(() => settled.push('bad'))
    void appendAll(parts, 2, settled)
    for (let i = 0; settled.length < 5; i++) {
      await parts.rejections.begun(i + 1)
      parts.rejections.write(i).fail(serverError(code))
      await quiet()
    }
    assert.deepEqual(settled, ['bad', 'bad', 'bad', '0', '1'], code)
    assert.equal(parts.log.last('quarantine.refused')?.['level'], 'error')
    const lost = await parts.metrics.ingestQuarantineLost.get()
    assert.equal(lost.values[0]?.value, 3)
  }
})

test('without storing rejects a message is counted and settles in its turn', async () => {
  const parts = makeParts({ storeRejects: false })
  parts.rows.open = false
  const settled: string[] = []
  void appendAll(parts, 1, settled)
  void parts.pipeline.append(BAD).then(() => settled.push('bad'))
  await quiet()
  assert.deepEqual(settled, [])
  parts.rows.write(0).commit()
  await quiet()
  assert.deepEqual(settled, ['0', 'bad'])
  assert.deepEqual([parts.rejections.writes.length, parts.quarantine.rejected], [0, 1])
  assert.deepEqual(parts.counted, ['acme MISSING_SITE_ID'])
})

test('a row that was accepted and then refused is kept even where rejects are not stored', async () => {
  const parts = makeParts({ storeRejects: false })
  parts.rows.open = false
  const appended = parts.pipeline.append(numbered(1))
  await parts.rows.begun(1)
  parts.rows.write(0).fail(serverError('23502'))
  await appended
  assert.deepEqual(
    parts.rejections.committed.map(({ reason }) => reason),
    ['ROW_REJECTED:23502'],
  )
})

test('a message keeps its place while a check waits for an answer', async () => {
  const answers: ((reason: Reason | undefined) => void)[] = []
  const asks: Check = ({ seq }) =>
    seq === 1 || seq === 3 ? new Promise((resolve) => answers.push(resolve)) : undefined
  const parts = makeParts({ checks: [asks] })
  const settled: string[] = []
  void appendAll(parts, 5, settled)
  await quiet()
  assert.deepEqual(settled, ['0'])
  assert.deepEqual(seqs(parts.rows.committed), [0, 2, 4], 'rows do not wait for one another')
  answers[1]?.('DEVICE_REVOKED')
  await quiet()
  assert.deepEqual(settled, ['0'])
  answers[0]?.(undefined)
  await quiet()
  assert.deepEqual(settled, names(0, 5))
  assert.deepEqual(
    parts.rejections.committed.map(({ reason }) => reason),
    ['DEVICE_REVOKED'],
  )
})

test('what a check throws costs one message, told by the name of the error', async () => {
  const throws: Check = ({ seq }) => {
    if (seq === 1) throw new TypeError('x is not a function')
    if (seq === 2) return Promise.reject(new RangeError('too far'))
    return undefined
  }
  const parts = makeParts({ checks: [throws] })
  await appendAll(parts, 4, [])
  assert.deepEqual(
    parts.rejections.committed.map(({ reason, error }) => [reason, error]),
    [
      ['INGEST_EXCEPTION:TypeError', 'x is not a function'],
      ['INGEST_EXCEPTION:RangeError', 'too far'],
    ],
  )
  assert.equal(parts.log.last('message.failed')?.['level'], 'error')
})

test('beyond the ceiling a record is not taken; one of QoS 0 is counted as dropped', async () => {
  const parts = makeParts({ maxWaitingRecords: 5 })
  parts.rows.open = false
  const settled: string[] = []
  void appendAll(parts, 5, settled)
  assert.equal(parts.turns.hasRoom, false)
  const overloaded = { name: 'IngestOverloaded', code: 'INGEST_OVERLOADED' }
  await assert.rejects(parts.pipeline.append(numbered(5)), overloaded)
  await assert.rejects(parts.pipeline.append(numbered(6, { qos: 0 })), overloaded)
  await assert.rejects(parts.pipeline.append(BAD), overloaded)
  assert.deepEqual([parts.pipeline.received, parts.pipeline.dropped], [8, 1])
  const dropped = await parts.metrics.ingestDropped.get()
  assert.deepEqual(
    dropped.values.map(({ labels, value }) => [labels['tenant_id'], value]),
    [['acme', 1]],
  )
  const room = new Promise<void>((resolve) => parts.turns.onRoom(resolve))
  await parts.rows.begun(1)
  for (const write of parts.rows.writes) write.commit()
  await room
  parts.rows.open = true
  await parts.pipeline.append(numbered(7))
})

test('records are bounded by bytes too', async () => {
  const parts = makeParts({ maxWaitingBytes: 10_000 })
  parts.rows.open = false
  const large = message(`{"site_id":"north","x":"${'x'.repeat(4000)}"}`)
  void parts.pipeline.append(large)
  void parts.pipeline.append(large)
  await assert.rejects(parts.pipeline.append(large), { name: 'IngestOverloaded' })
})

test('with acknowledge buffer a record settles before it is written, and is still bounded', async () => {
  const parts = makeParts({ acknowledge: 'buffer', maxWaitingRecords: 2 })
  parts.rows.open = false
  await parts.pipeline.append(numbered(0))
  await parts.pipeline.append(numbered(1))
  await assert.rejects(parts.pipeline.append(numbered(2)), { name: 'IngestOverloaded' })
})

test('once stopping, nothing is taken', async () => {
  const parts = makeParts()
  parts.pipeline.stop()
  const stopped = { name: 'IngestStopped', code: 'INGEST_STOPPED' }
  await assert.rejects(parts.pipeline.append(numbered(0)), stopped)
  parts.pipeline.recordDenied({ ...numbered(0), publisher })
  await quiet()
  assert.deepEqual([parts.rows.writes.length, parts.rejections.writes.length], [0, 0])
})

test('a denied message is kept under the identity of its connection, and waits for nobody', async () => {
  const parts = makeParts()
  parts.rejections.open = false
  const denied = { ...numbered(0), topic: 'tenant/other/device/x/telemetry', publisher }
  for (let i = 0; i < 1500; i++) parts.pipeline.recordDenied(denied)
  parts.pipeline.recordDenied({ ...denied, tenantId: undefined, deviceId: undefined })
  await parts.pipeline.append(numbered(1))
  parts.rejections.open = true
  for (const write of parts.rejections.writes) write.commit()
  await parts.quarantine.idle()
  assert.equal(parts.rejections.committed.length, 1000, 'those beyond the bound are only counted')
  assert.equal(parts.quarantine.rejected, 1501)
  assert.equal(parts.counted.length, 1500)
  const [first] = parts.rejections.committed
  assert.deepEqual(
    [first?.reason, first?.tenantId, first?.deviceId, first?.msgType, first?.topic],
    ['AUTH_FAILED', 'acme', 'pump-7', undefined, 'tenant/other/device/x/telemetry'],
  )
})

test('messages are counted by tenant only where a certificate vouches for it', async () => {
  const parts = makeParts()
  const account = { ...publisher, kind: 'account' as const, fingerprint: undefined }
  await Promise.all([
    parts.pipeline.append(numbered(0)),
    parts.pipeline.append(numbered(1, { tenant: 'made-up', publisher: account })),
    parts.pipeline.append(BAD),
  ])
  const { values } = await parts.metrics.ingestMessages.get()
  assert.deepEqual(
    values
      .map(({ labels, value }) => [labels['tenant_id'], labels['result'], value].join(' '))
      .sort(),
    ['acme accepted 1', 'acme rejected 1', 'unknown accepted 1'],
  )
})

test('an accepted message carries the time of receipt when it has none of its own', async () => {
  const parts = makeParts()
  await parts.pipeline.append(numbered(0))
  assert.deepEqual(parts.rows.committed[0]?.time, { ms: RECEIVED_AT, us: 0 })
})

test('of messages rejected for one reason in a second one is logged, and of each other reason one', async () => {
  const parts = makeParts({ limit: new LogLimit(new FakeClock()) })
  for (const payload of ['{}', '{"site_id":"north","seq":"x"}', '{}', '[]', '{}']) {
    await parts.pipeline.append(message(payload))
  }
  await parts.quarantine.idle()
  const logged = parts.log.lines.filter(({ event }) => event === 'message.quarantined')
  assert.deepEqual(
    logged.map(({ reason }) => reason),
    ['MISSING_SITE_ID', 'INVALID_FIELD:seq', 'INVALID_PAYLOAD'],
  )
})
