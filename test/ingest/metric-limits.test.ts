import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checksOf } from '../../ingest/checks/index.ts'
import { judge, MAX_PAYLOAD, message } from './messages.ts'

const limited = checksOf({ maxPayloadBytes: MAX_PAYLOAD }, undefined, true)
const named = (...names: readonly string[]) =>
  JSON.stringify(Object.fromEntries(names.map((name) => [name, 1])))
const crowd = (count: number) => named(...Array.from({ length: count }, (_, i) => `m${i}`))

/** Metrics and the reason they are refused for, once the limits are on. */
const CASES: readonly (readonly [metrics: string, reason: string | undefined])[] = [
  [crowd(51), 'TOO_MANY_METRICS'],
  [named('x'.repeat(129)), 'METRIC_KEY_TOO_LONG'],
  [named('é'.repeat(129)), 'METRIC_KEY_TOO_LONG'],
  ['{"a\\u0001b":1}', 'METRIC_KEY_INVALID'],
  ['{"\\n":1}', 'METRIC_KEY_INVALID'],
  ['{"a\\u001f":1}', 'METRIC_KEY_INVALID'],
  [crowd(50), undefined],
  [named('x'.repeat(128)), undefined],
  // 128 characters of two UTF-16 units each.
  [named('😀'.repeat(128)), undefined],
  [named('😀'.repeat(129)), 'METRIC_KEY_TOO_LONG'],
  ['{"a b\\u0020\\u007f":1}', undefined],
  ['{"__proto__":1,"toString":2}', undefined],
  // Only the names at the top count, and a name counts once.
  [`{"a":${crowd(60)},"b":{"\\u0001":1}}`, undefined],
  [`{${Array.from({ length: 60 }, () => '"a":1').join(',')}}`, undefined],
  ['null', undefined],
]

test('number and names of the metrics are bounded where that is wanted, and nowhere else', () => {
  for (const [metrics, reason] of CASES) {
    const telemetry = message(`{"site_id":"north","metrics":${metrics}}`)
    const answer = judge(telemetry, limited)
    assert.equal(typeof answer === 'string' ? answer : undefined, reason, metrics)
    assert.notEqual(typeof judge(telemetry), 'string', metrics)
  }
})
