import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import {
  FIELD,
  JsonScanner,
  MAX_DEPTH,
  TOO_DEEP,
  UNSTORABLE_NUMBER,
  UNSTORABLE_TEXT,
} from '../../ingest/json-scanner.ts'
import { isStorableNumber } from '../../ingest/json-number.ts'
import { Random } from './random.ts'

const scanner = new JsonScanner()

function cut(text: string, field: (typeof FIELD)[keyof typeof FIELD]): string | undefined {
  const bytes = Buffer.from(text)
  assert.equal(scanner.scan(bytes), 'object', text)
  const start = scanner.start[field] ?? -1
  return start === -1 ? undefined : bytes.toString('utf8', start, scanner.end[field])
}

function flags(metrics: string): number {
  assert.equal(scanner.scan(Buffer.from(`{"metrics":${metrics},"x":"\\u0000"}`)), 'object')
  return (scanner.flags[FIELD.metrics] ?? 0) & (UNSTORABLE_TEXT | UNSTORABLE_NUMBER | TOO_DEEP)
}

test('what is not JSON is invalid', () => {
  const texts = [
    ...[
      '',
      ' ',
      '\ufeff{}',
      '{',
      '}',
      '[',
      ']',
      '{}}',
      '{} {}',
      '{,}',
      '{"a"}',
      '{"a":}',
      '{"a":1,}',
    ],
    ...['{"a":1 "b":2}', '{a:1}', "{'a':1}", '{"a":1]', '[1}', '[1,]', '[,1]', '[1 2]', '{1:2}'],
    ...['01', '-', '-a', '+1', '.5', '5.', '1.e1', '1e', '1e+', '0x10', '1_000', 'NaN', 'Infinity'],
    ...['-Infinity', 'tru', 'True', 'nul', 'truee', 'undefined', '"', '"a', '"\n"', '"\t"', '"\0"'],
    ...[
      '"\\x41"',
      '"\\u12"',
      '"\\u12g4"',
      '"\\',
      '"\\"',
      '// x\n1',
      '1 // x',
      '/**/1',
      "'a'",
      'null,',
    ],
  ]
  for (const text of texts) {
    assert.throws(() => JSON.parse(text), SyntaxError, text)
    assert.equal(scanner.scan(Buffer.from(text)), 'invalid', JSON.stringify(text))
  }
})

test('what is JSON is told by its outermost value', () => {
  for (const text of ['{}', ' \t\r\n{ } ', '{"a":[{"b":{}}]}', '{"":""}']) {
    assert.equal(scanner.scan(Buffer.from(text)), 'object', text)
  }
  for (const text of ['[]', '[{}]', '0', '-0', '-1.5e-7', '1E5', 'null', 'true', '"\u2028\x7f"']) {
    assert.equal(scanner.scan(Buffer.from(text)), 'value', text)
  }
})

test('a member of the top-level object is cut out as it stands, the last of its name', () => {
  assert.equal(cut('{"metrics": {"a" : 1.10 } ,"ts":"x"}', FIELD.metrics), '{"a" : 1.10 }')
  assert.equal(cut('{"seq":1,"seq": 0.1e1 }', FIELD.seq), '0.1e1')
  assert.equal(cut('{"m\\u0065trics":[]}', FIELD.metrics), '[]')
  assert.equal(cut('{"a":{"seq":1},"b":[{"seq":2}]}', FIELD.seq), undefined)
  assert.equal(cut('{"Seq":1,"seqq":2,"se":3}', FIELD.seq), undefined)
  assert.equal(cut('{"a":{},"seq":7}', FIELD.seq), '7')
  assert.equal(cut('{"seq":1,"metrics":{"x":{"y":[]}},"site_id":"é"}', FIELD.siteId), '"é"')
})

