import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigErrors, MAX_ERRORS } from '../../config/errors.ts'
import { parsePasswordFile } from '../../config/password-file.ts'

const base64 = (bytes: number) => Buffer.alloc(bytes, 7).toString('base64')
const unpadded = (bytes: number) => base64(bytes).replaceAll('=', '')

const PBKDF2 = `$7$101$${base64(12)}$${base64(64)}`
const PBKDF2_21 = `$7$1000$${base64(64)}$${base64(64)}`
const SHA512 = `$6$${base64(12)}$${base64(64)}`
const BCRYPT = `$2b$12$abcdefghijklmnopqrstuv${'A'.repeat(31)}`
const ARGON2 = `$argon2id$v=19$m=65536,t=3,p=1$${unpadded(16)}$${unpadded(32)}`

function messagesOf(text: string, argon2 = false): readonly string[] {
  try {
    parsePasswordFile(text, 'passwd', { argon2 })
  } catch (err) {
    assert.ok(err instanceof ConfigErrors)
    return err.errors.map((error) => error.message)
  }
  return []
}

const PLAIN = 'plain text passwords are not accepted: midge passwd -U hashes such a file'
const UNKNOWN = 'unknown password hash: known are $7$, $6$, $argon2id$, $2a$, $2b$ and $2y$'
const SHAPE_7 = 'a $7$ hash is $7$<iterations>$<salt>$<key>'
const COUNT_7 = 'a $7$ hash has 1 to 10000000 iterations'
const SALT_7 = 'the salt of a $7$ hash is 12 or 64 bytes in base64'
const KEY_7 = 'the key of a $7$ hash is 64 bytes in base64'
const SHAPE_6 = 'a $6$ hash is $6$<salt>$<hash>'
const SALT_6 = 'the salt of a $6$ hash is 12 or 64 bytes in base64'
const KEY_6 = 'the hash of a $6$ hash is 64 bytes in base64'
const SHAPE_2 = 'a bcrypt hash is $2b$<cost 04 to 15>$<53 characters>'
const cost2 = (cost: number) =>
  `a bcrypt hash has a cost of at most 15: one log in with ${cost} would take more than 2 s`
const SHAPE_A = 'an argon2id hash is $argon2id$v=19$m=<KiB>,t=<passes>,p=<lanes>$<salt>$<hash>'
const EMPTY = 'the user name before ":" is empty'
const UTF8 = 'the user name is not valid UTF-8'
const CONTROL = 'the user name holds a control character'

