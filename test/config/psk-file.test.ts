import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigErrors, parsePskFile } from '../../config/index.ts'

const BAD: readonly (readonly [string, string])[] = [
  [':ab', 'the identity is empty'],
  [' \t:ab', 'the identity is empty'],
  ['a\u0001b:ab', 'the identity is no UTF-8 text'],
  ['a\ufffd:ab', 'the identity is no UTF-8 text'],
  [`${'ä'.repeat(65)}:ab`, 'the identity is longer than 128 bytes'],
  ['a:', 'the key is empty'],
  ['a:  ', 'the key is empty'],
  ['a:0x12', 'the key is not hexadecimal'],
  ['a:12 34', 'the key is not hexadecimal'],
  ['a:b:cd', 'the key is not hexadecimal'],
  [`a:${'ab'.repeat(257)}`, 'the key is longer than 256 bytes'],
]

test('a psk_file with a bad line is refused, and neither identity nor key is repeated', () => {
  for (const [line, problem] of BAD) {
    assert.throws(
      () => parsePskFile(`# comment\n\ngood:ab\n${line}\n`, 'psk'),
      (err) => {
        assert.ok(err instanceof ConfigErrors)
        assert.deepEqual(
          err.errors.map((one) => one.message),
          [`psk:4: ${problem}`],
        )
        return true
      },
      line,
    )
  }
})

test('identities and their keys', () => {
  const { keys, warnings } = parsePskFile(
    '\ta : DEADbeef \r\n# x:1\nb:abc\nno colon\na:00\n',
    'psk',
  )
  assert.deepEqual(
    [...keys].map(([identity, key]) => [identity, key.toString('hex')]),
    [
      ['a', 'deadbeef'],
      ['b', '0abc'],
    ],
  )
  assert.deepEqual(
    warnings.map(({ place, problem }) => [place.line, problem]),
    [
      [4, 'a line without ":" is no identity and key; skipped'],
      [5, 'the identity stands above already; skipped'],
    ],
  )
})
