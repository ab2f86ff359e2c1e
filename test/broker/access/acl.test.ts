import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Acl, compileAcl } from '../../../broker/access/acl.ts'
import type { Subject } from '../../../broker/access/acl-pattern.ts'
import { identityOf } from '../../../broker/identity/certificate.ts'
import { parseAclFile } from '../../../config/acl-file.ts'
import { issuerKey, serialNumber } from '../../../core/names.ts'

const acl = (...lines: readonly string[]): Acl =>
  compileAcl(parseAclFile(`${lines.join('\n')}\n`, 'acl'))

const account = (userName: string, clientId = 'c1'): Subject => ({
  identity: { kind: 'account', userName },
  clientId,
})
const anonymous = (clientId = 'c1'): Subject => ({
  identity: { kind: 'anonymous', userName: undefined },
  clientId,
})
function device(commonName: string, clientId = 'c1'): Subject {
  const verdict = identityOf(
    {
      commonName,
      issuerKey: issuerKey('0'.repeat(64)),
      serialNumber: serialNumber('1'),
      fingerprint: '0'.repeat(64),
      notAfter: 0,
    },
    true,
  )
  assert.ok(!verdict.refused)
  return { identity: verdict.identity, clientId }
}

const bob = account('bob')

/** `no`: nothing matched. `deny N`: refused by line N. `N`: allowed by line N. */
type Row = readonly [
  what: string,
  lines: readonly string[],
  subject: Subject,
  access: 'read' | 'write',
  topic: string,
  answer: string,
]

function answerOf(rules: Acl, row: Row, tenancy: boolean): string {
  const [, , subject, access, topic] = row
  const decision = rules.grants(subject, topic, access, tenancy)
  const line = decision.rule?.line
  if (decision.allowed) return String(line)
  if (decision.reason === 'acl_no_match') return 'no'
  return line === undefined ? decision.reason : `deny ${line}`
}

