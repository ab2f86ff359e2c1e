import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAclFile } from '../../config/acl-file.ts'
import { ConfigErrors, MAX_ERRORS } from '../../config/errors.ts'

function messagesOf(text: string): readonly string[] {
  try {
    parseAclFile(text, 'acl')
  } catch (err) {
    assert.ok(err instanceof ConfigErrors)
    return err.errors.map((error) => error.message)
  }
  return []
}

const rulesOf = (text: string) =>
  parseAclFile(text, 'acl').rules.map(({ kind, user, access, filter, line }) => [
    line,
    kind,
    user,
    access,
    filter,
  ])

const WORDS = 'A line begins with user, topic or pattern, or with # in its first column'
const ACCESS = 'Access is read, write, readwrite or deny, not'
const SPACES = 'Words are separated by spaces; no control characters'
const FILTER = 'A Topic Filter must follow'
const NAME = 'A user name must follow'

const BAD: readonly (readonly [line: string, shown: string, expected: string])[] = [
  ['foo bar', 'foo bar', WORDS],
  ['foo', 'foo', WORDS],
  ['Topic read a', 'Topic read a', WORDS],
  ['TOPIC read a', 'TOPIC read a', WORDS],
  ['  # comment', '  # comment', WORDS],
  ['user=bob', 'user=bob', WORDS],
  ['topics read a', 'topics read a', WORDS],
  ['\ufeffuser bob', '\ufeffuser bob', WORDS],
  ['topic', 'topic', FILTER],
  ['topic   ', 'topic', FILTER],
  ['pattern', 'pattern', FILTER],
  ['user', 'user', NAME],
  ['user   ', 'user', NAME],
  ['topic raed a/b', 'topic raed a/b', `${ACCESS} "raed"`],
  ['topic READ a', 'topic READ a', `${ACCESS} "READ"`],
  ['topic a b', 'topic a b', `${ACCESS} "a"`],
  ['topic none a', 'topic none a', `${ACCESS} "none"`],
  ['topic subscribe a', 'topic subscribe a', `${ACCESS} "subscribe"`],
  ['topic unsubscribe a', 'topic unsubscribe a', `${ACCESS} "unsubscribe"`],
  ['pattern r/w %u', 'pattern r/w %u', `${ACCESS} "r/w"`],
  ['topic read a#', 'topic read a#', '"a#" is not a Topic Filter'],
  ['topic read a/#/b', 'topic read a/#/b', '"a/#/b" is not a Topic Filter'],
  ['topic read +a', 'topic read +a', '"+a" is not a Topic Filter'],
  ['topic a+', 'topic a+', '"a+" is not a Topic Filter'],
  ['topic deny a/b+/c', 'topic deny a/b+/c', '"a/b+/c" is not a Topic Filter'],
  ['topic read a # comment', 'topic read a # comment', '"a # comment" is not a Topic Filter'],
  ['pattern read #/%u', 'pattern read #/%u', '"#/%u" is not a Topic Filter'],
  ['pattern write %u#', 'pattern write %u#', '"%u#" is not a Topic Filter'],
  ['topic\tread a', 'topic\\x09read a', SPACES],
  ['topic read\ta', 'topic read\\x09a', SPACES],
  ['\ttopic read a', '\\x09topic read a', SPACES],
  ['topic read a\rtopic write b', 'topic read a\\x0dtopic write b', SPACES],
  ['user bo\0b', 'user bo\\x00b', SPACES],
  ['topic read a\x7f', 'topic read a\\x7f', SPACES],
  ['user caf\ufffd', 'user caf\ufffd', 'The line is not valid UTF-8'],
  ['topic read \ud800', 'topic read \ud800', 'The line is not valid UTF-8'],
  [`topic ${'x'.repeat(200)} y`, `topic ${'x'.repeat(114)}…`, `${ACCESS} "${'x'.repeat(120)}…"`],
  [
    `topic read ${'a/'.repeat(200)}a`,
    `topic read ${'a/'.repeat(54)}a…`,
    `"${'a/'.repeat(60)}…" is not a Topic Filter`,
  ],
]

