import assert from 'node:assert/strict'
import * as crypto from 'node:crypto'
import { test } from 'node:test'
import { deriveKey, type KeyDerivation } from '../../../broker/identity/derived-key.ts'
import { PasswordAccounts, PasswordChecksBusy } from '../../../broker/identity/index.ts'
import { Turns } from '../../../broker/identity/turns.ts'
import { parsePasswordFile } from '../../../config/password-file.ts'
import { hashPassword } from '../../../config/password-hash.ts'

const random = (bytes: number) => crypto.randomBytes(bytes)
const fileOf = (...lines: readonly string[]) => parsePasswordFile(lines.join('\n'), 'passwd')
const lineOf = (name: string, password: string) =>
  `${name}:${hashPassword(password, { random, iterations: 1 })}`

const VECTORS: readonly (readonly [what: string, password: string, field: string])[] = [
  [
    'PBKDF2 with 101 iterations',
    'secret',
    '$7$101$loGlllYx+lHlvXmn$3SwPZFwan7yei/P2nKottSkVRT/S9u+djpeUg+wX2xWW04CZ1lAK4fz6zGcIvWV7UKUoxoslQuUkE3Ol3ZgWig==',
  ],
  [
    'PBKDF2, blanks and letters beyond ASCII',
    'hunter 2 é',
    '$7$101$GyDLNL5WVJVClHn8$FBkHNGgT/lqoF1YbArPWqAREONmRxsuVtFly8GfkK851TdCtcceTEDmrsyku97WwbmEC6OzjimNnmbL0chSJCA==',
  ],
  [
    'PBKDF2, a password of 100 bytes',
    'x'.repeat(100),
    '$7$101$rQHSP8pZ0txNPXts$0l3+9Cn4wPmlsKVIaqfbbGW5tFBLphZi+ELq5E7uH52q8s2v177G6Vsr32wvmEPF+CQ0SctoBvRiDgN9Loxd7A==',
  ],
  [
    'SHA-512',
    'hunter 2 é',
    '$6$dbDYudNkLLBovMmQ$eX9eEfCsESDT4Q+lZJ0Xs2iwZpS44+m/VQnREWUWlXlQ4U7D5R8g2OHMLiTjnHAPOY0Tzxv8UF2xyUoJ5FnASw==',
  ],
]

for (const [what, password, field] of VECTORS) {
  test(`a line of Debian's mosquitto_passwd logs in its password only: ${what}`, async () => {
    const accounts = new PasswordAccounts(fileOf(`bob:${field}`), { random })
    for (const wrong of [`${password}x`, password.slice(1), ` ${password}`, 'SECRET', field]) {
      assert.equal(await accounts.verify('bob', Buffer.from(wrong)), false)
    }
    assert.equal(await accounts.verify('Bob', Buffer.from(password)), false)
    assert.equal(await accounts.verify('bob', Buffer.from(password)), true)
  })
}

test('an argon2id line logs in its password only', {
  skip: !('argon2' in crypto) && 'this Node has no crypto.argon2',
}, async () => {
  // The reference implementation's own vector: password, somesalt, t=2, m=65536, p=1.
  const field =
    '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
  const accounts = new PasswordAccounts(fileOf(`bob:${field}`), { random })
  assert.equal(await accounts.verify('bob', Buffer.from('Password')), false)
  assert.equal(await accounts.verify('bob', Buffer.from('password')), true)
})

/** A derivation that settles when told to, and remembers what it was asked. */
function heldDerivation() {
  const calls: { readonly encoded: string; readonly finish: () => void }[] = []
  const awaited = new Map<number, () => void>()
  let running = 0
  let most = 0
  const derive: KeyDerivation = async (verifier, password) => {
    running++
    most = Math.max(most, running)
    await new Promise<void>((finish) => {
      calls.push({ encoded: verifier.encoded, finish })
      awaited.get(calls.length - 1)?.()
    })
    running--
    return deriveKey(verifier, password)
  }
  return {
    derive,
    calls,
    /** The most that ever ran at once. */
    most: () => most,
    /** Waits for call number `index`, counted from 0, and lets it go on. */
    async finish(index: number) {
      if (calls[index] === undefined) {
        await new Promise<void>((called) => awaited.set(index, called))
      }
      calls[index]?.finish()
    },
  }
}

/** As derived at once, counting. */
function countedDerivation() {
  const asked: string[] = []
  const derive: KeyDerivation = (verifier, password) => {
    asked.push(verifier.encoded)
    return deriveKey(verifier, password)
  }
  return { derive, asked }
}

