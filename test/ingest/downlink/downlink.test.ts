import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../../core/clock.ts'
import { createMetrics } from '../../../core/metrics.ts'
import { Downlink } from '../../../ingest/downlink/downlink.ts'
import type { CommandAck, ShadowReport } from '../../../ingest/downlink/report.ts'
import type { Outcome } from '../../../ingest/downlink/statements.ts'
import { LogLimit } from '../../../ingest/log-limit.ts'
import type { Rejection } from '../../../ingest/telemetry.ts'
import { RememberingLog } from '../../helpers/log.ts'
import { serverError } from '../server-error.ts'
import { reportOf } from './reports.ts'

type Batch = readonly (ShadowReport | CommandAck)[]
type Answer = (batch: Batch) => Promise<readonly Outcome[]>

const applied: Answer = async (batch) => batch.map(() => 'applied' as const)

function downlinkOver(answer: Answer, acknowledge: 'commit' | 'buffer' = 'commit') {
  const log = new RememberingLog()
  const metrics = createMetrics()
  const rejections: Rejection[] = []
  const batches: Batch[] = []
  const abort = new AbortController()
  const clock = { ...systemClock, sleep: () => new Promise<void>((done) => setImmediate(done)) }
  const downlink = new Downlink({
    config: { acknowledge },
    store: {
      apply: (batch) => {
        batches.push(batch)
        return answer(batch)
      },
    },
    rejected: (rejection) => rejections.push(rejection),
    around: { clock, random: () => 0, signal: abort.signal, commits: 0 },
    log: log.log,
    limit: new LogLimit({ ...clock, monotonic: () => 0 }),
    metrics,
  })
  const count = async (kind: string, outcome: string) => {
    const { values } = await metrics.ingestReports.get()
    const found = values.find(({ labels }) => labels.kind === kind && labels.outcome === outcome)
    return found?.value ?? 0
  }
  return { downlink, log, rejections, batches, abort, count }
}

const shadow = (n: number, device?: string) =>
  reportOf('shadow_reported', { reported: { n } }, device === undefined ? {} : { device })

test('what is no JSON object goes to the quarantine, and is acknowledged', async () => {
  const { downlink, rejections, batches, count } = downlinkOver(applied)
  await downlink.report(reportOf('shadow_reported', 'nonsense'))
  await downlink.report(reportOf('command_ack', '[]'))
  assert.deepEqual(batches, [])
  assert.deepEqual(
    rejections.map(({ reason, msgType, tenantId, deviceId, topic }) => ({
      reason,
      msgType,
      tenantId,
      deviceId,
      topic,
    })),
    [
      {
        reason: 'INVALID_JSON',
        msgType: 'shadow',
        tenantId: 'acme',
        deviceId: 'pump-7',
        topic: 'tenant/acme/device/pump-7/shadow/reported',
      },
      {
        reason: 'INVALID_PAYLOAD',
        msgType: 'commands',
        tenantId: 'acme',
        deviceId: 'pump-7',
        topic: 'tenant/acme/device/pump-7/commands/ack',
      },
    ],
  )
  assert.deepEqual(
    [await count('shadow_reported', 'invalid'), await count('command_ack', 'invalid')],
    [1, 1],
  )
})

test('what cannot be applied is warned about by its name, and acknowledged', async () => {
  const { downlink, log, rejections, batches } = downlinkOver(applied)
  await downlink.report(reportOf('shadow_reported', { reported: [] }))
  await downlink.report(reportOf('command_ack', {}))
  await downlink.report(reportOf('command_ack', { command_id: 'c', details: 1 }))
  for (const event of [
    'shadow_reported_invalid_payload',
    'command_ack_missing_id',
    'command_ack_invalid_details',
  ]) {
    const line = log.last(event)
    assert.deepEqual(
      [line?.['level'], line?.['msg'], line?.['tenant_id'], line?.['device_id']],
      ['warn', event, 'acme', 'pump-7'],
    )
  }
  assert.deepEqual([rejections, batches], [[], []])
})

test('each acknowledgement of a command is logged, with whether it changed anything', async () => {
  const { downlink, log } = downlinkOver(async (batch) =>
    batch.map((report) =>
      report.kind === 'command_ack' && report.commandId === 'c-1' ? 'applied' : 'no_row',
    ),
  )
  await Promise.all([
    downlink.report(reportOf('command_ack', { command_id: 'c-1' })),
    downlink.report(reportOf('command_ack', { command_id: 'c-2' })),
  ])
  const told = log.lines
    .filter((line) => line['event'] === 'command_acked')
    .map((line) => [line['command_id'], line['updated'], line['level']])
  assert.deepEqual(told, [
    ['c-1', true, 'info'],
    ['c-2', false, 'info'],
  ])
})

