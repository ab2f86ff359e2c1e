import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { PasswordAccounts } from '../../broker/identity/index.ts'
import { DEFAULT_MQTT } from '../../broker/mqtt-rules.ts'
import { hashPassword, parsePasswordFile } from '../../config/index.ts'
import type { Config, LimitsConfig, MqttConfig } from '../../config/types.ts'
import { startBroker, type TestBrokerOptions } from '../helpers/broker.ts'
import type { RawClient } from '../helpers/raw-client.ts'

/** A broker whose rules can be replaced, and each rule keeps what it had otherwise. */
async function replaceable(t: TestContext, options: TestBrokerOptions = {}) {
  const started = await startBroker(t, options)
  const { broker, config } = started
  const replace = (changes: {
    limits?: Partial<LimitsConfig>
    mqtt?: Partial<MqttConfig>
    rest?: Partial<Config>
  }) =>
    broker.replaceRules(
      {
        ...config,
        ...changes.rest,
        limits: { ...config.limits, ...changes.limits },
        mqtt: { ...(config.mqtt ?? DEFAULT_MQTT), ...changes.mqtt },
      },
      new Map(),
    )
  return { ...started, replace }
}

/** A change, what a client that connects afterwards asks for, and CONNACK; undefined: closed. */
const CONNECTS: readonly (readonly [
  string,
  Partial<MqttConfig>,
  Parameters<RawClient['connect']>[0],
  number | undefined,
])[] = [
  ['max_keepalive', { maxKeepAlive: 10 }, { clientId: 'b', keepAlive: 11 }, 2],
  ['clientid_prefixes', { clientIdPrefix: 'p-' }, { clientId: 'b' }, 5],
  [
    'message_size_limit',
    { maxPayloadBytes: 1 },
    { clientId: 'b', will: { topic: 'w', payload: 'two' } },
    5,
  ],
  [
    'retain_available',
    { retainAvailable: false },
    { clientId: 'b', will: { topic: 'w', payload: 'x', retain: true } },
    undefined,
  ],
]

test('what a CONNECT is refused for holds from the next one on, and ends nobody', async (t) => {
  for (const [directive, mqtt, fields, returnCode] of CONNECTS) {
    await t.test(directive, async (t) => {
      const { client, raw, replace } = await replaceable(t)
      const before = await client('a', { keepAlive: 60 })
      assert.equal((await (await raw()).connect(fields)).returnCode, 0)
      assert.equal(replace({ mqtt }), 0)
      const late = await raw()
      if (returnCode === undefined) await assert.rejects(late.connect(fields))
      else assert.equal((await late.connect(fields)).returnCode, returnCode)
      await before.ping()
    })
  }
})

test('connections beyond a smaller cap stay, and the next one is closed', async (t) => {
  const { client, raw, replace } = await replaceable(t)
  const both = [await client('a'), await client('b')]
  replace({ limits: { maxConnections: 1 } })
  for (const one of both) await one.ping()
  await (await raw()).closed
  replace({ limits: { maxConnections: 3 } })
  await (await client('c')).ping()
})

test('Sessions beyond a smaller bound stay and are resumed; new ones are refused', async (t) => {
  const { client, raw, replace } = await replaceable(t)
  const kept = await client('a', { clean: false })
  await kept.subscribe('t', 1)
  const other = await client('b')
  await kept.disconnect()
  replace({ limits: { maxSessions: 1 } })
  assert.equal((await (await raw()).connect({ clientId: 'c' })).returnCode, 3)
  const back = await raw()
  assert.deepEqual(await back.connect({ clientId: 'a', clean: false }), {
    returnCode: 0,
    sessionPresent: true,
  })
  await other.publish('t', 'x', { qos: 1 })
  assert.equal(String((await back.receive()).payload), 'x')
})

test('an open connection keeps the largest packet it came with, a new one has the new', async (t) => {
  const { client, replace } = await replaceable(t)
  const [before, subscriber] = [await client('a'), await client('s')]
  await subscriber.subscribe('t', 0)
  replace({ limits: { maxPacketBytes: 1000 } })
  const payload = 'x'.repeat(100_000)
  await before.publish('t', payload, { qos: 1 })
  assert.equal((await subscriber.receive()).payload.length, payload.length)
  const after = await client('b')
  await assert.rejects(after.publish('t', payload, { qos: 1 }))
})