test('no password and an empty password are refused, whatever the line says', async () => {
  const { derive, asked } = countedDerivation()
  const key = crypto.pbkdf2Sync('', Buffer.alloc(12), 1, 64, 'sha512').toString('base64')
  const line = `bob:$7$1$${Buffer.alloc(12).toString('base64')}$${key}`
  const accounts = new PasswordAccounts(fileOf(line), { random, derive })
  assert.equal(await accounts.verify('bob', undefined), false)
  assert.equal(await accounts.verify('bob', Buffer.alloc(0)), false)
  assert.equal(await accounts.verify('', undefined), false)
  assert.deepEqual(asked, [])
})

test('an unknown user costs the hash of a line of the file, always the same one', async () => {
  const { derive, asked } = countedDerivation()
  const lines = Array.from({ length: 20 }, (_, i) => lineOf(`user${i}`, 'secret'))
  const file = fileOf(...lines)
  const accounts = new PasswordAccounts(file, { random, derive })
  for (let i = 0; i < 3; i++) {
    assert.equal(await accounts.verify('nobody', Buffer.from('secret')), false)
  }
  assert.equal(asked.length, 3)
  assert.equal(new Set(asked).size, 1)
  assert.ok([...file.accounts.values()].some(({ encoded }) => encoded === asked[0]))
  for (let i = 0; i < 40; i++) await accounts.verify(`nobody${i}`, Buffer.from('secret'))
  assert.ok(new Set(asked).size > 5, 'all unknown names look like the same account')
})

test('without any account to imitate, a hash is computed all the same', async () => {
  const { derive, asked } = countedDerivation()
  const accounts = new PasswordAccounts(fileOf(), { random, derive })
  assert.equal(await accounts.verify('nobody', Buffer.from('secret')), false)
  assert.deepEqual(asked, [''])
})

test('an account that cannot be verified never logs in, and costs a hash too', async () => {
  const { derive, asked } = countedDerivation()
  const encoded = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$'
  const accounts = new Map([
    ...fileOf(lineOf('bob', 'secret')).accounts,
    ['dev', { scheme: 'unverifiable', encoded }] as const,
  ])
  const file = { file: 'passwd', accounts, warnings: [] }
  const passwords = new PasswordAccounts(file, { random, derive })
  for (const password of ['secret', encoded]) {
    assert.equal(await passwords.verify('dev', Buffer.from(password)), false)
  }
  assert.equal(asked.length, 2)
  assert.ok(asked.every((encoded) => encoded.startsWith('$7$')))
})

test('lines of bcrypt have turns of their own, with a smaller room', async () => {
  const held = heldDerivation()
  const bcrypt = ['a', 'b', 'c', 'd'].map((name) => `${name}:$2b$04$${'.'.repeat(53)}`)
  const accounts = new PasswordAccounts(fileOf(...bcrypt, lineOf('bob', 'secret')), {
    random,
    derive: async (verifier, password) => {
      await held.derive({ ...verifier, scheme: 'sha512', salt: Buffer.alloc(12) }, password)
      return verifier.key
    },
    bcryptTurns: new Turns(1, 2),
  })
  const logIn = (name: string) => accounts.verify(name, Buffer.from('secret'))
  const first = ['a', 'b', 'c'].map(logIn)
  await assert.rejects(logIn('d'), PasswordChecksBusy)
  const other = logIn('bob')
  assert.equal(held.calls.length, 2)
  await held.finish(1)
  assert.equal(await other, true)
  for (const call of [0, 2, 3]) await held.finish(call)
  assert.deepEqual(await Promise.all(first), [true, true, true])
})

test('an unknown user costs bcrypt where the file has nothing else', async () => {
  const { derive, asked } = countedDerivation()
  const line = `$2b$04$${'.'.repeat(53)}`
  const accounts = new PasswordAccounts(fileOf(`a:${line}`), {
    random,
    derive: (verifier, password) =>
      derive({ ...verifier, scheme: 'sha512', salt: Buffer.alloc(12) }, password),
  })
  assert.equal(await accounts.verify('nobody', Buffer.from('secret')), false)
  assert.deepEqual(asked, [line])
  // Nor does the time of a refusal tell who has such a line.
  assert.equal(await accounts.verify('nobody', Buffer.alloc(73, 'x')), false)
  assert.equal(await accounts.verify('a', Buffer.alloc(73, 'x')), false)
  assert.equal(asked.length, 1)
})

