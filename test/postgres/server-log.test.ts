import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readServerLine } from '../../postgres/server-log.ts'

test('what a session was refused, and the further lines of a message, stay out of the log', () => {
  for (const line of [
    '',
    '   ',
    '\tsecond line of a statement',
    'client backend|ERROR:  invalid input syntax for type json: "the payload"',
  ]) {
    assert.equal(readServerLine(line), undefined, line)
  }
})

test('the server speaks at the level at which someone should act', () => {
  for (const [line, level, text] of [
    ['client backend|FATAL:  terminating connection', 'debug', 'terminating connection'],
    ['dead-end client backend|FATAL:  starting up', 'debug', 'starting up'],
    ['postmaster|LOG:  ready', 'debug', 'ready'],
    ['checkpointer|LOG:  a | b', 'debug', 'a | b'],
    ['autovacuum worker|ERROR:  canceling autovacuum task', 'warn', 'canceling autovacuum task'],
    ['walwriter|WARNING:  w', 'warn', 'w'],
    ['logical replication launcher|FATAL:  terminating', 'warn', 'terminating'],
    ['error while loading shared libraries', 'warn', 'error while loading shared libraries'],
    ['postmaster|FATAL:  could not bind', 'error', 'could not bind'],
    ['startup|FATAL:  no checkpoint', 'error', 'no checkpoint'],
    ['client backend|PANIC:  disk full', 'error', 'disk full'],
    ['walwriter|PANIC:  No space left on device', 'error', 'No space left on device'],
  ] as const) {
    assert.deepEqual(readServerLine(line), { level, text }, line)
  }
})