const BAD: readonly (readonly [line: string, problem: string])[] = [
  ['bob:secret', PLAIN],
  ['bob: secret ', PLAIN],
  ['bob:7$101$x$y', PLAIN],
  ['bob:', 'no password hash after ":"'],
  ['bob:   ', 'no password hash after ":"'],
  [`bob::${PBKDF2}`, 'no password hash after ":"'],
  [`:${PBKDF2}`, EMPTY],
  [`   :${PBKDF2}`, EMPTY],
  [':', EMPTY],
  [`ali\u0000ce:${PBKDF2}`, CONTROL],
  [`ali\tce:${PBKDF2}`, CONTROL],
  [`caf\ufffd:${PBKDF2}`, UTF8],
  [`\ud800:${PBKDF2}`, UTF8],
  [`${'x'.repeat(65_536)}:${PBKDF2}`, 'the user name is longer than 65535 bytes'],
  [`good:${PBKDF2}`, 'the user name of line 1 stands here again'],
  [`  good  :${SHA512}`, 'the user name of line 1 stands here again'],
  ['bob:$', UNKNOWN],
  ['bob:$5$abc$def', UNKNOWN],
  ['bob:$8$101$abc$def', UNKNOWN],
  [`bob:${ARGON2.replace('argon2id', 'argon2i')}`, UNKNOWN],
  [`bob:${BCRYPT.replace('2b', '2x')}`, UNKNOWN],
  ['bob:$7$', SHAPE_7],
  [`bob:$7$101$${base64(12)}`, SHAPE_7],
  [`bob:$7$101$${base64(12)}$`, SHAPE_7],
  [`bob:${PBKDF2}$x`, SHAPE_7],
  [`bob:${PBKDF2.replace('101', '0')}`, COUNT_7],
  [`bob:${PBKDF2.replace('101', '-5')}`, COUNT_7],
  [`bob:${PBKDF2.replace('101', '')}`, COUNT_7],
  [`bob:${PBKDF2.replace('101', '1e3')}`, COUNT_7],
  [`bob:${PBKDF2.replace('101', '0x65')}`, COUNT_7],
  [`bob:${PBKDF2.replace('101', '10000001')}`, COUNT_7],
  [`bob:${PBKDF2.replace('101', '99999999999')}`, COUNT_7],
  [`bob:$7$101$${base64(16)}$${base64(64)}`, SALT_7],
  [`bob:$7$101$!!!!$${base64(64)}`, SALT_7],
  [`bob:$7$101$$${base64(64)}`, SALT_7],
  [`bob:$7$101$${base64(12)}$${base64(32)}`, KEY_7],
  [`bob:$7$101$${base64(12)}$${base64(64)} x`, KEY_7],
  [`bob:$7$101$${base64(12)}$${base64(64).slice(0, 40)}`, KEY_7],
  [`bob:$6$${base64(12)}`, SHAPE_6],
  [`bob:${SHA512}$x`, SHAPE_6],
  [`bob:$6$${base64(13)}$${base64(64)}`, SALT_6],
  [`bob:$6$${base64(12)}$${base64(65)}`, KEY_6],
  ['bob:$2b$12$short', SHAPE_2],
  [`bob:${BCRYPT.replace('$12$', '$03$')}`, SHAPE_2],
  [`bob:${BCRYPT.replace('$12$', '$32$')}`, SHAPE_2],
  [`bob:${BCRYPT.replace('$12$', '$9$')}`, SHAPE_2],
  [`bob:${BCRYPT}x`, SHAPE_2],
  [`bob:${BCRYPT.slice(0, -1)}=`, SHAPE_2],
  [`bob:${BCRYPT.replace('$12$', '$16$')}`, cost2(16)],
  [`bob:${BCRYPT.replace('$12$', '$31$')}`, cost2(31)],
  [`bob:${ARGON2.replace('v=19', 'v=16')}`, SHAPE_A],
  [`bob:${ARGON2.replace('m=65536,', '')}`, SHAPE_A],
  [`bob:${ARGON2.replace('m=65536', 'm=4')}`, 'an argon2id hash has m from 8 times p to 262144'],
  [
    `bob:${ARGON2.replace('m=65536', 'm=4194304')}`,
    'an argon2id hash has m from 8 times p to 262144',
  ],
  [`bob:${ARGON2.replace('t=3', 't=0')}`, 'an argon2id hash has t from 1 to 100'],
  [`bob:${ARGON2.replace('p=1', 'p=65')}`, 'an argon2id hash has p from 1 to 64'],
  [
    `bob:$argon2id$v=19$m=65536,t=3,p=1$${unpadded(4)}$${unpadded(32)}`,
    'the salt of an argon2id hash is 8 to 64 bytes in base64',
  ],
  [
    `bob:$argon2id$v=19$m=65536,t=3,p=1$${unpadded(16)}$${unpadded(8)}`,
    'the hash of an argon2id hash is 16 to 64 bytes in base64',
  ],
]

for (const [line, problem] of BAD) {
  test(`the password_file line ${JSON.stringify(line.slice(0, 60))} is refused`, () => {
    const text = `good:${PBKDF2}\n${line}\n`
    assert.deepEqual(messagesOf(text), [`passwd:2: ${problem}`])
    assert.deepEqual(messagesOf(text, true), [`passwd:2: ${problem}`])
  })
}

test('no message repeats what stands in the file', () => {
  const text = 'hunter2\nbob:hunter2\nhunter2:hunter2\n:hunter2\nbob:hunter2\nx:$9$hunter2\n'
  const messages = messagesOf(text)
  assert.equal(messages.length, 5)
  for (const message of messages) assert.ok(!/hunter2|bob/u.test(message), message)
})

test('a file that is bad throughout is reported up to a bound', () => {
  assert.equal(messagesOf(':\n'.repeat(10 * MAX_ERRORS)).length, MAX_ERRORS)
})

