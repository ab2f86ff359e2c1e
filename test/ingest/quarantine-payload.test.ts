import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cleanText, quarantineError, quarantinePayload } from '../../ingest/quarantine-payload.ts'

const of = (text: string | Buffer) => quarantinePayload(Buffer.from(text))

test('a JSON payload is kept as it was sent, numbers digit by digit', () => {
  for (const text of [
    '{"a":0.1000000000000000055,"b":12345678901234567890,"c":1.0e2,"d":[true,false,null,{}]}',
    '[]',
    '5',
    'null',
    '"x\\n\\"\\\\"',
    '{"__proto__":{"a":1}}',
    '{"é😀":"\\\\u0000"}',
  ]) {
    assert.equal(of(text), text)
  }
  assert.equal(of(' { "a" : 1 } '), '{"a":1}')
})

test('what jsonb refuses is replaced', () => {
  for (const [sent, kept] of [
    ['{"a":"x\\u0000y"}', '{"a":"x\ufffdy"}'],
    ['{"\\u0000":1}', '{"\ufffd":1}'],
    ['{"a":"\\ud800"}', '{"a":"\ufffd"}'],
    ['["\\udc00\\ud83d\\ude00"]', '["\ufffd😀"]'],
    ['{"a":1e400}', '{"a":"1e400"}'],
    ['{"a":[-1e-20000]}', '{"a":["-1e-20000"]}'],
  ] as const) {
    assert.equal(of(sent), kept)
  }
})

test('the provision token is masked in JSON, wherever and whatever it is', () => {
  const mask = '"provision_token":"***"'
  for (const [sent, kept] of [
    ['{"provision_token":"tok-1"}', `{${mask}}`],
    ['{"a":1,"provision_token":"tok-1","b":2}', `{"a":1,${mask},"b":2}`],
    ['{"a":{"b":[{"provision_token":"tok-1"}]},"c":3}', `{"a":{"b":[{${mask}}]},"c":3}`],
    ['{"provision_token":{"x":["tok-1",{"y":1}]},"b":2}', `{${mask},"b":2}`],
    ['{"provision_token":["tok-1",["tok-2"]],"b":[]}', `{${mask},"b":[]}`],
    ['{"provision_token":{},"b":2}', `{${mask},"b":2}`],
    ['{"provision_token":17}', `{${mask}}`],
    ['{"provision_token":null}', `{${mask}}`],
    ['{"provision_token":"tok-1","provision_token":"tok-2"}', `{${mask},${mask}}`],
    ['{"provision\\u005ftoken":"tok-1"}', `{${mask}}`],
    ['{"\\u0070rovision_token":"tok-1"}', `{${mask}}`],
    ['{"Old_Provision_Token":"tok-1"}', '{"Old_Provision_Token":"***"}'],
    ['{"a":"provision_token"}', '{"a":"provision_token"}'],
    ['["provision_token","x"]', '["provision_token","x"]'],
  ] as const) {
    assert.equal(of(sent), kept)
  }
})

test('the provision token is masked in what is no JSON', () => {
  for (const sent of [
    '{"provision_token":"tok-1"',
    '{"provision_token":"tok-1',
    '{"provision_token" : "tok-1", }',
    '{"provision_token":tok-1}',
    "{'provision_token':'tok-1'}",
    "{'provision_token':'tok-1",
    '{provision_token=tok-1}',
    '{"a":NaN,"provision_token":"a\\"tok-1","b":2}',
    '{"PROVISION_TOKEN":"tok-1",}',
    '{"provision\\u005ftoken":"tok-1",}',
    '{"\\u0070\\u0072ovision_token":"tok-1",}',
    '"{\\"provision_token\\":\\"tok-1\\"}" x',
    'provision_token: tok-1',
    '{"provision_token":,"tok-1","b":2}',
    '{"provision_token":null "tok-1"}',
    '{"provision_token":"a,b","tok-1"}',
    '{"provision_token":"a, \\"x\\":tok-1","b":2,}',
    'provision_token "tok-1"',
    '"provision_token"\n:\n"tok-1" x',
  ]) {
    const kept = of(sent)
    assert.ok(!kept.includes('tok-1'), `${sent} is kept as ${kept}`)
    assert.ok(kept.includes('***'), kept)
    assert.equal(typeof (JSON.parse(kept) as { raw: unknown }).raw, 'string')
  }
})

test('the members around a masked token are kept where they can be told', () => {
  assert.equal(
    of('{"a":1,"provision_token":"tok-1", "b" :NaN}'),
    '{"raw":"{\\"a\\":1,\\"provision_token***, \\"b\\" :NaN}"}',
  )
})

test('what is no JSON is kept as text, cut to a bound', () => {
  assert.equal(of('{"a":NaN}'), '{"raw":"{\\"a\\":NaN}"}')
  assert.equal(of(''), '{"raw":""}')
  assert.equal(of(Buffer.from([0x61, 0, 0xff, 0x62])), '{"raw":"a\ufffd\ufffdb"}')
  const long = JSON.parse(of(`x${'y'.repeat(100_000)}`)) as { raw: string }
  assert.equal(long.raw.length, 8192)
  const huge = JSON.parse(of(`"${'y'.repeat(100_000)}"`)) as { raw: string }
  assert.equal(huge.raw.length, 8192, 'JSON beyond the bound, too')
  assert.ok(
    of(`["provision_token:tok-1${'y'.repeat(100_000)}"]`).startsWith(
      '{"raw":"[\\"provision_token***',
    ),
  )
  const deep = JSON.parse(of('['.repeat(101) + ']'.repeat(101))) as { raw: string }
  assert.equal(deep.raw.length, 202)
  assert.equal(of('['.repeat(100) + ']'.repeat(100)).length, 200)
})

test('an exception is kept beside its payload', () => {
  assert.equal(
    quarantineError('x is\0 "bad"', Buffer.from('{"provision_token":"tok-1","a":1}')),
    '{"error":"x is\ufffd \\"bad\\"","payload":{"provision_token":"***","a":1}}',
  )
})

test('text for a column has neither U+0000 nor half a pair', () => {
  assert.equal(cleanText('a\0b\ud800c\udc00😀'), 'a\ufffdb\ufffdc\ufffd😀')
})
