import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DerError, DerReader, Tag } from '../../pki/der.ts'
import { readNamedBits, readOid, readTime, readUnsigned } from '../../pki/der-values.ts'
import { element, oid, time, unsigned } from '../../pki/der-writer.ts'

const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex')

const REFUSED: readonly (readonly [string, string, (reader: DerReader) => unknown, string])[] = [
  ['nothing', '', (r) => r.next(Tag.sequence), 'expected sequence at byte 0, found the end'],
  ['a tag alone', '30', (r) => r.next(), 'length missing at byte 1'],
  [
    'another tag',
    '0400',
    (r) => r.next(Tag.integer),
    'expected integer at byte 0, found octetString',
  ],
  ['content cut short', '300501', (r) => r.next(), 'sequence at byte 0 ends 4 bytes too late'],
  ['an indefinite length', '3080 0000', (r) => r.next(), 'indefinite length at byte 1'],
  [
    'a length that fits a shorter form',
    '308101 00',
    (r) => r.next(),
    'length not in its shortest form at byte 1',
  ],
  [
    'a length with a leading zero',
    '30820080',
    (r) => r.next(),
    'length not in its shortest form at byte 1',
  ],
  ['a length of five octets', '30850000000001', (r) => r.next(), 'length of 5 octets at byte 1'],
  ['length octets cut short', '3082ff', (r) => r.next(), 'length missing at byte 1'],
  ['a tag number above 30', '1f8101 00', (r) => r.next(), 'tag number above 30 at byte 0'],
  ['something left over', '050000', (r) => (r.next(), r.finish()), '1 bytes too many at byte 2'],
  ['an empty integer', '0200', (r) => readUnsigned(r), 'empty integer at byte 0'],
  [
    'a padded integer',
    '02020001',
    (r) => readUnsigned(r),
    'integer not in its shortest form at byte 0',
  ],
  ['a negative number', '0201ff', (r) => readUnsigned(r), 'negative integer at byte 0'],
  [
    'a padded negative',
    '0202ff80',
    (r) => readUnsigned(r),
    'integer not in its shortest form at byte 0',
  ],
  ['an OID cut short', '060255 9d', (r) => readOid(r), 'incomplete OID at byte 0'],
  ['a padded OID', '0603 55801d', (r) => readOid(r), 'padded OID at byte 3'],
  [
    'an endless OID arc',
    `060a 55${'ff'.repeat(8)}7f`,
    (r) => readOid(r),
    'OID arc too large at byte 9',
  ],
  [
    'a date without seconds',
    `170b${Buffer.from('2603010000Z').toString('hex')}`,
    (r) => readTime(r),
    'not a time: "2603010000Z"',
  ],
  [
    'February the 30th',
    `170d${Buffer.from('260230000000Z').toString('hex')}`,
    (r) => readTime(r),
    'not a time: "260230000000Z"',
  ],
  [
    'a time zone',
    `1711${Buffer.from('260301000000+0100').toString('hex')}`,
    (r) => readTime(r),
    'not a time: "260301000000+0100"',
  ],
  [
    'fractions of a second',
    `1812${Buffer.from('20260301000000.00Z').toString('hex')}`,
    (r) => readTime(r),
    'not a time: "20260301000000.00Z"',
  ],
  ['no time at all', '0500', (r) => readTime(r), 'expected a time at byte 0'],
]

for (const [what, hex, read, message] of REFUSED) {
  test(`refuses ${what}`, () => {
    assert.throws(() => read(new DerReader(bytes(hex))), new DerError(message))
  })
}

test('an element may not reach beyond the one it stands in', () => {
  const outer = new DerReader(bytes('3003 0402 00 ff'))
  const inner = outer.enter(Tag.sequence)
  assert.throws(() => inner.next(), new DerError('octetString at byte 2 ends 1 bytes too late'))
})

test('what was written reads back', () => {
  for (const ms of [
    '1950-01-01T00:00:00Z',
    '1999-12-31T23:59:59Z',
    '2049-12-31T23:59:59Z',
    '2050-01-01T00:00:00Z',
    '2969-05-03T00:00:01Z',
  ].map(Date.parse)) {
    assert.equal(readTime(new DerReader(time(ms))), ms)
  }
  for (const id of [
    '2.5.29.20',
    '1.2.840.113549.1.1.11',
    '2.16.840.1.113730.1.1',
    '0.9.2342',
    '2.999.1',
  ]) {
    assert.equal(readOid(new DerReader(oid(id))), id)
  }
  for (const value of [0n, 1n, 127n, 128n, 255n, 256n, 2n ** 159n]) {
    assert.equal(readUnsigned(new DerReader(unsigned(value))), value)
  }
  for (const length of [0, 127, 128, 255, 256, 65_535, 65_536]) {
    const reader = new DerReader(element(Tag.octetString, Buffer.alloc(length)))
    assert.equal(reader.contentOf(reader.next(Tag.octetString)).length, length)
    reader.finish()
  }
})

test('named bits count from the left of the string', () => {
  assert.equal(readNamedBits(new DerReader(bytes('0302 0106'))), (1 << 5) | (1 << 6))
  assert.equal(readNamedBits(new DerReader(bytes('0302 0780'))), 1)
  assert.equal(readNamedBits(new DerReader(bytes('0301 00'))), 0)
})