// Rows without a comment were asked of Mosquitto 2.0.11 too, which answers the same.
const ROWS: readonly Row[] = [
  ['an empty file gives nobody anything', [], bob, 'write', 'a', 'no'],
  ['anonymous lines are not for users', ['topic readwrite #'], bob, 'write', 'a', 'no'],
  ['anonymous lines', ['topic readwrite #'], anonymous(), 'write', 'a', '1'],
  ['user lines are not for anonymous', ['user bob', 'topic a'], anonymous(), 'write', 'a', 'no'],
  ['another user', ['user eve', 'topic readwrite #'], bob, 'read', 'a', 'no'],
  ['names are case sensitive', ['user Bob', 'topic readwrite #'], bob, 'read', 'a', 'no'],
  [
    'deny after a wider allow',
    ['user bob', 'topic readwrite a/#', 'topic deny a/b'],
    bob,
    'write',
    'a/b',
    'deny 3',
  ],
  [
    'deny is for reading too',
    ['user bob', 'topic readwrite a/#', 'topic deny a/b'],
    bob,
    'read',
    'a/b',
    'deny 3',
  ],
  [
    'beside the deny',
    ['user bob', 'topic readwrite a/#', 'topic deny a/b'],
    bob,
    'write',
    'a/c',
    '2',
  ],
  [
    "the user's deny against a pattern",
    ['user bob', 'topic deny a/b', 'pattern readwrite a/#'],
    bob,
    'write',
    'a/b',
    'deny 2',
  ],
  [
    "the user's own line comes before a deny pattern",
    ['user bob', 'topic readwrite a/b', 'pattern deny a/#'],
    bob,
    'write',
    'a/b',
    '2',
  ],
  [
    'a deny pattern comes before other patterns',
    ['pattern readwrite a/#', 'pattern deny a/b'],
    bob,
    'write',
    'a/b',
    'deny 2',
  ],
  [
    'a read line says nothing about writing',
    ['user bob', 'topic read a/b', 'topic write a/b'],
    bob,
    'write',
    'a/b',
    '3',
  ],
  ['read is not write', ['user bob', 'topic read a/b'], bob, 'write', 'a/b', 'no'],
  ['write is not read', ['user bob', 'topic write a/b'], bob, 'read', 'a/b', 'no'],
  ['the first of two decides', ['user bob', 'topic a/#', 'topic a/b'], bob, 'read', 'a/b', '2'],
  [
    'sections of one user add up',
    ['user bob', 'topic x', 'user eve', 'topic y', 'user bob', 'topic z'],
    bob,
    'write',
    'z',
    '6',
  ],
  [
    'a section ends at the next user',
    ['user bob', 'topic x', 'user eve', 'topic y'],
    bob,
    'write',
    'y',
    'no',
  ],
  [
    'a pattern in the section of another user',
    ['user eve', 'pattern write a/%u'],
    bob,
    'write',
    'a/bob',
    '2',
  ],
  ['%u', ['pattern write a/%u'], bob, 'write', 'a/bob', '1'],
  ['%u is nobody else', ['pattern write a/%u'], bob, 'write', 'a/eve', 'no'],
  ['%u, a shorter level', ['pattern write a/%u'], bob, 'write', 'a/bo', 'no'],
  ['%u, a longer level', ['pattern write a/%u'], bob, 'write', 'a/bobby', 'no'],
  ['%u, below it', ['pattern write a/%u'], bob, 'write', 'a/bob/x', 'no'],
  ['%u, an empty level below it', ['pattern write a/%u'], bob, 'write', 'a/bob/', 'no'],
  ['%u, above it', ['pattern write a/%u'], bob, 'write', 'a', 'no'],
  ['+ beside %u', ['pattern write +/%u/+'], bob, 'write', 'a/bob/x', '1'],
  ['+ beside %u, not two levels', ['pattern write +/%u/+'], bob, 'write', 'a/bob/x/y', 'no'],
  ['+ beside %u, not none', ['pattern write +/%u/+'], bob, 'write', 'a/bob', 'no'],
  ['%u/x, a shorter level', ['pattern write a/%u/x'], bob, 'write', 'a/bo/x', 'no'],
  ['%u/#, the parent', ['pattern read %u/#'], bob, 'read', 'bob', '1'],
  ['%u/#, a shorter level', ['pattern read %u/#'], bob, 'read', 'bo', 'no'],
  ['%u/#, below a shorter level', ['pattern read %u/#'], bob, 'read', 'bo/x', 'no'],
  ['%u case', ['pattern read %u/#'], bob, 'read', 'Bob/x', 'no'],
  ['%u of anonymous', ['pattern write x/%u'], anonymous(), 'write', 'x/%u', 'no'],
  ['%u of anonymous, empty', ['pattern write x/%u'], anonymous(), 'write', 'x/', 'no'],
  ['%c', ['pattern write x/%c'], anonymous('pump'), 'write', 'x/pump', '1'],
  ['%c and %u', ['pattern write %c/%u'], bob, 'write', 'c1/bob', '1'],
  ['%c and %u the other way round', ['pattern write %c/%u'], bob, 'write', 'bob/c1', 'no'],
  ['text before %u', ['pattern write pre-%u/x'], bob, 'write', 'pre-bob/x', '1'],
  ['text before %u, as written', ['pattern write pre-%u/x'], bob, 'write', 'pre-%u/x', 'no'],
  ['text after %u', ['pattern write %u-post/x'], bob, 'write', 'bob-post/x', '1'],
  ['%u in a topic line is text', ['user bob', 'topic write x/%u'], bob, 'write', 'x/%u', '2'],
  ['%u in a topic line', ['user bob', 'topic write x/%u'], bob, 'write', 'x/bob', 'no'],
  ['a pattern for everyone', ['pattern write x/y'], anonymous(), 'write', 'x/y', '1'],
  ['a user name with +', ['pattern write x/#'], account('a+b'), 'write', 'x/y', 'unsafe_name'],
  [
    'a user name with + has its own section',
    ['user a+b', 'topic write own', 'pattern write x/#'],
    account('a+b'),
    'write',
    'own',
    '2',
  ],
  ['a user called #', ['pattern write x/%u'], account('#'), 'write', 'x/y', 'unsafe_name'],
  ['a user called +', ['pattern write x/%u'], account('+'), 'write', 'x/y', 'unsafe_name'],
  [
    'a Client Identifier with +, even where no %c is',
    ['pattern write x/y'],
    account('bob', 'c+'),
    'write',
    'x/y',
    'unsafe_name',
  ],
  ['a wildcard in a name, no patterns', ['user #', 'topic a'], account('#'), 'read', 'b', 'no'],
  ['# does not reach $SYS', ['user bob', 'topic read #'], bob, 'read', '$SYS/broker/x', 'no'],
  ['+ does not reach $SYS', ['user bob', 'topic read +/#'], bob, 'read', '$SYS/broker/x', 'no'],
  ['$SYS/# does', ['user bob', 'topic read $SYS/#'], bob, 'read', '$SYS/broker/x', '2'],
  [
    'a deny pattern reaches across the / of a name',
    ['pattern deny x/%u/#', 'pattern write x/#'],
    account('a/b'),
    'write',
    'x/a/b/t',
    'deny 1',
  ],
  // Mosquitto 2.0 pastes the name into the filter and grants the next four; see acl-pattern.ts.
  ['a/b is not two levels', ['pattern write x/%u'], account('a/b'), 'write', 'x/a/b', 'no'],
  ['nor below a', ['pattern write x/%u/t'], account('a/b'), 'write', 'x/a/b/t', 'no'],
  ['a Client Identifier c/d', ['pattern write x/%c'], account('b', 'c/d'), 'write', 'x/c/d', 'no'],
  ['%u/# of a user called $foo', ['pattern write %u/#'], account('$foo'), 'write', '$foo/x', 'no'],
  // Mosquitto 2.1 compares up to the end of the shorter text, and grants the next three.
  ['a/b is not a', ['pattern write x/%u'], account('a/b'), 'write', 'x/a', 'no'],
  ['a/b is not a, in the middle', ['pattern write x/%u/t'], account('a/b'), 'write', 'x/a/t', 'no'],
  ['pump-70 is not pump-7', ['pattern write x/%u'], account('pump-70'), 'write', 'x/pump-7', 'no'],
  // Without values.
  ['an empty Client Identifier', ['pattern write x/%c'], anonymous(''), 'write', 'x/', 'no'],
  ['%t of an account', ['pattern write x/%t'], bob, 'write', 'x/%t', 'no'],
  ['%d of an account, empty', ['pattern write x/%d'], bob, 'write', 'x/', 'no'],
  ['a deny with %t of an account', ['pattern deny %t', 'pattern a'], bob, 'read', 'a', '2'],
]

