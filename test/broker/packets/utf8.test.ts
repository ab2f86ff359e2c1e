import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MalformedPacket } from '../../../broker/packets/index.ts'
import { readUtf8 } from '../../../broker/packets/utf8.ts'
import { BAD_STRINGS, hex } from './corpus.ts'

/** With bytes around it that would change every verdict. */
function read(bytes: Buffer): string {
  const padded = Buffer.concat([Buffer.from([0, 0xff]), bytes, Buffer.from([0xc3, 0])])
  return readUtf8(padded, 2, 2 + bytes.length, 'Here')
}

for (const [title, octets, ending] of BAD_STRINGS) {
  test(`${title} is refused`, () => {
    assert.throws(() => read(hex(octets)), new MalformedPacket(`Here ${ending}`))
    const behind = hex(`6161616161616161${octets}`)
    assert.throws(() => read(behind), new MalformedPacket(`Here ${ending}`))
  })
}

test('a range past the end of the bytes is refused', () => {
  assert.throws(() => readUtf8(Buffer.from('ab'), 0, 3, 'Here'), MalformedPacket)
})

test('well-formed text is read, the edges of each length included', () => {
  const texts = [
    '',
    'a',
    '\u{1}\u{7f}',
    '\u{80}\u{7ff}',
    '\u{800}\u{d7ff}\u{e000}\u{ffff}',
    '\u{10000}\u{10ffff}',
    '\u{feff}byte order mark',
    'e\u{301} is not composed',
    '\u{fffd}',
    'x'.repeat(65_535),
  ]
  for (const text of texts) assert.equal(read(Buffer.from(text)), text)
})

test('every sequence of one and two bytes is judged as TextDecoder does', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const verdict = (decode: () => string) => {
    try {
      return decode()
    } catch {
      return undefined
    }
  }
  for (let value = 0; value <= 0xffff; value++) {
    const bytes = value <= 0xff ? Buffer.from([value]) : Buffer.from([value >> 8, value & 0xff])
    const expected = bytes.includes(0) ? undefined : verdict(() => decoder.decode(bytes))
    assert.equal(
      verdict(() => read(bytes)),
      expected,
      bytes.toString('hex'),
    )
  }
})
