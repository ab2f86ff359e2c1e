import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Row } from '../../ingest/telemetry.ts'
import { formatTimestamp } from '../../ingest/timestamp.ts'
import { judge, MAX_PAYLOAD, message, publisher, type MessageChanges } from './messages.ts'

const site = '"site_id":"north"'

function stored(payload: string | Buffer, changes: MessageChanges = {}): Row {
  const outcome = judge(message(payload, changes))
  assert.ok(typeof outcome !== 'string', `${payload.toString()} is ${String(outcome)}`)
  return outcome
}

function padded(bytes: number): string {
  const frame = `{${site},"pad":""}`
  return frame.replace('""', `"${'x'.repeat(bytes - frame.length)}"`)
}

const REJECTED: readonly (readonly [string, string | Buffer, string, MessageChanges?])[] = [
  ['nothing', '', 'INVALID_JSON'],
  ['blank', '  ', 'INVALID_JSON'],
  ['text', 'hello', 'INVALID_JSON'],
  ['cut off', `{${site},"metrics":{"a":1}`, 'INVALID_JSON'],
  ['two texts', '{}{}', 'INVALID_JSON'],
  ['trailing comma', `{${site},}`, 'INVALID_JSON'],
  ['NaN', `{${site},"metrics":{"a":NaN}}`, 'INVALID_JSON'],
  ['single quotes', "{'site_id':'north'}", 'INVALID_JSON'],
  ['raw line feed in a string', '{"site_id":"a\nb"}', 'INVALID_JSON'],
  ['byte order mark', '\ufeff{"site_id":"north"}', 'INVALID_JSON'],
  ['Latin-1', Buffer.from('{"site_id":"Zürich"}', 'latin1'), 'INVALID_JSON'],
  ['UTF-16', Buffer.from(`{${site}}`, 'utf16le'), 'INVALID_JSON'],
  ['overlong U+0000', Buffer.from([0x22, 0xc0, 0x80, 0x22]), 'INVALID_JSON'],
  ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'INVALID_JSON'],
  ['bytes', Buffer.from([0xff, 0xfe, 0, 1, 2]), 'INVALID_JSON'],
  ['brackets without end', '['.repeat(100_000), 'INVALID_JSON'],

  ['null', 'null', 'INVALID_PAYLOAD'],
  ['a number', '21.5', 'INVALID_PAYLOAD'],
  ['a string', '"north"', 'INVALID_PAYLOAD'],
  ['an array', `[{${site}}]`, 'INVALID_PAYLOAD'],
  ['a deep array', '['.repeat(4000) + ']'.repeat(4000), 'INVALID_PAYLOAD'],
  ['an array beyond the size', `["${'x'.repeat(MAX_PAYLOAD)}"]`, 'INVALID_PAYLOAD'],

  ['one byte too many', padded(MAX_PAYLOAD + 1), 'PAYLOAD_TOO_LARGE'],
  ['bytes count, not characters', `{${site},"x":"${'é'.repeat(4096)}"}`, 'PAYLOAD_TOO_LARGE'],
  ['too large, wrong topic', padded(9000), 'PAYLOAD_TOO_LARGE', { topic: 'x' }],

  ['another topic', `{${site}}`, 'BAD_TOPIC_FORMAT', { topic: 'a/b' }],
  [
    'another tenant',
    `{${site}}`,
    'BAD_TOPIC_FORMAT',
    { topic: 'tenant/b/device/pump-7/telemetry' },
  ],
  [
    'tenant as a prefix',
    `{${site}}`,
    'BAD_TOPIC_FORMAT',
    { topic: 'tenant/acmee/device/pump-7/telemetry' },
  ],
  [
    'another device',
    `{${site}}`,
    'BAD_TOPIC_FORMAT',
    { topic: 'tenant/acme/device/pump-8/telemetry' },
  ],
  [
    'another type',
    `{${site}}`,
    'BAD_TOPIC_FORMAT',
    { topic: 'tenant/acme/device/pump-7/heartbeat' },
  ],
  [
    'type as a prefix',
    `{${site}}`,
    'BAD_TOPIC_FORMAT',
    { topic: 'tenant/acme/device/pump-7/telemetryx' },
  ],
  ['no type', `{${site}}`, 'BAD_TOPIC_FORMAT', { type: '' }],
  ['U+0000 in the type', `{${site}}`, 'BAD_TOPIC_FORMAT', { type: 'a\0b' }],
  ['half a pair in the type', `{${site}}`, 'BAD_TOPIC_FORMAT', { type: 'a\ud800' }],
  ['two levels as a type', `{${site}}`, 'BAD_TOPIC_FORMAT', { type: 'a/b' }],
  ['wrong topic, wrong tenant', '{"tenant_id":"other"}', 'BAD_TOPIC_FORMAT', { topic: 'x' }],

  ['another tenant', `{${site},"tenant_id":"other"}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['another case', `{${site},"tenant_id":"ACME"}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['a blank after it', `{${site},"tenant_id":"acme "}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['a number', `{${site},"tenant_id":7}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['true', `{${site},"tenant_id":true}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['an array of it', `{${site},"tenant_id":["acme"]}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['U+0000', `{${site},"tenant_id":"acme\\u0000"}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  [
    'the last one counts',
    `{${site},"tenant_id":"acme","tenant_id":"b"}`,
    'TENANT_MISMATCH_TOPIC_VS_PAYLOAD',
  ],
  ['by an escaped name', `{${site},"\\u0074enant_id":"b"}`, 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],
  ['wrong tenant, no site', '{"tenant_id":"other"}', 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'],

  ['an empty object', '{}', 'MISSING_SITE_ID'],
  ['site null', '{"site_id":null}', 'MISSING_SITE_ID'],
  ['site ""', '{"site_id":""}', 'MISSING_SITE_ID'],
  ['site false', '{"site_id":false}', 'MISSING_SITE_ID'],
  ['site 0', '{"site_id":0}', 'MISSING_SITE_ID'],
  ['site -0.0e5', '{"site_id":-0.0e5}', 'MISSING_SITE_ID'],
  ['site []', '{"site_id":[ ]}', 'MISSING_SITE_ID'],
  ['site {}', '{"site_id":{}}', 'MISSING_SITE_ID'],
  ['the last one counts', `{${site},"site_id":null}`, 'MISSING_SITE_ID'],
  ['a nested one does not', '{"a":{"site_id":"north"}}', 'MISSING_SITE_ID'],
  ['no site, bad seq and metrics', '{"seq":"x","metrics":5}', 'MISSING_SITE_ID'],

  ['site true', '{"site_id":true}', 'INVALID_FIELD:site_id'],
  ['site an object', '{"site_id":{"a":1}}', 'INVALID_FIELD:site_id'],
  ['site an array', '{"site_id":["north"]}', 'INVALID_FIELD:site_id'],
  ['U+0000 in the site', '{"site_id":"a\\u0000"}', 'INVALID_FIELD:site_id'],
  ['half a pair in the site', '{"site_id":"\\ud83d"}', 'INVALID_FIELD:site_id'],
  ['bad site, seq and metrics', '{"site_id":true,"seq":"x","metrics":5}', 'INVALID_FIELD:site_id'],

  ['seq 1.5', `{${site},"seq":1.5}`, 'INVALID_FIELD:seq'],
  ['seq 1e-1', `{${site},"seq":1e-1}`, 'INVALID_FIELD:seq'],
  ['seq text', `{${site},"seq":"x"}`, 'INVALID_FIELD:seq'],
  ['seq ""', `{${site},"seq":""}`, 'INVALID_FIELD:seq'],
  ['seq "7.0"', `{${site},"seq":"7.0"}`, 'INVALID_FIELD:seq'],
  ['seq " 7"', `{${site},"seq":" 7"}`, 'INVALID_FIELD:seq'],
  ['seq "0x7"', `{${site},"seq":"0x7"}`, 'INVALID_FIELD:seq'],
  ['seq "1e3"', `{${site},"seq":"1e3"}`, 'INVALID_FIELD:seq'],
  ['seq true', `{${site},"seq":true}`, 'INVALID_FIELD:seq'],
  ['seq false', `{${site},"seq":false}`, 'INVALID_FIELD:seq'],
  ['seq []', `{${site},"seq":[]}`, 'INVALID_FIELD:seq'],
  ['seq {}', `{${site},"seq":{"a":1}}`, 'INVALID_FIELD:seq'],
  ['seq 2^63', `{${site},"seq":9223372036854775808}`, 'INVALID_FIELD:seq'],
  ['seq -2^63 - 1', `{${site},"seq":-9223372036854775809}`, 'INVALID_FIELD:seq'],
  ['seq "2^63"', `{${site},"seq":"9223372036854775808"}`, 'INVALID_FIELD:seq'],
  ['seq 1e400', `{${site},"seq":1e400}`, 'INVALID_FIELD:seq'],
  ['seq 1e999999999', `{${site},"seq":1e999999999}`, 'INVALID_FIELD:seq'],
  ['seq of a thousand zeros', `{${site},"seq":1${'0'.repeat(1000)}}`, 'INVALID_FIELD:seq'],
  ['bad seq and metrics', `{${site},"seq":"x","metrics":5}`, 'INVALID_FIELD:seq'],

  ['metrics 5', `{${site},"metrics":5}`, 'INVALID_FIELD:metrics'],
  ['metrics true', `{${site},"metrics":true}`, 'INVALID_FIELD:metrics'],
  ['metrics text', `{${site},"metrics":"{}"}`, 'INVALID_FIELD:metrics'],
  ['metrics an array', `{${site},"metrics":[1]}`, 'INVALID_FIELD:metrics'],
  ['an infinite number', `{${site},"metrics":{"a":1e400}}`, 'INVALID_FIELD:metrics'],
  ['one deep in it', `{${site},"metrics":{"a":[{"b":-1e309}]}}`, 'INVALID_FIELD:metrics'],
  ['more digits than numeric', `{${site},"metrics":{"a":1e-16384}}`, 'INVALID_FIELD:metrics'],
  ['U+0000 in a value', `{${site},"metrics":{"a":"\\u0000"}}`, 'INVALID_FIELD:metrics'],
  ['U+0000 in a name', `{${site},"metrics":{"\\u0000":1}}`, 'INVALID_FIELD:metrics'],
  ['half a pair', `{${site},"metrics":{"a":["\\udc00"]}}`, 'INVALID_FIELD:metrics'],
  [
    '102 levels',
    `{${site},"metrics":${'{"a":'.repeat(102)}1${'}'.repeat(102)}}`,
    'INVALID_FIELD:metrics',
  ],
]

test('each rejected message gets exactly its reason, the earliest check winning', () => {
  for (const [name, payload, reason, changes] of REJECTED) {
    const telemetry = message(payload, changes)
    assert.equal(judge(telemetry), reason, `${name}: ${telemetry.payload.toString().slice(0, 60)}`)
  }
})

test('a payload of exactly the bound passes', () => {
  const payload = padded(MAX_PAYLOAD)
  assert.equal(Buffer.byteLength(payload), MAX_PAYLOAD)
  stored(payload)
})

test('a row holds what topic and payload say', () => {
  const row = stored(
    '{"version":"1","ts":"2026-03-01T06:30:00.250123Z","site_id":"north","tenant_id":"acme","device_id":"other","msg_type":"other","seq":41,"metrics":{"temp_c":21.4},"extra":[1]}',
    { type: 'heartbeat' },
  )
  assert.deepEqual(
    { ...row, time: formatTimestamp(row.time), metrics: Buffer.from(row.metrics).toString() },
    {
      tenantId: 'acme',
      deviceId: 'pump-7',
      siteId: 'north',
      msgType: 'heartbeat',
      time: '2026-03-01T06:30:00.250123Z',
      seq: 41,
      metrics: '{"temp_c":21.4}',
      publisher,
    },
  )
})

test('a topic may go on below its type', () => {
  stored(`{${site}}`, { topic: 'tenant/acme/device/pump-7/telemetry/a/b' })
})

test('the site is a text, or a number as it was written', () => {
  for (const [sent, expected] of [
    ['"north"', 'north'],
    ['"Z\\u00fcrich \\"1\\""', 'Zürich "1"'],
    ['"Zürich 😀"', 'Zürich 😀'],
    ['"0"', '0'],
    ['" "', ' '],
    ['7', '7'],
    ['7.0', '7.0'],
    ['12345678901234567890', '12345678901234567890'],
  ] as const) {
    assert.equal(stored(`{"site_id": ${sent} }`).siteId, expected)
  }
})

test('a tenant in the payload may be absent, empty or the same', () => {
  for (const sent of ['"acme"', '"\\u0061cme"', '""', 'null', 'false', '0', '[]', '{}']) {
    stored(`{${site},"tenant_id":${sent}}`)
  }
  stored(`{${site},"tenant_id":7}`, { tenant: '7' })
})

test('a sequence number is stored exactly', () => {
  for (const [sent, expected] of [
    ['', 0],
    [',"seq":0', 0],
    [',"seq":-0', 0],
    [',"seq":41', 41],
    [',"seq":-41', -41],
    [',"seq":7.0', 7],
    [',"seq":7e2', 700],
    [',"seq":1.5e1', 15],
    [',"seq":70000e-4', 7],
    [',"seq":"7"', 7],
    [',"seq":"-7"', -7],
    [',"seq":"+7"', 7],
    [',"seq":"007"', 7],
    [',"seq":"\\u0037"', 7],
    [',"seq":1,"seq":2', 2],
    [',"seq":null', null],
    [',"seq":9007199254740991', 9007199254740991],
    [',"seq":9007199254740993', 9007199254740993n],
    [',"seq":9007199254740993.0', 9007199254740993n],
    [',"seq":123456789012345678', 123456789012345678n],
    [',"seq":9223372036854775807', 9223372036854775807n],
    [',"seq":-9223372036854775808', -9223372036854775808n],
    [',"seq":"9223372036854775807"', 9223372036854775807n],
  ] as const) {
    assert.equal(stored(`{${site}${sent}}`).seq, expected, sent)
  }
})

test('metrics that count as nothing are an empty object', () => {
  for (const sent of [
    '',
    ',"metrics":null',
    ',"metrics":false',
    ',"metrics":0',
    ',"metrics":0.0',
  ]) {
    assert.equal(Buffer.from(stored(`{${site}${sent}}`).metrics).toString(), '{}', sent)
  }
  for (const sent of [',"metrics":""', ',"metrics":[]', ',"metrics":[ ]', ',"metrics":{}']) {
    assert.equal(Buffer.from(stored(`{${site}${sent}}`).metrics).toString(), '{}', sent)
  }
})

test('metrics are the bytes that were sent', () => {
  for (const metrics of [
    '{"a":0.1000000000000000055,"b":12345678901234567890,"c":1.0,"d":1e2,"e":-0}',
    '{ "a" : { "b" : [ 1 , "x" , null ] } }',
    '{"__proto__":{"polluted":1},"constructor":2,"a":"\\u0041\\ud83d\\ude00"}',
    '{"a":1,"a":2}',
    '{"":""}',
    `{"a":${'['.repeat(99)}1${']'.repeat(99)}}`,
  ]) {
    assert.equal(Buffer.from(stored(`{${site},"metrics":${metrics}}`).metrics).toString(), metrics)
  }
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

test('a time that is absent or cannot be read is the time of receipt', () => {
  const received = '2026-03-01T06:30:07.125000Z'
  for (const [sent, expected] of [
    ['', received],
    [',"ts":1700000000', received],
    [',"ts":"1700000000"', received],
    [',"ts":null', received],
    [',"ts":""', received],
    [',"ts":{}', received],
    [',"ts":"2026-02-30"', received],
    [',"ts":"2026-02-09T09:15:23.0456789+02:00"', '2026-02-09T07:15:23.045678Z'],
    [',"ts":"2026-02-09\\u005409:15:23Z"', '2026-02-09T09:15:23.000000Z'],
    [',"ts":"1970-01-01"', '1970-01-01T00:00:00.000000Z'],
    [',"ts":"2100-01-01"', '2100-01-01T00:00:00.000000Z'],
  ] as const) {
    assert.equal(formatTimestamp(stored(`{${site}${sent}}`).time), expected, sent)
  }
})
