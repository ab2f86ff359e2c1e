import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decode, rowOf } from '../../ingest/decode.ts'
import { messageKey } from '../../ingest/message-key.ts'
import { message, type MessageChanges } from './messages.ts'
import { ingestConfig, openDatabase, openIngest } from './open.ts'

const DATED = '{"site_id":"north","seq":1,"ts":"2026-02-09T09:15:23Z"}'
const UNDATED = '{"site_id":"north"}'
const COUNT = 'SELECT count(*)::int AS rows, count(message_key)::int AS keyed FROM telemetry'

test('a message and its repetition have one key, every other message another', () => {
  const key = (payload: string, changes: MessageChanges = {}) =>
    messageKey(message(payload, changes))
  assert.match(key(DATED), /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/u)
  assert.equal(key(DATED), key(DATED, { qos: 0 }))
  const others = [
    key(DATED),
    key(`${DATED} `),
    key(DATED, { tenant: 'zeta' }),
    key(DATED, { device: 'pump-8' }),
    key(DATED, { type: 'heartbeat' }),
  ]
  assert.equal(new Set(others).size, others.length)
})

test('only a message with a time of its own has a key, and only when asked for', () => {
  const keyOf = (payload: string, keyed: boolean, clamp = false) => {
    const decoded = decode(message(payload), { numeric: 'ignore', clamp })
    assert.ok(typeof decoded !== 'string')
    return rowOf(decoded, keyed).messageKey
  }
  assert.equal(keyOf(DATED, true), messageKey(message(DATED)))
  assert.equal(keyOf(DATED, false), undefined)
  assert.equal(keyOf(UNDATED, true), undefined)
  assert.equal(keyOf('{"site_id":"north","ts":1}', true), undefined)
  // Beyond what is believed: the time of receipt stands in for it.
  assert.equal(keyOf('{"site_id":"north","ts":"2001-01-01T00:00:00Z"}', true, true), undefined)
})

test('a message that is sent again leaves one row, is acknowledged, and counted', async (t) => {
  const { connection, query } = await openDatabase(t)
  const { ingest, metrics, log } = await openIngest(
    t,
    ingestConfig(connection, { messageKey: true }),
  )
  assert.equal(log.last('message_key.missing'), undefined)
  await Promise.all([1, 2].map(() => ingest.append(message(DATED))))
  await ingest.append(message(DATED))
  await ingest.append(message(DATED, { device: 'pump-8' }))
  await ingest.append(message(UNDATED))
  await ingest.append(message(UNDATED))
  assert.deepEqual(await query(COUNT), [{ rows: 4, keyed: 2 }])
  const { values } = await metrics.ingestDuplicates.get()
  assert.equal(values[0]?.value, 2)
})

test('off, or without the index, every message is a row', async (t) => {
  const { connection, query } = await openDatabase(t)
  const off = await openIngest(t, ingestConfig(connection))
  await off.ingest.append(message(DATED))
  await off.ingest.append(message(DATED))
  assert.equal(off.log.last('message_key.missing'), undefined)
  await query('DROP INDEX idx_telemetry_message_key')
  const without = await openIngest(t, ingestConfig(connection, { messageKey: true }))
  await without.ingest.append(message(DATED))
  await without.ingest.append(message(DATED))
  assert.equal(without.log.last('message_key.missing')?.['level'], 'warn')
  assert.deepEqual(await query(COUNT), [{ rows: 4, keyed: 0 }])
})

test('what another unique index refuses is no repetition: it goes to quarantine', async (t) => {
  const { connection, query } = await openDatabase(t, {
    prepare: 'CREATE UNIQUE INDEX ON telemetry (device_id)',
  })
  const { ingest } = await openIngest(t, ingestConfig(connection, { messageKey: true }))
  await ingest.append(message(DATED))
  await ingest.append(message(DATED.replace('23Z', '24Z')))
  assert.deepEqual(await query(COUNT), [{ rows: 1, keyed: 1 }])
  assert.deepEqual(await query('SELECT reason FROM quarantine_events'), [
    { reason: 'ROW_REJECTED:23505' },
  ])
})
