import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mayPass, octal } from '../../postgres/reach.ts'

test('an account passes a folder by the first of owner, group and others that it is', () => {
  const account = { name: 'postgres', uid: 101, gid: 104 }
  for (const [mode, uid, gid, passes] of [
    [0o700, 0, 0, false],
    [0o770, 0, 0, false],
    [0o754, 0, 0, false],
    [0o701, 0, 104, false],
    [0o611, 101, 104, false],
    [0o711, 0, 0, true],
    [0o1777, 0, 0, true],
    [0o710, 0, 104, true],
    [0o100, 101, 0, true],
  ] as const) {
    assert.equal(mayPass({ mode, uid, gid }, account), passes, `${octal(mode)} ${uid}:${gid}`)
  }
})