test('comments and blank lines are no accounts; a line without a colon is skipped with a warning', () => {
  const text = `# x:${PBKDF2}\n\n   \nsecretword\nbob:${PBKDF2}\n`
  const { accounts, warnings } = parsePasswordFile(text, 'passwd')
  assert.deepEqual([...accounts.keys()], ['bob'])
  assert.deepEqual(warnings, [
    {
      place: { file: 'passwd', line: 4 },
      problem: 'a line without ":" is not an account; skipped',
    },
  ])
})

test('an empty file has no accounts', () => {
  assert.equal(parsePasswordFile('', 'passwd').accounts.size, 0)
})

test('each kind of hash is taken apart', () => {
  const text = [
    `old:${PBKDF2}`,
    `new:${PBKDF2_21}`,
    `six:${SHA512}`,
    `six64:$6$${base64(64)}$${base64(64)}`,
    `argon:${ARGON2}`,
  ].join('\n')
  const { accounts, warnings } = parsePasswordFile(text, 'passwd', { argon2: true })
  const [salt12, salt64] = [Buffer.alloc(12, 7), Buffer.alloc(64, 7)]
  assert.deepEqual(warnings, [])
  assert.deepEqual(Object.fromEntries(accounts), {
    old: { scheme: 'pbkdf2-sha512', iterations: 101, salt: salt12, key: salt64, encoded: PBKDF2 },
    new: {
      scheme: 'pbkdf2-sha512',
      iterations: 1000,
      salt: salt64,
      key: salt64,
      encoded: PBKDF2_21,
    },
    six: { scheme: 'sha512', salt: salt12, key: salt64, encoded: SHA512 },
    six64: {
      scheme: 'sha512',
      salt: salt64,
      key: salt64,
      encoded: `$6$${base64(64)}$${base64(64)}`,
    },
    argon: {
      scheme: 'argon2id',
      memoryKiB: 65_536,
      passes: 3,
      parallelism: 1,
      salt: Buffer.alloc(16, 7),
      key: Buffer.alloc(32, 7),
      encoded: ARGON2,
    },
  })
})

test('blanks around name and hash, CRLF and a further field do not matter', () => {
  const { accounts } = parsePasswordFile(`  bob smith  :  ${PBKDF2}  \r\na:${PBKDF2}:x:y`, 'p')
  assert.deepEqual([...accounts.keys()], ['bob smith', 'a'])
  for (const verifier of accounts.values()) assert.equal(verifier.encoded, PBKDF2)
})

test('names that are properties of every object are names like others', () => {
  const { accounts } = parsePasswordFile(`__proto__:${PBKDF2}\nconstructor:${PBKDF2}\n`, 'p')
  assert.deepEqual([...accounts.keys()], ['__proto__', 'constructor'])
  assert.equal(accounts.get('toString'), undefined)
})

test('a bcrypt line is an account, whichever way it is written', () => {
  for (const [cost, kind] of [
    [4, '2a'],
    [12, '2b'],
    [15, '2y'],
  ] as const) {
    // The alphabet's last digit but 1 is 62: 31 of them are 23 bytes of 0xfbefbe...
    const encoded = `$${kind}$${String(cost).padStart(2, '0')}$${'.'.repeat(22)}${'8'.repeat(31)}`
    const { accounts, warnings } = parsePasswordFile(`a:${encoded}`, 'passwd')
    const key = Buffer.from('fbefbe'.repeat(8).slice(0, 46), 'hex')
    assert.deepEqual(accounts.get('a'), { scheme: 'bcrypt', cost, key, encoded })
    assert.deepEqual(warnings, [])
  }
})

test('argon2id on an older Node makes accounts nobody can log in to', () => {
  const lines = [`a:${BCRYPT}`, `b:${PBKDF2}`]
  for (let i = 0; i < 13; i++) lines.push(`c${i}:${ARGON2}`)
  const { accounts, warnings } = parsePasswordFile(lines.join('\n'), 'passwd', { argon2: false })
  assert.equal(accounts.size, 15)
  assert.deepEqual(accounts.get('c0'), { scheme: 'unverifiable', encoded: ARGON2 })
  assert.deepEqual(warnings, [
    {
      place: { file: 'passwd', line: 3 },
      problem:
        'argon2id cannot be verified by this build (Node 24.7 or later can): nobody can log in to ' +
        'the account of line 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 3 more',
    },
  ])
})
