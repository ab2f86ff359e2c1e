import assert from 'node:assert/strict'
import { test } from 'node:test'
import { escapeLiteral } from 'pg'
import { literal } from '../../ingest/database.ts'

const TEXTS = [
  '',
  "'",
  "''",
  "a'; DROP TABLE telemetry; --",
  '\\',
  "\\'",
  "\\\\'",
  '{"key":"\\u0041\\\\"}',
  'E',
  '$$',
  '\n\r\t',
  'ümläut 😀',
  `'`.repeat(10_000),
]

test('a literal is the one that pg makes of the same text, whatever is in it', () => {
  for (const text of TEXTS) assert.equal(literal(text), escapeLiteral(text))
})
