import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PemError, readPem, toPem } from '../../pki/pem.ts'

const BLOCK = toPem('X509 CRL', Buffer.from('some bytes'))
const read = (text: string) => readPem(text, ['X509 CRL']).map(String)

const LET_THROUGH: Readonly<Record<string, string>> = {
  nothing: '',
  'blank lines': '\n\r\n \t\n\u00a0\n',
  comments: '# one\n#\n\n# two',
}
for (const [title, text] of Object.entries(LET_THROUGH)) {
  test(`after the last block may stand: ${title}`, () => {
    assert.deepEqual(read(`${BLOCK}${text}`), ['some bytes'])
  })
}

const REFUSED: Readonly<Record<string, readonly [text: string, found: string]>> = {
  'a word': ['word\n', 'word'],
  'a word behind comments': ['# one\n\n# two\nword', 'word'],
  'a comment that does not begin its line': [' # one\n', ' # one'],
  'a long line, of which the beginning is told': ['x'.repeat(1000), 'x'.repeat(40)],
}
for (const [title, [text, found]] of Object.entries(REFUSED)) {
  test(`after the last block may not stand: ${title}`, () => {
    assert.throws(
      () => read(`${BLOCK}${text}`),
      new PemError(`text after the last of 1 blocks: ${JSON.stringify(found)}`),
    )
  })
}

test('more line ends than an array may have elements end nothing but the file', () => {
  const ends = Buffer.alloc(136_000_000, '\n').toString('latin1')
  assert.deepEqual(read(`${BLOCK}${ends}`), ['some bytes'])
})