test('a queue beyond a smaller bound is delivered in full, and takes nothing more', async (t) => {
  const { client, replace, metrics } = await replaceable(t)
  const away = await client('a', { clean: false })
  await away.subscribe('t', 1)
  await away.disconnect()
  const publisher = await client('p')
  for (const text of ['1', '2', '3']) await publisher.publish('t', text, { qos: 1 })
  replace({ limits: { maxQueuedMessages: 1 } })
  await publisher.publish('t', 'lost', { qos: 1 })
  const { values } = await metrics.publishDropped.get()
  assert.deepEqual(
    values.map(({ labels, value }) => [labels['reason'], value]),
    [['dropped_queue_messages', 1]],
  )
  const back = await client('a', { clean: false })
  for (const text of ['1', '2', '3']) assert.equal(String((await back.receive()).payload), text)
  await back.ping()
  assert.equal(back.unread.length, 0)
})

test('QoS 0 that was queued keeps its order when it is no longer queued', async (t) => {
  const { client, replace } = await replaceable(t, {
    mqtt: { queueQos0: true },
    limits: { maxInflightMessages: 1 },
  })
  const away = await client('a', { clean: false })
  await away.subscribe('t', 1)
  await away.disconnect()
  const publisher = await client('p')
  for (const [text, qos] of [
    ['1', 1],
    ['2', 1],
    ['3', 0],
  ] as const) {
    await publisher.publish('t', text, { qos })
  }
  await publisher.ping()
  replace({ mqtt: { queueQos0: false }, limits: { maxInflightMessages: 1 } })
  const back = await client('a', { clean: false })
  await publisher.publish('t', '4')
  await publisher.ping()
  const order: string[] = []
  for (let i = 0; i < 4; i++) order.push(String((await back.receive()).payload))
  assert.deepEqual(order, ['1', '2', '3', '4'])
  await back.disconnect()
  await publisher.publish('t', 'lost')
  await publisher.ping()
  const again = await client('a', { clean: false })
  await again.ping()
  assert.equal(again.unread.length, 0)
})

test('a Will from before is delivered and not retained once retaining is not available', async (t) => {
  const { client, replace } = await replaceable(t)
  const watcher = await client('w')
  await watcher.subscribe('will', 0)
  const dying = await client('d', { will: { topic: 'will', payload: 'gone', retain: true } })
  replace({ mqtt: { retainAvailable: false } })
  dying.destroy()
  assert.equal(String((await watcher.receive()).payload), 'gone')
  const later = await client('l')
  await later.subscribe('will', 0)
  await later.ping()
  assert.equal(later.unread.length, 0)
})

test('a PUBLISH without the right to it closes the connection from now on', async (t) => {
  const { client, replace } = await replaceable(t)
  const one = await client('a')
  await one.publish('$SYS/mine', 'x', { qos: 1 })
  replace({ rest: { deniedPublish: 'disconnect' } })
  await assert.rejects(one.publish('$SYS/mine', 'x', { qos: 1 }))
})

test('$SYS begins with an interval where there was none', async (t) => {
  const { client, replace } = await replaceable(t)
  const one = await client('a')
  await one.subscribe('$SYS/broker/version', 0)
  await one.ping()
  assert.equal(one.unread.length, 0)
  replace({ rest: { sysInterval: 60 } })
  assert.match(String((await one.receive()).payload), /^midge version/u)
  replace({ rest: { sysInterval: 0 } })
})

test('a log in under way when the password_file goes is judged by what is in force then', async (t) => {
  const file = parsePasswordFile(`bob:${hashPassword('x', { random: randomBytes })}\n`, 'passwd')
  let begun = (): void => undefined
  let release = (): void => undefined
  const deriving = new Promise<void>((resolve) => (begun = resolve))
  const held = new Promise<void>((resolve) => (release = resolve))
  const accounts = new PasswordAccounts(file, {
    random: randomBytes,
    derive: async (verifier) => {
      begun()
      await held
      return verifier.key
    },
  })
  const { broker, config, raw } = await startBroker(t, {
    accounts,
    listener: { allowAnonymous: false },
  })
  const login = { clientId: 'b', userName: 'bob', password: 'x' }
  const late = await raw()
  const answer = late.connect(login)
  await deriving
  const rules = { tenancy: false, acl: undefined, accountAccess: 'everything' } as const
  const access = { accounts: undefined, rules, isChanged: () => true }
  assert.equal(broker.replaceRules(config, new Map([['test', access]])), 0)
  release()
  assert.equal((await answer).returnCode, 5)
})
