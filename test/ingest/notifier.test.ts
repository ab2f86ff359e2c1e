import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from 'pg'
import { systemClock } from '../../core/clock.ts'
import { LogLimit } from '../../ingest/log-limit.ts'
import { Notifier, notifyPayloads } from '../../ingest/notifier.ts'
import type { Row } from '../../ingest/telemetry.ts'
import { publisher } from './messages.ts'
import { FakeClock } from '../helpers/clock.ts'
import { openDatabase } from './open.ts'

function rowOf(tenantId: string): Row {
  return {
    tenantId,
    deviceId: 'd',
    siteId: 's',
    msgType: 'telemetry',
    time: { ms: 0, us: 0 },
    seq: 0,
    metrics: Buffer.from('{}'),
    publisher,
  }
}

function tenantsIn(payload: string): string[] {
  return (JSON.parse(payload) as { tenant_ids: string[] }).tenant_ids
}

test('the tenants are sorted and told once', () => {
  assert.deepEqual(notifyPayloads(['b', 'a', 'b']), ['{"tenant_ids":["a","b"]}'])
  assert.deepEqual(notifyPayloads([]), [])
})

test('a list too long for one NOTIFY is split below 8000 bytes, nobody left out', () => {
  for (const name of ['t', 'x'.repeat(190), 'é'.repeat(190), '"\\'.repeat(95), '😀'.repeat(95)]) {
    const tenants = Array.from({ length: 300 }, (_, i) => `${name}${String(i).padStart(4, '0')}`)
    const payloads = notifyPayloads(tenants)
    assert.deepEqual(payloads.flatMap(tenantsIn), tenants)
    for (const payload of payloads) assert.ok(Buffer.byteLength(payload) < 8000)
    assert.ok(name === 't' || payloads.length > 1)
  }
})

test('listeners hear of the tenants whose rows were committed', async (t) => {
  const opened = await openDatabase(t)
  const listener = new Client({ ...opened.connection })
  listener.on('error', () => undefined) // the database is dropped before the listener ends
  await listener.connect()
  t.after(() => listener.end())
  const heard: string[] = []
  const all = new Promise<void>((resolve) => {
    listener.on('notification', ({ payload = '' }) => {
      heard.push(...tenantsIn(payload))
      if (heard.length >= 106) resolve()
    })
  })
  await listener.query('LISTEN telemetry_inserted')
  const notifier = new Notifier(
    opened.database,
    systemClock,
    opened.log.log,
    new LogLimit(systemClock),
  )
  const odd = [`o'neill`, 'back\\slash', 'Zürich', '😀', `${'x'.repeat(190)}`]
  notifier.committed(odd.map(rowOf))
  notifier.committed(Array.from({ length: 100 }, (_, i) => rowOf(`${'y'.repeat(150)}${i}`)))
  notifier.committed([rowOf('last'), rowOf('last')])
  await notifier.finish()
  await all
  assert.equal(heard.length, new Set(heard).size)
  assert.equal(heard.length, odd.length + 100 + 1)
  for (const tenant of odd) assert.ok(heard.includes(tenant), tenant)
})

test('a NOTIFY that fails is logged and forgotten', async (t) => {
  const opened = await openDatabase(t)
  const notifier = new Notifier(
    opened.database,
    systemClock,
    opened.log.log,
    new LogLimit(systemClock),
  )
  await opened.database.end()
  notifier.committed([rowOf('acme')])
  await notifier.finish()
  assert.equal(opened.log.last('notify.failed')?.['level'], 'warn')
})

test('tenants that have rows within a moment of the last NOTIFY are told together after it', async (t) => {
  const opened = await openDatabase(t)
  const listener = new Client({ ...opened.connection })
  listener.on('error', () => undefined)
  await listener.connect()
  t.after(() => listener.end())
  const heard: string[][] = []
  let told: () => void = () => undefined
  const toldTimes = async (times: number): Promise<void> => {
    while (heard.length < times) await new Promise<void>((resolve) => (told = resolve))
  }
  listener.on('notification', ({ payload = '' }) => {
    heard.push(tenantsIn(payload))
    told()
  })
  await listener.query('LISTEN telemetry_inserted')
  const clock = new FakeClock()
  const notifier = new Notifier(opened.database, clock, opened.log.log, new LogLimit(clock))
  notifier.committed([rowOf('first')])
  await toldTimes(1)
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve))
  notifier.committed([rowOf('second')])
  notifier.committed([rowOf('third'), rowOf('second')])
  clock.advance(50)
  await toldTimes(2)
  notifier.committed([rowOf('last')])
  await notifier.finish()
  await toldTimes(3)
  assert.deepEqual(heard, [['first'], ['second', 'third'], ['last']])
})
