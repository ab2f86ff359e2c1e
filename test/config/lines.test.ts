import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasControl, isDamaged, linesOf, shown, trimBlanks } from '../../config/lines.ts'

test('lines end with LF or CRLF, are numbered from 1 and lose the blanks at their end', () => {
  const numbered = [...linesOf('a\r\n  b \t\n\nc')].map(({ number, text }) => [number, text])
  assert.deepEqual(numbered, [
    [1, 'a'],
    [2, '  b'],
    [3, ''],
    [4, 'c'],
  ])
})

test('a carriage return within a line stays there', () => {
  assert.deepEqual([...linesOf('a\rb')], [{ number: 1, text: 'a\rb' }])
})

test('blanks are the six of the C locale and no others', () => {
  assert.equal(trimBlanks(' \t\n\v\f\ra b\r\f\v\n\t '), 'a b')
  for (const kept of ['\u00a0a', 'a\u2003', '\ufeffa', '\u0085a']) {
    assert.equal(trimBlanks(kept), kept)
  }
  assert.equal(trimBlanks('   '), '')
})

test('control characters and damaged text are seen', () => {
  for (const text of ['\0', 'a\tb', 'a\u001f', '\u007f']) assert.equal(hasControl(text), true)
  for (const text of ['', 'a b', 'é\u0080']) assert.equal(hasControl(text), false)
  for (const text of ['\ufffd', 'a\ud800']) assert.equal(isDamaged(text), true)
  for (const text of ['', 'a', '😀']) assert.equal(isDamaged(text), false)
})

test('what is shown fits on one line and ends somewhere', () => {
  assert.equal(shown('a\nb\u001b[31m\u009b'), 'a\\x0ab\\x1b[31m\\x9b')
  assert.equal(shown('x'.repeat(121)), `${'x'.repeat(120)}…`)
  assert.equal(shown('x'.repeat(120)), 'x'.repeat(120))
})