for (const [line, shown, expected] of BAD) {
  test(`the acl_file line ${JSON.stringify(shown.slice(0, 50))} is refused`, () => {
    assert.deepEqual(messagesOf(`user bob\n${line}\n`), [
      `acl:2: Invalid line in acl_file "acl": ${shown}. ${expected}`,
    ])
  })
}

test('every bad line of the file is reported, with its own number', () => {
  const messages = messagesOf('user bob\nfoo\ntopic read a\n\n# fine\ntopic raed b\nuser\n')
  assert.deepEqual(
    messages.map((message) => message.slice(0, 6)),
    ['acl:2:', 'acl:6:', 'acl:7:'],
  )
})

test('a file that is bad throughout is reported up to a bound', () => {
  assert.equal(messagesOf('x\n'.repeat(10 * MAX_ERRORS)).length, MAX_ERRORS)
})

test('an empty file, and one of comments, has no rules', () => {
  for (const text of ['', '\n', '# a\n#b\n   \n\t\n']) assert.deepEqual(rulesOf(text), [])
})

test('sections, access words and order are kept', () => {
  const text = [
    '# anonymous first',
    'topic read public/#',
    'user bob',
    'topic a/b',
    'topic write c',
    'pattern deny secrets/%u/#',
    'user eve smith',
    'topic readwrite d e/f',
    'user bob',
    'topic deny g',
  ].join('\n')
  assert.deepEqual(rulesOf(text), [
    [2, 'topic', undefined, 'read', 'public/#'],
    [4, 'topic', 'bob', 'readwrite', 'a/b'],
    [5, 'topic', 'bob', 'write', 'c'],
    [6, 'pattern', undefined, 'deny', 'secrets/%u/#'],
    [8, 'topic', 'eve smith', 'readwrite', 'd e/f'],
    [10, 'topic', 'bob', 'deny', 'g'],
  ])
})

test('blanks around words, CRLF and a missing last newline do not matter', () => {
  assert.deepEqual(rulesOf('  user   bob  \r\ntopic    read     a/b \t \r\n   topic write x'), [
    [2, 'topic', 'bob', 'read', 'a/b'],
    [3, 'topic', 'bob', 'write', 'x'],
  ])
})

test('a no-break space is part of a name', () => {
  assert.deepEqual(rulesOf('user bob\u00a0\ntopic read a'), [
    [2, 'topic', 'bob\u00a0', 'read', 'a'],
  ])
})

test('rules carry their place, and nothing of the result can be changed', () => {
  const { file, rules } = parseAclFile('topic read a', '/etc/acl')
  assert.equal(file, '/etc/acl')
  assert.equal(rules[0]?.file, '/etc/acl')
  assert.ok(Object.isFrozen(rules) && Object.isFrozen(rules[0]))
})

test('any number of blanks at the end of a line is cut', () => {
  const blanks = ' '.repeat(1_000_000)
  assert.deepEqual(rulesOf(`topic read a${blanks}\n${blanks}\n`), [
    [1, 'topic', undefined, 'read', 'a'],
  ])
})

const ODD: readonly (readonly [line: string, warnings: readonly string[]])[] = [
  ['pattern read %u/#', []],
  ['pattern write tenant/%t/device/%d/x', []],
  ['topic read %u', []],
  ['topic read sensors-%u', []],
  [
    'pattern write tenant/+/device/+/telemetry',
    [
      "ACL pattern 'tenant/+/device/+/telemetry' does not contain '%c' or '%u': it is for every client",
    ],
  ],
  [
    'pattern write sensors-%u/x',
    [
      "ACL pattern 'sensors-%u/x' has a % inside a level: replaced there as Mosquitto 2.0 does, " +
        'while Mosquitto 2.1 takes it literally',
    ],
  ],
  ['topic deny', ['"topic deny" gives readwrite on a topic named deny: no filter follows']],
  ['topic read', ['"topic read" gives readwrite on a topic named read: no filter follows']],
]

for (const [line, warnings] of ODD) {
  test(`${JSON.stringify(line)} has ${warnings.length} warnings`, () => {
    const read = parseAclFile(`${line}\n`, 'acl')
    assert.equal(read.rules.length, 1)
    assert.deepEqual(
      read.warnings,
      warnings.map((problem) => ({ place: { file: 'acl', line: 1 }, problem })),
    )
  })
}
