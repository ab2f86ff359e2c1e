import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { PasswordAccounts } from '../../broker/index.ts'
import { PasswordThreadLost, Turns } from '../../broker/identity/turns.ts'
import type { KeyDerivation } from '../../broker/identity/derived-key.ts'
import { parsePasswordFile } from '../../config/password-file.ts'
import { startBroker } from '../helpers/broker.ts'

const NAMES = ['a', 'b', 'c', 'd'] as const
const file = parsePasswordFile(
  NAMES.map((name, i) => `${name}:$2b$12$${'.'.repeat(52)}${i}`).join('\n'),
  'passwd',
)

async function start(t: TestContext, derive: KeyDerivation, maxWaiting: number) {
  const accounts = new PasswordAccounts(file, {
    random: (bytes) => randomBytes(bytes),
    derive,
    bcryptTurns: new Turns(1, maxWaiting),
  })
  return await startBroker(t, { accounts, listener: { allowAnonymous: false } })
}

/** Passwords are right; each waits to be told so. */
function held() {
  const asked: { readonly name: string | undefined; readonly answer: () => void }[] = []
  const derive: KeyDerivation = async (verifier) => {
    const name = [...file.accounts].find(([, { encoded }]) => encoded === verifier.encoded)?.[0]
    await new Promise<void>((answer) => asked.push({ name, answer }))
    return verifier.key
  }
  const until = async (count: number) => {
    while (asked.length < count) await new Promise(setImmediate)
  }
  return { asked, derive, until }
}

test('a thread that died over a password is CONNACK 3, not 5', async (t) => {
  const { raw, metrics } = await start(
    t,
    () => Promise.reject(new PasswordThreadLost('it died')),
    2,
  )
  const client = await raw()
  const { returnCode } = await client.connect({ clientId: 'a', userName: 'a', password: 'x' })
  assert.equal(returnCode, 3)
  const { values } = await metrics.connectsRefused.get()
  assert.deepEqual(
    values.map(({ labels, value }) => [labels.reason, value]),
    [['password_thread_lost', 1]],
  )
})

test('whoever finds no room gets CONNACK 3 at once, known or not', async (t) => {
  const { asked, derive, until } = held()
  const { raw } = await start(t, derive, 0)
  const logIn = async (userName: string) =>
    (await (await raw()).connect({ clientId: userName, userName, password: 'x' })).returnCode
  const first = logIn('a')
  await until(1)
  assert.deepEqual([await logIn('b'), await logIn('nobody')], [3, 3])
  asked[0]?.answer()
  assert.equal(await first, 0)
  assert.equal(asked.length, 1)
})

test('the password of a client that hung up is not looked at', async (t) => {
  const { asked, derive, until } = held()
  const { raw, metrics } = await start(t, derive, 3)
  const connect = async (userName: string) => {
    const client = await raw()
    return { client, answer: client.connect({ clientId: userName, userName, password: 'x' }) }
  }
  const open = async () => (await metrics.connectionsOpen.get()).values[0]?.value ?? 0
  const first = await connect('a')
  await until(1)
  const gone = await connect('b')
  gone.answer.catch(() => undefined)
  while ((await open()) < 2) await new Promise(setImmediate)
  gone.client.destroy()
  while ((await open()) > 1) await new Promise(setImmediate)
  const last = await connect('c')
  asked[0]?.answer()
  await until(2)
  asked[1]?.answer()
  assert.equal((await first.answer).returnCode, 0)
  assert.equal((await last.answer).returnCode, 0)
  assert.deepEqual(
    asked.map(({ name }) => name),
    ['a', 'c'],
  )
})