test('text that jsonb refuses is found in names and values, whatever stands around it', () => {
  const refused = [
    ...['{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":[{"b":"x\\u0000"}]}', '{"a":"\\ud800"}'],
    ...[
      '{"a":"\\udc00"}',
      '{"a":"\\ud800x"}',
      '{"a":"\\ud800\\u0041"}',
      '{"a":"\\ud800\\ud800\\udc00"}',
    ],
    ...['{"a":"\\uDBFF\\n"}', '{"a":"\\ude00\\ud83d"}', '{"\\uD83D":1}'],
  ]
  for (const text of refused) assert.equal(flags(text), UNSTORABLE_TEXT, text)
  const taken = [
    '{"a":"\\ud83d\\ude00"}',
    '{"a":"\\\\u0000"}',
    '{"a":"\\uFFFF\\u0001"}',
    '{"a":"😀"}',
  ]
  for (const text of taken) assert.equal(flags(text), 0, text)
})

test('numbers beyond a double or beyond numeric are found', () => {
  const digits = '9'.repeat(400)
  for (const text of [
    '1e400',
    '-1e400',
    `${digits}`,
    `-${digits}.5`,
    '1e-16384',
    '1e-20000',
    '0e99999',
  ]) {
    assert.equal(flags(`{"a":[${text}]}`), UNSTORABLE_NUMBER, text.slice(0, 20))
    assert.equal(isStorableNumber(text), false, text.slice(0, 20))
  }
  for (const text of ['1e308', '1e-400', `0.${digits}`, '-0', '12345678901234567890', '5E+3']) {
    assert.equal(flags(`{"a":[${text}]}`), 0, text.slice(0, 20))
  }
})

test('nesting is measured, not followed: a hundred levels are fine, a hundred thousand no trouble', () => {
  const nested = (levels: number) => '[1,'.repeat(levels - 1) + '1' + ']'.repeat(levels - 1)
  assert.equal(flags(`{"a":${nested(MAX_DEPTH)}}`), 0)
  assert.equal(flags(`{"a":${nested(MAX_DEPTH + 1)}}`), TOO_DEEP)
  assert.equal(flags('{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)), TOO_DEEP)
  assert.equal(scanner.scan(Buffer.from('['.repeat(100_000))), 'invalid')
})

test('20 000 damaged texts are judged as JSON.parse judges them', () => {
  const random = new Random(11)
  const seeds = [
    '{"version":"1","ts":"2026-03-01T06:30:00.250Z","site_id":"north","seq":41,"metrics":{"a":-2.5e3}}',
    '{"m\\u0065trics":{"a":[1,{"b":null},[]]},"x":[true,false,{"é":"\\ud83d\\ude00😀"}]}',
    ' [ 1 , 2.5 , { "a" : [ ] } ] ',
  ]
  const tokens = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '0', '-', '.', 'e', '+', 'true']
  let accepted = 0
  for (let i = 0; i < 20_000; i++) {
    const bytes = random.damage(Buffer.from(random.pick(seeds)), tokens)
    if (!isUtf8(bytes)) continue
    const text = bytes.toString()
    let value: unknown
    let expected = 'invalid'
    try {
      value = JSON.parse(text)
      expected =
        typeof value === 'object' && value !== null && !Array.isArray(value) ? 'object' : 'value'
    } catch {
      // Stays invalid.
    }
    assert.equal(scanner.scan(bytes), expected, JSON.stringify(text))
    if (expected !== 'object') continue
    accepted++
    for (const [name, field] of [
      ['metrics', FIELD.metrics] as const,
      ['seq', FIELD.seq] as const,
    ]) {
      const start = scanner.start[field] ?? -1
      const found = start === -1 ? undefined : bytes.toString('utf8', start, scanner.end[field])
      const own = Object.getOwnPropertyDescriptor(value, name)?.value as unknown
      assert.deepEqual(found === undefined ? undefined : JSON.parse(found), own, text)
    }
  }
  assert.ok(accepted > 1000, `only ${accepted} texts stayed JSON`)
})
