import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { BcryptThread, isBcryptPassword } from '../../../broker/identity/bcrypt-thread.ts'
import { deriveKey } from '../../../broker/identity/derived-key.ts'
import { PasswordAccounts, PasswordChecksBusy } from '../../../broker/identity/index.ts'
import { Turns } from '../../../broker/identity/turns.ts'
import { parsePasswordFile } from '../../../config/password-file.ts'
import { FakeClock } from '../../helpers/clock.ts'

const random = (bytes: number) => randomBytes(bytes)
const fileOf = (...lines: readonly string[]) => parsePasswordFile(lines.join('\n'), 'passwd')

/** 72 bytes, and their hash. */
const LONGEST = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
const OF_LONGEST = '$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui'
const OF_SECRET = '$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW'

/** Threads of this module never keep the process alive: somebody has to. */
function stayAlive(t: TestContext): void {
  const timer = setInterval(() => undefined, 60_000)
  t.after(() => clearInterval(timer))
}

const IMPOSSIBLE: readonly (readonly [what: string, password: Buffer])[] = [
  ['73 bytes', Buffer.from(`${LONGEST}x`)],
  ['73 bytes, 72 characters', Buffer.from(`${LONGEST.slice(1)}é`)],
  ['a NUL behind the password', Buffer.from('secret\0')],
  ['a NUL in front of it', Buffer.from('\0secret')],
  ['no UTF-8', Buffer.from([0x73, 0xff])],
  ['half a character', Buffer.from([0xc3])],
]

for (const [what, password] of IMPOSSIBLE) {
  test(`what bcrypt cannot tell from other passwords is refused unseen: ${what}`, async () => {
    assert.equal(isBcryptPassword(password), false)
    const accounts = new PasswordAccounts(fileOf(`bob:${OF_LONGEST}`), {
      random,
      // Whatever it is, it would be found right.
      derive: (verifier) => Promise.resolve(verifier.key),
    })
    for (let i = 0; i < 2; i++) assert.equal(await accounts.verify('bob', password), false)
    assert.equal(await accounts.verify('bob', Buffer.from(LONGEST)), true)
  })
}