for (const row of ROWS) {
  const [what, lines, , access, topic, answer] = row
  test(`acl_file: ${what}: ${access} ${topic}: ${answer}`, () => {
    assert.equal(answerOf(acl(...lines), row, false), answer)
  })
}

const DEVICES: readonly Row[] = [
  [
    '%t and %d',
    ['pattern tenant/%t/device/%d/#'],
    device('acme/p'),
    'read',
    'tenant/acme/device/p/x',
    '1',
  ],
  [
    '%t of another',
    ['pattern tenant/%t/device/%d/#'],
    device('acme/p'),
    'read',
    'tenant/globex/device/p/x',
    'no',
  ],
  [
    '%d of another',
    ['pattern tenant/%t/device/%d/#'],
    device('acme/p'),
    'read',
    'tenant/acme/device/p2/x',
    'no',
  ],
  ['the section of its full name', ['user acme/p', 'topic a'], device('acme/p'), 'read', 'a', '2'],
  ['the section of its tenant', ['user acme', 'topic a'], device('acme/p'), 'read', 'a', 'no'],
  ['the section of its device id', ['user p', 'topic a'], device('acme/p'), 'read', 'a', 'no'],
  ['%u is no level', ['pattern tenant/%u/#'], device('acme/p'), 'read', 'tenant/acme/p/x', 'no'],
  [
    '%u is not its tenant',
    ['pattern tenant/%u/#'],
    device('acme/p'),
    'read',
    'tenant/acme/x',
    'no',
  ],
  [
    'a pattern for all devices',
    ['pattern write tenant/+/device/+/t'],
    device('a/p'),
    'write',
    'tenant/a/device/p/t',
    '1',
  ],
  [
    'a Client Identifier with #',
    ['pattern write tenant/#'],
    device('a/p', '#'),
    'write',
    'tenant/a/device/p/t',
    'unsafe_name',
  ],
  [
    'a pattern for all devices, asked by an account',
    ['pattern write tenant/+/device/+/t'],
    bob,
    'write',
    'tenant/a/device/p/t',
    'no',
  ],
  ['the same with #', ['pattern write #'], bob, 'write', 'tenant/a/device/p/t', 'no'],
  [
    'the same with %c',
    ['pattern write tenant/a/device/%c/t'],
    account('bob', 'p'),
    'write',
    'tenant/a/device/p/t',
    'no',
  ],
  [
    'the same, anonymous',
    ['pattern write tenant/+/device/+/t'],
    anonymous(),
    'write',
    'tenant/a/device/p/t',
    'no',
  ],
  ['elsewhere the account has it', ['pattern write #'], bob, 'write', 'test/x', '1'],
  [
    'a pattern with %u',
    ['pattern write tenant/%u/#'],
    account('acme'),
    'write',
    'tenant/acme/x',
    '1',
  ],
  [
    'the line after a passed one',
    ['pattern write tenant/#', 'pattern write tenant/%u/#'],
    account('acme'),
    'write',
    'tenant/acme/x',
    '2',
  ],
  [
    'a deny pattern is for everybody',
    ['user bob', 'topic read a', 'pattern deny tenant/+/secret', 'pattern %u'],
    bob,
    'read',
    'tenant/a/secret',
    'deny 3',
  ],
  [
    'an own line',
    ['user bob', 'topic write tenant/+/device/+/t'],
    bob,
    'write',
    'tenant/a/device/p/t',
    '2',
  ],
]

