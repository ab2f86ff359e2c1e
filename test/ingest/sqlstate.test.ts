import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultCodeOf, faultOf, sqlstateOf, type Fault } from '../../ingest/sqlstate.ts'
import { serverError } from './server-error.ts'

const BY_SQLSTATE: readonly (readonly [Fault, readonly string[]])[] = [
  // The row's own.
  ['rejected', ['22P02', '22P05', '22003', '22008', '22021', '22001', '22023']],
  ['rejected', ['23502', '23503', '23505', '23514', '44000', 'P0001']],
  // Nobody's in particular: held, cut apart, never condemned at first sight.
  ['unclear', ['42P01', '42703', '42501', '42804', '42P10', '3F000', '0A000', 'XX000', 'XX001']],
  ['unclear', ['22P03', '22P04', '57014', '54000', '54001', '26000', 'P0002', 'P0004', '21000']],
  ['unclear', ['ZZ999', 'MYERR', '00000']],
  // The server's.
  ['transient', ['08000', '08006', '08P01', '53100', '53200', '53300', '57P01', '57P02', '57P03']],
  ['transient', ['40001', '40P01', '55P03', '55006', '58030', '58P01', '25006', '25P02', '25P03']],
  ['transient', ['28P01', '28000', '3D000', 'F0000']],
]

test('a SQLSTATE tells whose fault it was', () => {
  for (const [fault, codes] of BY_SQLSTATE) {
    for (const code of codes) assert.equal(faultOf(serverError(code)), fault, code)
  }
})

test('an error that is not the server’s is the connection’s, or a bug that one row brought out', () => {
  const system = (code: string) => Object.assign(new Error(code), { code, syscall: 'write' })
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', 'ETIMEDOUT', 'ENOENT']) {
    assert.equal(faultOf(system(code)), 'transient', code)
    assert.equal(sqlstateOf(system(code)), undefined, code)
  }
  for (const text of ['Connection terminated unexpectedly', 'timeout expired', 'anything']) {
    assert.equal(faultOf(new Error(text)), 'transient', text)
  }
  for (const thrown of ['text', undefined, null, 7]) assert.equal(faultOf(thrown), 'transient')
  assert.equal(faultOf(new TypeError('bug')), 'unclear')
  assert.equal(faultOf(Object.assign(new RangeError('x'), { code: 'ERR_OUT_OF_RANGE' })), 'unclear')
})

test('a fault has a code of word characters, whatever was thrown', () => {
  assert.equal(faultCodeOf(serverError('23514')), '23514')
  assert.equal(faultCodeOf(Object.assign(new Error('x'), { code: 'ECONNRESET' })), 'ECONNRESET')
  assert.equal(faultCodeOf(new RangeError('x')), 'RangeError')
  assert.equal(faultCodeOf(Object.assign(new Error('x'), { code: 'a b', name: 'c d' })), 'Error')
  assert.equal(faultCodeOf('text'), 'Error')
})
