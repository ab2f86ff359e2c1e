import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TimestampConfig } from '../../config/types.ts'
import { decode } from '../../ingest/decode.ts'
import { formatTimestamp } from '../../ingest/timestamp.ts'
import { RECEIVED_AT, message } from './messages.ts'

const RECEIPT = '2026-03-01T06:30:07.125000Z'

function timeOf(ts: string, times: TimestampConfig): string {
  const decoded = decode(message(`{"site_id":"n","ts":${ts}}`), times)
  assert.ok(typeof decoded !== 'string')
  return formatTimestamp(decoded.time)
}

const NUMBERS: readonly (readonly [string, string])[] = [
  // Not a point in time of the years 1 to 9999, or no number at all.
  ['99999999999999999', RECEIPT],
  ['-62135596801', RECEIPT],
  ['1e400', RECEIPT],
  ['"1700000000"', RECEIPT],
  ['true', RECEIPT],
  ['[1700000000]', RECEIPT],
  ['null', RECEIPT],
  ['1700000000', '2023-11-14T22:13:20.000000Z'],
  ['1700000000.5', '2023-11-14T22:13:20.500000Z'],
  ['1700000000.123456', '2023-11-14T22:13:20.123456Z'],
  ['1.7e9', '2023-11-14T22:13:20.000000Z'],
  ['1700000000123', '2023-11-14T22:13:20.123000Z'],
  ['1700000000123.25', '2023-11-14T22:13:20.123250Z'],
  ['0', '1970-01-01T00:00:00.000000Z'],
  ['-1', '1969-12-31T23:59:59.000000Z'],
  ['-0.000001', '1969-12-31T23:59:59.999999Z'],
  ['99999999999', '5138-11-16T09:46:39.000000Z'],
  ['100000000000', '1973-03-03T09:46:40.000000Z'],
]

test('a number as ts is ignored, or where asked for seconds or milliseconds', () => {
  for (const [ts, expected] of NUMBERS) {
    assert.equal(timeOf(ts, { numeric: 'accept', clamp: false }), expected, ts)
    assert.equal(timeOf(ts, { numeric: 'ignore', clamp: false }), RECEIPT, ts)
  }
})

test('an implausible ts is stored as it is, or where asked replaced by the time of receipt', () => {
  const DAY = 86_400_000
  const cases: readonly (readonly [number, boolean])[] = [
    [-30 * DAY - 1, true],
    [60_001, true],
    [-RECEIVED_AT, true],
    [365 * DAY, true],
    [-30 * DAY, false],
    [60_000, false],
    [0, false],
  ]
  for (const [offset, replaced] of cases) {
    const ts = new Date(RECEIVED_AT + offset).toISOString()
    const sent = ts.replace('Z', '000Z')
    assert.equal(timeOf(`"${ts}"`, { numeric: 'ignore', clamp: false }), sent)
    assert.equal(
      timeOf(`"${ts}"`, { numeric: 'ignore', clamp: true }),
      replaced ? RECEIPT : sent,
      ts,
    )
  }
  assert.equal(timeOf('0', { numeric: 'accept', clamp: true }), RECEIPT)
})