test('a shadow without a row, or of a device that is not active, is counted and warned about', async () => {
  const outcomes: Outcome[] = ['no_row', 'not_active', 'applied']
  const { downlink, log, count } = downlinkOver(async () => outcomes)
  await Promise.all([shadow(1, 'a'), shadow(2, 'b'), shadow(3, 'c')].map((r) => downlink.report(r)))
  for (const outcome of outcomes) assert.equal(await count('shadow_reported', outcome), 1)
  const told = log.lines.filter((line) => line['event'] === 'shadow_reported_ignored')
  assert.deepEqual(
    told.map((line) => [line['device_id'], line['outcome'], line['level']]),
    [
      ['a', 'no_row', 'warn'],
      ['b', 'not_active', 'warn'],
    ],
  )
})

test('a report settles after its COMMIT, in its turn, and while PostgreSQL is away it is tried again', async () => {
  let failures = 3
  const settled: number[] = []
  const { downlink, batches, log } = downlinkOver(async (batch) => {
    assert.deepEqual(settled, [])
    if (failures-- > 0) throw serverError('57P01')
    return applied(batch)
  })
  const reports = [1, 2, 3].map((n) => downlink.report(shadow(n)).then(() => settled.push(n)))
  // Refused at once, and yet it waits for its turn.
  const bad = downlink.report(reportOf('command_ack', {})).then(() => settled.push(4))
  await Promise.all([...reports, bad])
  assert.deepEqual(settled, [1, 2, 3, 4])
  assert.equal(batches.length, 4)
  assert.equal(downlink.waiting, 0)
  assert.ok(log.last('report.retried') !== undefined)
})

test('a report that PostgreSQL refuses is cut out of its batch, its neighbours are applied in order', async () => {
  const done: string[] = []
  const { downlink, count, log } = downlinkOver(async (batch) => {
    if (batch.some(({ deviceId }) => deviceId === 'bad')) throw serverError('22P05')
    done.push(...batch.map(({ deviceId }) => deviceId))
    return applied(batch)
  })
  const devices = ['a', 'b', 'bad', 'c', 'd']
  await Promise.all(devices.map((device, n) => downlink.report(shadow(n, device))))
  assert.deepEqual(done, ['a', 'b', 'c', 'd'])
  assert.equal(await count('shadow_reported', 'refused'), 1)
  assert.equal(await count('shadow_reported', 'applied'), 4)
  assert.equal(log.last('report.refused')?.['device_id'], 'bad')
})

test('where reports are not let in at all they are acknowledged and counted: none is tried for ever', async () => {
  const { downlink, count, batches, log } = downlinkOver(async () => {
    throw serverError('42501')
  })
  await Promise.all([1, 2, 3].map((n) => downlink.report(shadow(n))))
  assert.equal(await count('shadow_reported', 'refused'), 3)
  assert.equal(await count('shadow_reported', 'applied'), 0)
  assert.equal(batches.length, 1)
  assert.equal(log.last('report.refused')?.['level'], 'error')
})

test('beyond the ceiling reports are not taken, and room comes back', async () => {
  let commit = () => undefined as void
  const open = new Promise<void>((resolve) => (commit = resolve))
  const { downlink, count } = downlinkOver(async (batch) => {
    await open
    return applied(batch)
  })
  const taken: Promise<void>[] = []
  for (let i = 0; i < 10_000; i++) taken.push(downlink.report(shadow(i)))
  assert.equal(downlink.hasRoom, false)
  await assert.rejects(downlink.report(shadow(0)), { code: 'INGEST_OVERLOADED' })
  const lost = { ...shadow(0), qos: 0 as const }
  await assert.rejects(downlink.report(lost), { code: 'INGEST_OVERLOADED' })
  assert.equal(await count('shadow_reported', 'dropped'), 1)
  const room = new Promise<void>((resolve) => downlink.onRoom(resolve))
  commit()
  await room
  await Promise.all(taken)
  assert.equal(downlink.hasRoom, true)
})

test('after a stop nothing is taken, and what was not applied is not acknowledged', async () => {
  const { downlink, abort } = downlinkOver(() => new Promise(() => undefined))
  const held = downlink.report(shadow(1))
  downlink.stop()
  await assert.rejects(downlink.report(shadow(2)), { code: 'INGEST_STOPPED' })
  abort.abort()
  assert.equal(downlink.giveUp(new Error('stopped')), 1)
  await assert.rejects(held, /stopped/u)
})

test('acknowledge: buffer settles a report that is only queued', async () => {
  const { downlink } = downlinkOver(() => new Promise(() => undefined), 'buffer')
  await downlink.report(shadow(1))
  assert.equal(downlink.waiting, 1)
})
