import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  lstatSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { parsePasswordFile } from '../../config/index.ts'
import { runPasswd } from '../../start/passwd.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const HASH = `$7$1$${'A'.repeat(16)}$${'A'.repeat(86)}==`
const FILE = `# accounts of the plant\nann:${HASH}\n\nno account\nbob: ${HASH} \n`

async function passwd(t: TestContext, content: string | undefined = FILE) {
  const folder = await scratchDirectory(t)
  const file = join(folder, 'passwd')
  if (content !== undefined) writeFileSync(file, content, { mode: 0o640 })
  const run = async (words: string, typed = '', terminal = false) => {
    const keyboard = new PassThrough()
    const raw: boolean[] = []
    if (terminal) {
      const setRawMode = (on: boolean) => void raw.push(on)
      Object.assign(keyboard, { isTTY: true, setRawMode })
    }
    keyboard.end(typed)
    let [out, err] = ['', '']
    const code = await runPasswd(
      words.split(' ').map((word) => word.replace('FILE', file)),
      {
        stdin: keyboard,
        stdout: { write: (text) => (out += text) },
        stderr: { write: (text) => (err += text) },
        random: (bytes) => Buffer.alloc(bytes, 7),
      },
    )
    return { code, out, err: err.replaceAll(folder, 'DIR'), raw }
  }
  return { folder, file, run, text: () => readFileSync(file, 'utf8') }
}

const REFUSED: readonly (readonly [words: string, message: string])[] = [
  ['-b FILE a:b p', "Username must not contain the ':' character."],
  ['-b FILE #a p', "Username must not begin with '#': its line would be a comment."],
  ['-b FILE a\tb p', 'Username must not contain control characters.'],
  [`-b FILE ${'a'.repeat(65_536)} p`, 'Username must be less than 65536 characters long.'],
  [`-b FILE a ${'p'.repeat(65_536)}`, 'Password must be less than 65536 characters long.'],
  ['-b FILE  p', 'Username must not be empty.'],
  ['-b FILE a ', 'Empty password.'],
  ['-c -D FILE a', '-c and -D cannot be used together.'],
  ['-c -U FILE', '-c and -U cannot be used together.'],
  ['-D -U FILE', '-D and -U cannot be used together.'],
  ['-b -D FILE a', '-b and -D cannot be used together.'],
  ['-H', '-H argument given but not enough other arguments.'],
  ['-H md5 FILE a', "Unknown hash type 'md5', expected sha512 or sha512-pbkdf2."],
  ['-I 0 FILE a', 'Number of iterations must be > 0.'],
  ['-I 10000001 FILE a', 'Number of iterations must be at most 10000000.'],
  ['-x FILE a', "Unknown option '-x'."],
  ['FILE a p', 'Too many arguments. A password on the command line needs -b.'],
  ['-b FILE a', 'Missing: password.'],
  ['FILE', 'Missing: username.'],
  ['-D FILE nobody', 'User nobody not found in password file DIR/passwd.'],
  [
    '-b FILE-none a p',
    'Unable to open password file DIR/passwd-none: it does not exist; -c makes it.',
  ],
  [
    '-D FILE-none a',
    'Unable to open password file DIR/passwd-none: it does not exist; -c makes it.',
  ],
]

test('what is refused ends with 1, says why, and leaves the file alone', async (t) => {
  const { run, text, folder } = await passwd(t)
  for (const [words, message] of REFUSED) {
    const { code, err } = await run(words)
    assert.equal(code, 1, words)
    assert.equal(err.split('\n')[0], `Error: ${message}`)
    assert.equal(text(), FILE)
  }
  assert.deepEqual(readdirSync(folder), ['passwd'])
})

test('a file the broker would refuse is not written over, and each bad line is named', async (t) => {
  const { run, text } = await passwd(t, `ann:${HASH}\nbob:plain\nann:${HASH}\n`)
  for (const words of ['-b FILE a p', '-D FILE ann', '-g FILE a']) {
    const { code, err } = await run(words)
    assert.equal(code, 1)
    assert.match(
      err,
      /^Error: DIR\/passwd:2: plain text .*\nError: DIR\/passwd:3: the user name of line 1 stands here again\n/u,
    )
  }
  assert.match(text(), /bob:plain/u)
})

test('an account keeps its place, a new one comes last, and comments stay', async (t) => {
  const { run, text } = await passwd(t)
  assert.deepEqual((await run('-b FILE ann secret')).out, 'Updating password for user ann\n')
  assert.deepEqual(
    (await run('-H sha512 -b FILE eve secret')).out,
    'Adding password for user eve\n',
  )
  const lines = text().split('\n')
  assert.match(lines[1] ?? '', /^ann:\$7\$1000\$/u)
  assert.match(lines[5] ?? '', /^eve:\$6\$[^$]{16}\$[^$]{88}$/u)
  assert.deepEqual(lines.toSpliced(5, 1).toSpliced(1, 1), FILE.split('\n').toSpliced(1, 1))
  assert.deepEqual([...parsePasswordFile(text(), 'f').accounts.keys()], ['ann', 'bob', 'eve'])
  assert.equal((await run('-D FILE bob')).code, 0)
  assert.deepEqual([...parsePasswordFile(text(), 'f').accounts.keys()], ['ann', 'eve'])
  assert.equal((await run('-I 7 -b FILE ann secret')).code, 0)
  assert.match(text(), /^ann:\$7\$7\$/mu)
})