test('a password is looked at while any of those that wait for it is there', async () => {
  const held = heldDerivation()
  const lines = ['a', 'b', 'c'].map((name) => lineOf(name, 'secret'))
  const accounts = new PasswordAccounts(fileOf(...lines), {
    random,
    derive: held.derive,
    maxRunning: 1,
  })
  let isGone = false
  const logIn = (name: string, leaves: boolean) =>
    accounts.verify(name, Buffer.from('secret'), { address: '', isGone: () => leaves && isGone })
  const running = logIn('a', true)
  const gone = [logIn('b', true), logIn('b', true)]
  const shared = [logIn('c', true), logIn('c', false)]
  isGone = true
  const refused = Promise.all(gone.map((one) => assert.rejects(one, PasswordChecksBusy)))
  await held.finish(0)
  await refused
  await held.finish(1)
  assert.deepEqual(await Promise.all([running, ...shared]), [true, true, true])
  assert.equal(held.calls.length, 2)
})

test('a derivation that gives nothing, or too little, logs nobody in', async () => {
  for (const key of [undefined, Buffer.alloc(0), Buffer.alloc(63)]) {
    const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'secret')), {
      random,
      derive: () => Promise.resolve(key),
    })
    assert.equal(await accounts.verify('bob', Buffer.from('secret')), false)
  }
})

test('so many hashes run at once, so many wait, and the next log in is told to come back', async () => {
  const held = heldDerivation()
  const lines = Array.from({ length: 6 }, (_, i) => lineOf(`user${i}`, 'secret'))
  const accounts = new PasswordAccounts(fileOf(...lines), {
    random,
    derive: held.derive,
    maxRunning: 2,
    maxWaiting: 3,
  })
  const logIn = (i: number) => accounts.verify(`user${i}`, Buffer.from('secret'))
  const first = [0, 1, 2, 3, 4].map(logIn)
  await assert.rejects(logIn(5), (err) => {
    assert.ok(err instanceof PasswordChecksBusy)
    assert.equal(err.code, 'PASSWORD_CHECKS_BUSY')
    assert.equal(err.message, "3 log ins already wait for their password's hash")
    return true
  })
  assert.equal(held.calls.length, 2)
  for (let i = 0; i < 5; i++) await held.finish(i)
  assert.deepEqual(await Promise.all(first), [true, true, true, true, true])
  assert.equal(held.most(), 2)
  // In the order of arrival, and with room again.
  const again = logIn(5)
  await held.finish(5)
  assert.equal(await again, true)
})

test('a failed derivation is passed on, and its turn is free again', async () => {
  let failures = 1
  const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'secret')), {
    random,
    maxRunning: 1,
    maxWaiting: 0,
    derive: (verifier, password) =>
      failures-- > 0 ? Promise.reject(new Error('out of memory')) : deriveKey(verifier, password),
  })
  await assert.rejects(accounts.verify('bob', Buffer.from('secret')), /out of memory/u)
  assert.equal(await accounts.verify('bob', Buffer.from('secret')), true)
})

test('overlapping log ins of one account share one hash, and later ones need none', async () => {
  const held = heldDerivation()
  const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'secret')), {
    random,
    derive: held.derive,
    maxRunning: 1,
    maxWaiting: 0,
  })
  const storm = Array.from({ length: 500 }, () => accounts.verify('bob', Buffer.from('secret')))
  await held.finish(0)
  assert.ok((await Promise.all(storm)).every(Boolean))
  assert.equal(await accounts.verify('bob', Buffer.from('secret')), true)
  assert.equal(held.calls.length, 1)
})

test('a wrong password is never remembered, not even next to a right one', async () => {
  const { derive, asked } = countedDerivation()
  const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'secret'), lineOf('eve', 'other')), {
    random,
    derive,
  })
  assert.equal(await accounts.verify('bob', Buffer.from('secret')), true)
  for (let i = 0; i < 2; i++) {
    assert.equal(await accounts.verify('bob', Buffer.from('other')), false)
    assert.equal(await accounts.verify('eve', Buffer.from('secret')), false)
  }
  assert.equal(asked.length, 5)
})

test('a name and a password that read alike when joined are not the same log in', async () => {
  const accounts = new PasswordAccounts(fileOf(lineOf('ab', 'cd'), lineOf('abc', 'x')), { random })
  assert.equal(await accounts.verify('ab', Buffer.from('cd')), true)
  assert.equal(await accounts.verify('abc', Buffer.from('d')), false)
})

test('only so many passwords are remembered, the one used last for longest', async () => {
  const { derive, asked } = countedDerivation()
  const lines = ['a', 'b', 'c'].map((name) => lineOf(name, 'secret'))
  const accounts = new PasswordAccounts(fileOf(...lines), { random, derive, maxRemembered: 2 })
  const logIn = async (name: string) => {
    const before = asked.length
    assert.equal(await accounts.verify(name, Buffer.from('secret')), true)
    return asked.length - before
  }
  assert.equal(await logIn('a'), 1)
  assert.equal(await logIn('b'), 1)
  assert.equal(await logIn('a'), 0)
  assert.equal(await logIn('c'), 1)
  assert.equal(await logIn('a'), 0)
  assert.equal(await logIn('b'), 1)
})