/** Of crypt_blowfish's own test, and made by libxcrypt 4.4. */
const VECTORS: readonly (readonly [password: string, field: string])[] = [
  ['U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'],
  ['U*U*', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'],
  ['U*U*U', '$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a'],
  [LONGEST, OF_LONGEST],
  ['tok-é-7', '$2y$04$CCCCCCCCCCCCCCCCCCCCC.xoopVBHwkwKVVh8Dy5scrzytsDIMx2G'],
  ['secret', OF_SECRET],
  ['secret', '$2b$12$abcdefghijklmnopqrstuuT1Iwu6o8Wx7BoOyIMHfgVJq6JO/IJhW'],
]

for (const [password, field] of VECTORS) {
  test(`${field} logs in its password only`, async (t) => {
    stayAlive(t)
    const accounts = new PasswordAccounts(fileOf(`bob:${field}`), { random })
    for (const wrong of [password.slice(1), password.toLowerCase().slice(0, -1), field]) {
      assert.equal(await accounts.verify('bob', Buffer.from(wrong)), false)
    }
    assert.equal(await accounts.verify('eve', Buffer.from(password)), false)
    assert.equal(await accounts.verify('bob', Buffer.from(password)), true)
  })
}

test('a line with another digit anywhere in its hash is another line', async (t) => {
  stayAlive(t)
  for (const at of [29, 40, 58]) {
    const digit = OF_SECRET[at] === 'A' ? 'B' : 'A'
    const field = `${OF_SECRET.slice(0, at)}${digit}${OF_SECRET.slice(at + 1)}`
    const accounts = new PasswordAccounts(fileOf(`bob:${field}`), { random })
    assert.equal(await accounts.verify('bob', Buffer.from('secret')), false, field)
  }
})

test('the event loop turns while a password is looked at', async (t) => {
  stayAlive(t)
  const accounts = new PasswordAccounts(fileOf(`bob:${OF_SECRET.replace('$04', '$10')}`), {
    random,
  })
  // The thread is there already.
  await accounts.verify('bob', Buffer.from('x'))
  const state = { isDone: false }
  let turns = 0
  const check = accounts.verify('bob', Buffer.from('secret')).finally(() => (state.isDone = true))
  while (!state.isDone) {
    await new Promise(setImmediate)
    turns++
  }
  assert.equal(await check, false)
  assert.ok(turns > 100, `${turns} turns`)
})

/** A thread whose workers are at hand. */
function watchedThread() {
  const workers: Worker[] = []
  const clock = new FakeClock()
  const thread = new BcryptThread({
    clock,
    start: () => {
      const url = new URL('../../../broker/identity/bcrypt-worker.js', import.meta.url)
      const worker = new Worker(url)
      workers.push(worker)
      return worker
    },
  })
  const accounts = new PasswordAccounts(
    fileOf(`bob:${OF_SECRET}`, `slow:${OF_SECRET.replace('$04', '$13')}`),
    {
      random,
      maxRemembered: 0,
      bcryptTurns: new Turns(1, 2),
      derive: (verifier, password) =>
        verifier.scheme === 'bcrypt'
          ? thread.derive(verifier.encoded, password)
          : deriveKey(verifier, password),
    },
  )
  const logIn = (name: string, password = 'secret') => accounts.verify(name, Buffer.from(password))
  return { workers, clock, logIn }
}

test('a killed thread refuses what it was at, as busy, and the next log in begins another', async (t) => {
  stayAlive(t)
  const { workers, logIn } = watchedThread()
  assert.equal(await logIn('bob'), true)
  const check = logIn('slow')
  const waiting = logIn('bob')
  const [worker] = workers
  assert.ok(worker !== undefined)
  const refused = assert.rejects(check, (err) => {
    assert.ok(err instanceof PasswordChecksBusy)
    assert.equal(err.code, 'PASSWORD_CHECKS_BUSY')
    assert.equal(err.message, 'the thread that computes bcrypt: it ended with 1')
    return true
  })
  await worker.terminate()
  await refused
  assert.equal(await waiting, true)
  assert.equal(workers.length, 2)
  assert.equal(await logIn('bob', 'wrong'), false)
  await workers[1]?.terminate()
})

test('a thread with nothing to do, or with something, keeps no process alive', async () => {
  const module = new URL('../../../broker/identity/derived-key.js', import.meta.url).href
  const verifier = (cost: string) =>
    JSON.stringify({ scheme: 'bcrypt', encoded: OF_SECRET.replace('$04', cost) })
  for (const [cost, printed] of [
    ['$04', '23'],
    // Nothing waits for this one but the process: it ends before the thread does.
    ['$15', ''],
  ] as const) {
    const script = `
      import { deriveKey } from ${JSON.stringify(module)}
      const timer = setInterval(() => undefined, 60_000)
      deriveKey(${verifier(cost)}, Buffer.from('secret')).then((key) => {
        console.log(key.length)
        clearInterval(timer)
      })
      ${cost === '$15' ? 'clearInterval(timer)' : ''}`
    const args = ['--input-type=module', '-e', script]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    assert.equal(stdout.trim(), printed)
  }
})

test('where no thread can be begun nobody is let in, and nobody is told it was the password', async () => {
  const thread = new BcryptThread({
    start: () => {
      throw new Error('no memory')
    },
  })
  for (let i = 0; i < 2; i++) {
    await assert.rejects(thread.derive(OF_SECRET, Buffer.from('secret')), (err) => {
      assert.ok(err instanceof PasswordChecksBusy)
      assert.equal(err.message, 'the thread that computes bcrypt: no memory')
      return true
    })
  }
})

test('there is one thread, it ends when nobody has asked for a minute, and comes back', async (t) => {
  stayAlive(t)
  const { workers, clock, logIn } = watchedThread()
  assert.equal(workers.length, 0)
  assert.deepEqual(await Promise.all([logIn('bob'), logIn('bob', 'x'), logIn('eve')]), [
    true,
    false,
    false,
  ])
  assert.equal(workers.length, 1)
  const [worker] = workers
  assert.ok(worker !== undefined)
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  clock.advance(59_000)
  assert.equal(await logIn('bob'), true)
  clock.advance(59_000)
  assert.equal(await logIn('bob'), true)
  assert.equal(workers.length, 1)
  clock.advance(60_000)
  await ended
  assert.equal(await logIn('bob'), true)
  assert.equal(workers.length, 2)
  await workers[1]?.terminate()
})