test('-U hashes what is plain text, keeps what is hashed, and takes all or nothing', async (t) => {
  const { run, text } = await passwd(t, `# c\nann:${HASH}\nbob: se cret \n`)
  assert.equal((await run('-U FILE')).out.endsWith('passwd: 1\n'), true)
  assert.equal(text().startsWith(`# c\nann:${HASH}\nbob:$7$1000$`), true)
  const bad = `ann:plain\nbob:a:b\ncid:\ndan:$9$x\n`
  const second = await passwd(t, bad)
  const { code, err } = await second.run('-U FILE')
  assert.equal(code, 1)
  assert.match(
    err,
    /DIR\/passwd:2: a second ":", expected name:password\nError: DIR\/passwd:3: no password/u,
  )
  assert.equal(second.text(), bad)
})

test('-c makes a file for its owner alone, and begins an old one anew', async (t) => {
  const { run, file, folder, text } = await passwd(t)
  assert.equal((await run('-c -b FILE new p')).code, 0)
  assert.match(text(), /^new:[^\n]*\n$/u)
  assert.equal(statSync(file).mode & 0o777, 0o640)
  assert.equal((await run('-c -b FILE-2 new p')).code, 0)
  assert.equal(statSync(`${file}-2`).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(folder).sort(), ['passwd', 'passwd-2'])
})

test('mode, owner and links outlive a change', async (t) => {
  const { run, file, folder } = await passwd(t)
  const isRoot = process.getuid?.() === 0
  chmodSync(file, 0o604)
  if (isRoot) chownSync(file, 65_534, 65_533)
  const link = join(folder, 'link')
  symlinkSync('passwd', link)
  const { code } = await run(`-b ${link} eve p`)
  assert.equal(code, 0)
  assert.equal(lstatSync(link).isSymbolicLink(), true)
  const { mode, uid, gid } = statSync(file)
  assert.equal(mode & 0o777, 0o604)
  if (isRoot) assert.deepEqual([uid, gid], [65_534, 65_533])
  assert.match(readFileSync(file, 'utf8'), /^eve:/mu)
  const dangling = join(folder, 'dangling')
  symlinkSync('made', dangling)
  assert.equal((await run(`-c -b ${dangling} eve p`)).code, 0)
  assert.match(readFileSync(join(folder, 'made'), 'utf8'), /^eve:/u)
  assert.equal(lstatSync(dangling).isSymbolicLink(), true)
})

const TYPED: readonly (readonly [keys: string, outcome: string])[] = [
  ['one\rtwo\r', 'Error: Passwords do not match.'],
  ['\r\r', 'Error: Empty password.'],
  ['on\u0003', 'Error: Nothing was changed.'],
  ['\u0004', 'Error: Nothing was changed.'],
  ['on', 'Error: Nothing was changed.'],
  ['one\rone\r', ''],
  ['oops\u0015onx\u007fe\rone\r', ''],
]

test('on a terminal a password is typed twice, unseen', async (t) => {
  const { run } = await passwd(t)
  for (const [keys, outcome] of TYPED) {
    const { code, err, raw } = await run('FILE eve', keys, true)
    assert.equal(code, outcome === '' ? 0 : 1, JSON.stringify(keys))
    assert.equal(err.split('\n').findLast((line) => line.startsWith('Error')) ?? '', outcome)
    assert.equal(err.includes('one'), false)
    assert.match(err, /^Password: /u)
    assert.deepEqual(raw, [true, false])
  }
})

test('from a pipe its first line is the password, and a second must be the same', async (t) => {
  const { run, text } = await passwd(t)
  assert.equal((await run('FILE eve', 'se cret')).code, 0)
  const line = text().split('\n').at(-2)
  assert.equal((await run('FILE eve', 'se cret\r\nse cret\n')).code, 0)
  assert.equal(text().split('\n').at(-2), line)
  for (const piped of ['', '\n', 'a\nb\n', 'a\na\na\n', 'x'.repeat(200_000)]) {
    assert.equal((await run('FILE eve', piped)).code, 1)
  }
  assert.equal(text().split('\n').at(-2), line)
})

test('-g shows the password it made', async (t) => {
  const { run } = await passwd(t)
  const { out } = await run('-g FILE eve')
  assert.equal(out, `Adding password for user eve\nShown this once: ${'BwcH'.repeat(6)}\n`)
})
