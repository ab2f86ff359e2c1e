/** With tenants and no acl_file: accounts that are listed may do everything, and all others nothing. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { PasswordAccounts } from '../../broker/index.ts'
import { hashPassword, parsePasswordFile } from '../../config/index.ts'
import { startBroker } from '../helpers/broker.ts'
import { HeldSink } from '../helpers/held-sink.ts'

const random = (bytes: number) => randomBytes(bytes)
const NAMES = ['service_pulse', 'eve', 'acme/pump', 'SERVICE_PULSE', 'x/#', '+/+']
const FILE = parsePasswordFile(
  NAMES.map((name) => `${name}:${hashPassword('x', { random, iterations: 1 })}\n`).join(''),
  'passwd',
)
const TOPICS = ['tenant/acme/device/pump/telemetry', 'tenant/globex/device/p/status', 'a', '/']

async function start(t: TestContext) {
  const sink = new HeldSink()
  const { broker, client } = await startBroker(t, {
    tenancy: true,
    listener: { allowAnonymous: false },
    accounts: new PasswordAccounts(FILE, { random }),
    rules: { tenancy: true, acl: undefined, accountAccess: new Set(['service_pulse']) },
    sink,
  })
  const as = (userName: string, more = {}) =>
    client(`of ${userName}`, { userName, password: 'x', ...more })
  return { broker, sink, as }
}

for (const name of NAMES.slice(1)) {
  test(`${name}, whom nobody listed, may do nothing`, async (t) => {
    const { broker, sink, as } = await start(t)
    const pulse = await as('service_pulse')
    assert.deepEqual(await pulse.subscribe('#', 1), [1])
    const will = { topic: 'tenant/acme/device/pump/status', payload: 'gone' }
    const account = await as(name, { will })
    for (const filter of ['#', '+', 'a', 'tenant/acme/device/pump/#', '$SYS/#', '$share/g/#']) {
      assert.deepEqual(await account.subscribe(filter, 1), [0x80], filter)
    }
    for (const topic of TOPICS) await account.publish(topic, '{}', { qos: 1, retain: true })
    assert.equal(
      broker.closeAccounts('test', (gone) => gone === name),
      1,
    )
    await account.closed
    await pulse.ping()
    assert.deepEqual(pulse.unread, [])
    assert.deepEqual(sink.taken, [])
    assert.deepEqual(
      sink.denied.map(({ topic }) => topic),
      [...TOPICS, will.topic],
    )
    // What it retained would come now.
    const later = await as('service_pulse', { clientId: 'later' })
    assert.deepEqual(await later.subscribe('#', 1), [1])
    await later.ping()
    assert.deepEqual(later.unread, [])
  })
}

test('service_pulse may do everything', async (t) => {
  const { sink, as } = await start(t)
  const pulse = await as('service_pulse')
  for (const filter of ['#', 'tenant/+/device/+/shadow/reported', '$SYS/#', '$share/g/b']) {
    assert.deepEqual(await pulse.subscribe(filter, 1), [1], filter)
  }
  for (const topic of [...TOPICS, 'tenant/acme/device/pump/commands']) {
    const heard = pulse.next()
    await pulse.publish(topic, '{}', { qos: 0 })
    await heard
  }
  assert.deepEqual(
    sink.taken.map(({ topic }) => topic),
    TOPICS.slice(0, 2),
  )
})
