import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Telemetry } from '../../ingest/telemetry.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { judge, message } from './messages.ts'
import { ingestConfig, openIngest } from './open.ts'
import { Random } from './random.ts'

const SEEDS = [
  '{"version":"1","ts":"2026-03-01T06:30:00.250Z","site_id":"north","seq":41,"metrics":{"temp_c":21.4,"door_open":0,"mode":"auto"}}',
  '{"site_id":"north","tenant_id":"acme","device_id":"pump-7","msg_type":"telemetry","provision_token":"tok-1","metrics":{"a":{"b":[1,2.5e3,-0,"\\ud83d\\ude00",null,true]}}}',
  '{"site_id":7,"seq":"9223372036854775807","metrics":null,"lat":"52.5","lng":13.4}',
  ' { "metrics" : { } , "site_id" : "Zürich 😀" , "seq" : 7.0 , "ts" : "2026-W07-1" } ',
  '{"site_id":"a","metrics":{"__proto__":{"x":1e308},"":[[[[]]]]}}',
  '[{"site_id":"north"}]',
  'null',
]

const TOKENS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\0',
    '\n',
    ' ',
    'null',
    'true',
    'NaN',
    '-',
    '.',
    'e',
  ],
  ...['1e400', '-1e-20000', '9223372036854775808', '0.10000000000000000000000001', '"\\u0000"'],
  ...[
    '\\ud800',
    '\\udc00',
    '\\u0000',
    '\\u00',
    '"site_id":',
    '"seq":',
    '"metrics":',
    '"tenant_id":',
  ],
  ...[
    '"ts":"0001-01-01",',
    '"ts":"9999-12-31T23:59:59.999999",',
    '"provision_token":"tok-1",',
    '"b"',
  ],
  Buffer.from([0xff]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xf0, 0x9f, 0x98]),
]

const REASONS =
  /^(INVALID_JSON|INVALID_PAYLOAD|PAYLOAD_TOO_LARGE|TENANT_MISMATCH_TOPIC_VS_PAYLOAD|MISSING_SITE_ID|INVALID_FIELD:(site_id|seq|metrics))$/u

function mutations(count: number): Telemetry[] {
  const random = new Random(20_000)
  return Array.from({ length: count }, () =>
    message(random.damage(Buffer.from(random.pick(SEEDS)), TOKENS)),
  )
}

test('20 000 damaged payloads are each a row or a rejection with a known reason', () => {
  const seen = new Map<string, number>()
  for (const telemetry of mutations(20_000)) {
    const outcome = judge(telemetry)
    const name = typeof outcome === 'string' ? outcome : 'row'
    assert.match(name, name === 'row' ? /row/u : REASONS)
    seen.set(name, (seen.get(name) ?? 0) + 1)
  }
  // Most reasons have to occur, or the mutations prove nothing.
  assert.ok((seen.get('row') ?? 0) > 1000, 'rows')
  for (const reason of [
    'INVALID_JSON',
    'INVALID_PAYLOAD',
    'MISSING_SITE_ID',
    'INVALID_FIELD:seq',
  ]) {
    assert.ok((seen.get(reason) ?? 0) > 50, reason)
  }
})

test('PostgreSQL takes every row that was accepted and every payload that was not', async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, metrics } = await openIngest(t, ingestConfig(connection))
  const messages = mutations(6_000)
  await Promise.all(messages.map((telemetry) => ingest.append(telemetry)))
  const [found] = await query(
    `SELECT (SELECT count(*) FROM telemetry)::int AS rows,
            (SELECT count(*) FROM quarantine_events)::int AS rejections,
            (SELECT count(*) FROM quarantine_events WHERE reason LIKE 'ROW_REJECTED%')::int AS refused,
            (SELECT count(*) FROM quarantine_events WHERE payload::text ~ 'provision_token[^,]*tok-1')::int AS leaked`,
  )
  const rows = messages.filter((telemetry) => typeof judge(telemetry) !== 'string').length
  assert.deepEqual(found, { rows, rejections: messages.length - rows, refused: 0, leaked: 0 })
  const lost = await metrics.ingestQuarantineLost.get()
  assert.equal(lost.values[0]?.value, 0)
})
