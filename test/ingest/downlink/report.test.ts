import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  MAX_REPORT_BYTES,
  decodeReport,
  type InvalidReport,
} from '../../../ingest/downlink/report.ts'
import { reportOf } from './reports.ts'

const NEITHER: readonly (readonly [string | Buffer, InvalidReport])[] = [
  ['', 'INVALID_JSON'],
  ['{', 'INVALID_JSON'],
  ['{"reported":{},}', 'INVALID_JSON'],
  ["{'reported':{}}", 'INVALID_JSON'],
  ['{"reported":{}} x', 'INVALID_JSON'],
  [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'INVALID_JSON'],
  ['\ufeff{}', 'INVALID_JSON'],
  ['null', 'INVALID_PAYLOAD'],
  ['[]', 'INVALID_PAYLOAD'],
  ['"text"', 'INVALID_PAYLOAD'],
  ['7', 'INVALID_PAYLOAD'],
  [`{"a":"${'x'.repeat(MAX_REPORT_BYTES)}"}`, 'PAYLOAD_TOO_LARGE'],
]

const BAD_SHADOWS: readonly string[] = [
  '{"reported":null}',
  '{"reported":[]}',
  '{"reported":"{}"}',
  '{"reported":1}',
  '{"reported":true}',
  String.raw`{"reported":{"a":"\u0000"}}`,
  String.raw`{"reported":{"\u0000":1}}`,
  String.raw`{"reported":{"a":"\ud800"}}`,
  '{"reported":{"a":1e400}}',
  `{"reported":${'{"a":'.repeat(200)}1${'}'.repeat(200)}}`,
  '{"reported":{},"reported":[]}',
]

const BAD_ACKS: readonly (readonly [string, InvalidReport])[] = [
  ['{}', 'command_ack_missing_id'],
  ['{"command_id":null}', 'command_ack_missing_id'],
  ['{"command_id":""}', 'command_ack_missing_id'],
  ['{"command_id":7}', 'command_ack_missing_id'],
  ['{"command_id":{"a":1}}', 'command_ack_missing_id'],
  [String.raw`{"command_id":"\u0000"}`, 'command_ack_missing_id'],
  ['{"details":7}', 'command_ack_missing_id'],
  ['{"command_id":"c-1","details":7}', 'command_ack_invalid_details'],
  ['{"command_id":"c-1","details":""}', 'command_ack_invalid_details'],
  ['{"command_id":"c-1","details":[]}', 'command_ack_invalid_details'],
  ['{"command_id":"c-1","details":false}', 'command_ack_invalid_details'],
  ['{"command_id":"c-1","details":{"a":1e400}}', 'command_ack_invalid_details'],
  [String.raw`{"command_id":"c-1","status":"\ud800"}`, 'command_ack_invalid_details'],
]

for (const kind of ['shadow_reported', 'command_ack'] as const) {
  test(`${kind}: what is no JSON object, or too large, is told apart`, () => {
    for (const [payload, refusal] of NEITHER) {
      assert.equal(decodeReport(reportOf(kind, payload)), refusal, String(payload).slice(0, 40))
    }
  })
}

test('a shadow whose reported is not an object that jsonb can hold is refused', () => {
  for (const payload of BAD_SHADOWS) {
    const refusal = decodeReport(reportOf('shadow_reported', payload))
    assert.equal(refusal, 'shadow_reported_invalid_payload', payload.slice(0, 60))
  }
})

test('an acknowledgement without a command, or with details that are no object, is refused', () => {
  for (const [payload, refusal] of BAD_ACKS) {
    assert.equal(decodeReport(reportOf('command_ack', payload)), refusal, payload)
  }
})

test('what is reported is kept as it was sent', () => {
  const exact = '{ "n" : 12345678901234567890.10, "a":"\\u00e9\\/" }'
  const decoded = decodeReport(reportOf('shadow_reported', `{"version":7,"reported":${exact}}`))
  assert.deepEqual(decoded, {
    kind: 'shadow_reported',
    tenantId: 'acme',
    deviceId: 'pump-7',
    reported: exact,
    version: 7,
  })
})

test('reported is empty and version 0 when they are missing', () => {
  const decoded = decodeReport(reportOf('shadow_reported', '{"other":1}'))
  assert.ok(typeof decoded === 'object' && decoded.kind === 'shadow_reported')
  assert.deepEqual([decoded.reported, decoded.version], ['{}', 0])
})

const VERSIONS: readonly (readonly [string, number])[] = [
  ['0', 0],
  ['-0', 0],
  ['41', 41],
  ['-3', -3],
  ['7.9', 7],
  ['-7.9', -7],
  ['1e3', 1000],
  ['"12"', 12],
  ['" 12 "', 12],
  ['"+12"', 12],
  ['"7.9"', 0],
  ['"0x10"', 0],
  ['""', 0],
  ['"twelve"', 0],
  ['true', 1],
  ['false', 0],
  ['null', 0],
  ['[7]', 0],
  ['{"v":7}', 0],
  ['1e400', 0],
  ['2147483647', 2_147_483_647],
  ['2147483648', 2_147_483_647],
  ['99999999999999999999', 2_147_483_647],
  ['"99999999999999999999"', 2_147_483_647],
  ['-99999999999', -2_147_483_648],
]

test('version becomes an int32', () => {
  for (const [text, expected] of VERSIONS) {
    const decoded = decodeReport(reportOf('shadow_reported', `{"reported":{},"version":${text}}`))
    assert.ok(typeof decoded === 'object' && decoded.kind === 'shadow_reported', text)
    assert.ok(Object.is(decoded.version, expected), `${text} became ${decoded.version}`)
  }
})

const ACKS: readonly (readonly [string, string, string])[] = [
  ['{"command_id":"c-1"}', 'c-1', '{"status":"ok","details":null}'],
  ['{"command_id":"c-1","details":null}', 'c-1', '{"status":"ok","details":null}'],
  ['{"command_id":"c-1","details":{}}', 'c-1', '{"status":"ok","details":{}}'],
  [
    '{"details":{"n":1.10},"status":"failed","command_id":"\\u0063-1"}',
    'c-1',
    '{"status":"failed","details":{"n":1.10}}',
  ],
]

test('an acknowledgement has a command, a status and details', () => {
  for (const [payload, commandId, ackDetails] of ACKS) {
    assert.deepEqual(decodeReport(reportOf('command_ack', payload)), {
      kind: 'command_ack',
      tenantId: 'acme',
      deviceId: 'pump-7',
      commandId,
      ackDetails,
    })
  }
})
