import assert from 'node:assert/strict'
import { test } from 'node:test'
import { becomeUser, targetUser, umaskOf, type Identity } from '../../start/privileges.ts'

const ACCOUNTS = 'root:x:0:0::/root:/bin/sh\nann:x:7:8:::\nnobody:x:65534:65533:::\nbroken\n'

const WITH_MOSQUITTO = `${ACCOUNTS}mosquitto:x:102:105:::\n`

function target(user: string | undefined, environment = {}, accounts = ACCOUNTS) {
  const warned: string[] = []
  const found = targetUser({ user, environment, accounts }, (text) => warned.push(text))
  return { found, warned: warned.length }
}

test('whom root becomes: PUID, then the file, then mosquitto, then nobody', () => {
  const ann = { name: 'ann', uid: 7, gid: 8 }
  const nobody = { name: 'nobody', uid: 65_534, gid: 65_533 }
  const mosquitto = { name: 'mosquitto', uid: 102, gid: 105 }
  assert.deepEqual(target('ann'), { found: ann, warned: 0 })
  assert.deepEqual(target('mosquitto'), { found: nobody, warned: 1 })
  assert.deepEqual(target(undefined), { found: nobody, warned: 1 })
  assert.deepEqual(target(undefined, {}, WITH_MOSQUITTO), { found: mosquitto, warned: 0 })
  assert.deepEqual(target('root'), { found: undefined, warned: 0 })
  assert.deepEqual(target('ann', { PUID: '0' }).found, undefined)
  assert.deepEqual(target('root', { PUID: '7' }).found, ann)
  assert.deepEqual(target('ann', { PUID: '', PGID: '9' }).found, { ...ann, gid: 9 })
  assert.deepEqual(target('ann', { PUID: '50' }).found, { name: undefined, uid: 50, gid: 50 })
})

test('an unknown user, and a PUID or UMASK_SET that is no number, end the start', () => {
  assert.throws(() => target('eve'), {
    code: 'UNKNOWN_USER',
    message:
      "Unable to drop privileges to 'eve' because this user does not exist. Make it, or change 'user'.",
  })
  assert.throws(() => target(undefined, {}, 'root:x:0:0::/:\n'), { code: 'UNKNOWN_USER' })
  for (const id of ['-1', '1.5', 'ann', '0x10', '4294967295', ' 1']) {
    assert.throws(() => target('ann', { PUID: id }), { code: 'PUID' }, id)
    assert.throws(() => target('ann', { PGID: id }), { code: 'PUID' }, id)
  }
  for (const mask of ['9', '0888', '-1', '12345', 'x']) {
    assert.throws(() => umaskOf({ UMASK_SET: mask }), { code: 'UMASK_SET' }, mask)
  }
  assert.equal(umaskOf({ UMASK_SET: '0027' }), 0o27)
  assert.equal(umaskOf({ UMASK_SET: '77' }), 0o77)
  assert.equal(umaskOf({}), undefined)
})

/** What the kernel would do; `sticks`: setuid has no effect. */
function fakeProcess(options: { readonly fails?: string; readonly sticks?: boolean } = {}) {
  const calls: string[] = []
  let uid = 0
  const call = (name: string) => {
    calls.push(name)
    if (options.fails === name) throw new Error(`EPERM: ${name}`)
  }
  const identity: Identity = {
    geteuid: () => uid,
    getuid: () => uid,
    setgroups: (groups) => call(`setgroups ${groups.join(' ')}`),
    initgroups: (user, gid) => call(`initgroups ${user} ${gid}`),
    setgid: (id) => call(`setgid ${id}`),
    setuid: (id) => {
      call(`setuid ${id}`)
      if (options.sticks === true) return
      if (uid !== 0) throw new Error('EPERM')
      uid = id
    },
  }
  return { identity, calls }
}

test('groups, group and user change in this order, and there is no way back', () => {
  const named = fakeProcess()
  becomeUser({ name: 'ann', uid: 7, gid: 8 }, named.identity)
  assert.deepEqual(named.calls, ['initgroups ann 8', 'setgid 8', 'setuid 7', 'setuid 0'])
  const numbered = fakeProcess()
  becomeUser({ name: undefined, uid: 7, gid: 8 }, numbered.identity)
  assert.deepEqual(numbered.calls, ['setgroups 8', 'setgid 8', 'setuid 7', 'setuid 0'])
})

test('a change that fails, or has no effect, ends the start', () => {
  for (const fails of ['initgroups ann 8', 'setgid 8', 'setuid 7']) {
    assert.throws(
      () => becomeUser({ name: 'ann', uid: 7, gid: 8 }, fakeProcess({ fails }).identity),
      {
        code: 'USER_NOT_CHANGED',
        message: /^cannot change to ann \(uid 7, gid 8\): EPERM: .*CAP_SETUID and CAP_SETGID/u,
      },
    )
  }
  assert.throws(
    () => becomeUser({ name: 'ann', uid: 7, gid: 8 }, fakeProcess({ sticks: true }).identity),
    { code: 'USER_NOT_CHANGED', message: 'the change to ann had no effect' },
  )
})