for (const row of DEVICES) {
  const [what, lines, , access, topic, answer] = row
  test(`acl_file with tenancy: ${what}: ${access} ${topic}: ${answer}`, () => {
    assert.equal(answerOf(acl(...lines), row, true), answer)
  })
}

test('a pattern without %u reaches below tenant/ for everybody when tenancy is off', () => {
  const rules = acl('pattern write tenant/+/device/+/t')
  assert.equal(rules.grants(bob, 'tenant/a/device/p/t', 'write', false).allowed, true)
})

test('a decision names the file and line it comes from', () => {
  const rules = compileAcl(parseAclFile('user bob\ntopic deny a\ntopic b\n', '/etc/acl'))
  assert.equal(rules.file, '/etc/acl')
  assert.deepEqual(rules.grants(bob, 'a', 'read', false), {
    allowed: false,
    reason: 'acl_deny',
    rule: { file: '/etc/acl', line: 2 },
  })
  assert.deepEqual(rules.grants(bob, 'b', 'read', false), {
    allowed: true,
    rule: { file: '/etc/acl', line: 3 },
  })
})

test('users called like properties of every object have no rights by that', () => {
  const rules = acl('user bob', 'topic #')
  for (const name of ['__proto__', 'constructor', 'toString']) {
    assert.equal(rules.grants(account(name), 'a', 'read', false).allowed, false)
  }
})