test('with nothing to be remembered, every log in computes its hash', async () => {
  const { derive, asked } = countedDerivation()
  const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'secret')), {
    random,
    derive,
    maxRemembered: 0,
  })
  for (let i = 0; i < 3; i++) await accounts.verify('bob', Buffer.from('secret'))
  assert.equal(asked.length, 3)
})

test('a replaced file is in force at once: old passwords and removed accounts are out', async () => {
  const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'old'), lineOf('eve', 'x')), {
    random,
  })
  assert.equal(await accounts.verify('bob', Buffer.from('old')), true)
  assert.equal(await accounts.verify('eve', Buffer.from('x')), true)
  accounts.replace(fileOf(lineOf('bob', 'new')))
  assert.equal(await accounts.verify('bob', Buffer.from('old')), false)
  assert.equal(await accounts.verify('eve', Buffer.from('x')), false)
  assert.equal(await accounts.verify('bob', Buffer.from('new')), true)
})

test('across a replaced file a password is remembered for a line that stayed, and for no other', async () => {
  const { derive, asked } = countedDerivation()
  const [bob, eve, zoe] = ['bob', 'eve', 'zoe'].map((name) => lineOf(name, 'secret'))
  assert.ok(bob !== undefined && eve !== undefined && zoe !== undefined)
  const accounts = new PasswordAccounts(fileOf(bob, eve, zoe), { random, derive })
  const costOf = async (name: string, answer: boolean) => {
    const before = asked.length
    assert.equal(await accounts.verify(name, Buffer.from('secret')), answer)
    return asked.length - before
  }
  for (const name of ['bob', 'eve', 'zoe']) assert.equal(await costOf(name, true), 1)
  accounts.replace(fileOf(lineOf('eve', 'secret'), lineOf('new', 'x'), bob))
  assert.equal(await costOf('bob', true), 0)
  assert.equal(await costOf('eve', true), 1)
  assert.equal(await costOf('zoe', false), 1)
  accounts.replace(fileOf(bob, zoe))
  // What was forgotten stays so, also when the line is back.
  assert.equal(await costOf('zoe', true), 1)
  assert.equal(await costOf('bob', true), 0)
})

const REPLACEMENTS: readonly (readonly [
  what: string,
  lines: readonly string[],
  answer: boolean,
])[] = [
  ['a new password', [lineOf('bob', 'new')], false],
  ['no such account', [lineOf('eve', 'old')], false],
  ['no account at all', [], false],
  ['a new hash of the same password', [lineOf('bob', 'old')], true],
]

for (const [what, lines, answer] of REPLACEMENTS) {
  test(`a log in under way is judged by the file of its end: ${what}`, async () => {
    const held = heldDerivation()
    const accounts = new PasswordAccounts(fileOf(lineOf('bob', 'old')), {
      random,
      derive: held.derive,
    })
    const logIn = accounts.verify('bob', Buffer.from('old'))
    assert.equal(held.calls.length, 1)
    accounts.replace(fileOf(...lines))
    await held.finish(0)
    await held.finish(1)
    assert.equal(await logIn, answer)
    assert.equal(held.calls.length, 2)
  })
}

test('a log in under way is not started again for an account that stayed as it was', async () => {
  const held = heldDerivation()
  const line = lineOf('bob', 'secret')
  const accounts = new PasswordAccounts(fileOf(line), { random, derive: held.derive })
  const logIn = accounts.verify('bob', Buffer.from('secret'))
  accounts.replace(fileOf(line, lineOf('eve', 'x')))
  await held.finish(0)
  assert.equal(await logIn, true)
  assert.equal(held.calls.length, 1)
})

test('the revision of an account changes with its line, and tells nothing about it', () => {
  const [bob, eve] = [lineOf('bob', 'secret'), lineOf('eve', 'secret')]
  const accounts = new PasswordAccounts(fileOf(bob, eve), { random })
  const before = accounts.revisionOf('bob')
  assert.ok(before !== undefined && !bob.includes(before))
  assert.notEqual(accounts.revisionOf('eve'), before)
  assert.equal(accounts.revisionOf('nobody'), undefined)
  accounts.replace(fileOf(bob))
  assert.equal(accounts.revisionOf('bob'), before)
  assert.equal(accounts.revisionOf('eve'), undefined)
  accounts.replace(fileOf(lineOf('bob', 'secret')))
  assert.notEqual(accounts.revisionOf('bob'), before)
})
