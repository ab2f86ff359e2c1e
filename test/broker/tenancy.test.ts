/**
 * No tenant can touch another, and no device another: every way across, tried over mutual TLS. Each
 * row says what the attacker does; afterwards the victims, an account that reads everything and the
 * record of refusals are asked what they saw.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { PasswordAccounts, type AccessRules } from '../../broker/index.ts'
import { PacketType, encodePublish } from '../../broker/packets/index.ts'
import { hashPassword } from '../../config/password-hash.ts'
import { parsePasswordFile } from '../../config/password-file.ts'
import { startBroker } from '../helpers/broker.ts'
import type { TestCertificate } from '../helpers/certificates.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { RememberingLog } from '../helpers/log.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import { RawClient, type ConnectFields } from '../helpers/raw-client.ts'

const pki = mutualTls()
const certificates = new Map<string, TestCertificate>()

/** The one certificate of this name. */
function certificateOf(name: string): TestCertificate {
  const certificate = certificates.get(name) ?? pki.device(name)
  certificates.set(name, certificate)
  return certificate
}

const random = (bytes: number) => randomBytes(bytes)
const accounts = new PasswordAccounts(
  parsePasswordFile(
    ['service_pulse', 'operator', 'acme/pump-7']
      .map((name) => `${name}:${hashPassword('secret', { random, iterations: 1 })}`)
      .join('\n'),
    'passwd',
  ),
  { random },
)

const rules: AccessRules = {
  tenancy: true,
  acl: undefined,
  accountAccess: new Set(['service_pulse']),
}

/** Names chosen to look alike. */
const ATTACKER = 'acme/pump-7'
const VICTIMS = ['acme/pump-70', 'acme2/pump-7', 'acme2/pump-70'] as const

const prefixOf = (name: string) => `tenant/${name.replace('/', '/device/')}/`

async function startWorld(t: TestContext) {
  const sink = new HeldSink()
  const remembering = new RememberingLog()
  const { broker, port } = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    rules,
    sink,
    log: remembering.log,
    also: [
      { listener: { name: 'accounts', allowAnonymous: false }, accounts, rules },
      { listener: { name: 'anonymous' }, rules },
    ],
  })
  /** Over mutual TLS, with CONNACK 0. */
  const device = async (name: string, fields: ConnectFields = {}) => {
    const client = await pki.connect(t, port, certificateOf(name))
    const answer = await client.connect({ clientId: name, ...fields })
    assert.equal(answer.returnCode, 0)
    return Object.assign(client, answer)
  }
  /** Over TCP, with a password or, without a name, anonymous; with CONNACK 0. */
  const account = async (userName: string | undefined, fields: ConnectFields = {}) => {
    const listener = userName === undefined ? 'anonymous' : 'accounts'
    const client = await RawClient.tcp(broker.portOf(listener))
    t.after(() => client.destroy())
    const login = userName === undefined ? {} : { userName, password: 'secret' }
    const answer = await client.connect({ ...login, ...fields })
    assert.equal(answer.returnCode, 0)
    return Object.assign(client, answer)
  }

  const service = await account('service_pulse', { clientId: 'service' })
  assert.deepEqual(await service.subscribe(['#', '$SYS/#'], 2), [2, 2])
  const victims: { name: string; client: RawClient }[] = []
  for (const name of VICTIMS) {
    const client = await device(name)
    assert.deepEqual(await client.subscribe(`${prefixOf(name)}#`, 2), [2])
    victims.push({ name, client })
  }

  /**
   * Everything that was said, by those who heard it, up to now. Before: what the attacker did has to
   * be over, as an answer to a later PINGREQ shows.
   */
  const heard = async (): Promise<Record<string, string[]>> => {
    const all: Record<string, string[]> = {}
    const everyone = [...victims, { name: 'service', client: service }]
    for (const { name } of victims) await service.publish(`${prefixOf(name)}commands`, 'end')
    await service.publish('end', 'end')
    for (const { name, client } of everyone) {
      const heardBy: string[] = []
      for (;;) {
        const { topic, payload } = await client.receive()
        if (String(payload) === 'end' && topic !== 'end') {
          if (name !== 'service') break
        } else if (topic === 'end') break
        else heardBy.push(`${topic} ${String(payload)}`)
      }
      if (heardBy.length > 0) all[name] = heardBy
    }
    return all
  }

  /** What a new subscriber with all rights finds retained. */
  const retained = async (): Promise<string[]> => {
    const reader = await account('service_pulse', { clientId: 'reader' })
    await reader.subscribe(['#', '$SYS/#'], 1)
    await reader.ping()
    return reader.unread
      .filter(({ type }) => type === PacketType.PUBLISH)
      .map(({ bytes }) => bytes.toString('latin1'))
  }

  const denied = () =>
    sink.denied.map(({ tenantId, deviceId, topic, payload, publisher }) => ({
      ...{ tenantId, deviceId, topic, payload: String(payload) },
      ...publisher,
    }))

  return {
    broker,
    port,
    sink,
    remembering,
    device,
    account,
    service,
    victims,
    heard,
    retained,
    denied,
  }
}

type World = Awaited<ReturnType<typeof startWorld>>

/** How a refusal is recorded: under the connection's identity, whatever the topic says. */
const record = (name: string, clientId: string, topic: string, payload: string) => ({
  tenantId: name.split('/')[0],
  deviceId: name.split('/')[1],
  topic,
  payload,
  kind: 'device',
  userName: name,
  clientId,
  fingerprint: certificateOf(name).fingerprint,
})

const FOREIGN_TOPICS: readonly (readonly [title: string, topic: string])[] = [
  ['another device of the tenant', 'tenant/acme/device/pump-70/telemetry'],
  ['the same device of another tenant', 'tenant/acme2/device/pump-7/telemetry'],
  ['another device of another tenant', 'tenant/acme2/device/pump-70/telemetry'],
  ['a command for another device', 'tenant/acme/device/pump-70/commands'],
  ['a command for itself', 'tenant/acme/device/pump-7/commands'],
  ['its own shadow, the side it may not write', 'tenant/acme/device/pump-7/shadow/desired'],
  ['its own name without more', 'tenant/acme/device/pump-7'],
  ['its own prefix without more', 'tenant/acme/device/pump-7/'],
  ['steps upwards from its own prefix', 'tenant/acme/device/pump-7/../pump-70/telemetry'],
  ['a tenant without device', 'tenant/acme/telemetry'],
  ['a level more in front', '/tenant/acme/device/pump-7/telemetry'],
  ['an empty level', 'tenant//acme/device/pump-7/telemetry'],
  ['other letters', 'Tenant/acme/device/pump-7/telemetry'],
  ["other letters in the tenant's name", 'tenant/Acme/device/pump-7/telemetry'],
  ['a blank in the name', 'tenant/acme /device/pump-7/telemetry'],
  ['no tenant at all', 'telemetry'],
  ["the broker's own", '$SYS/broker/version'],
  ['a shared subscription as a topic', '$share/g/tenant/acme/device/pump-7/telemetry'],
]

test('what a device publishes where it may not is dropped, and recorded as its own doing', async (t) => {
  const world = await startWorld(t)
  const attacker = await world.device(ATTACKER)
  for (const [title, topic] of FOREIGN_TOPICS) {
    await t.test(title, async () => {
      world.sink.denied.length = 0
      for (const qos of [0, 1, 2] as const) {
        for (const retain of [false, true]) {
          // Acknowledged like any other, as by Mosquitto.
          await attacker.publish(topic, `${qos}${retain}`, { qos, retain })
        }
      }
      await attacker.ping()
      assert.deepEqual(await world.heard(), {})
      assert.deepEqual(await world.retained(), [])
      assert.deepEqual(world.sink.taken, [])
      assert.deepEqual(
        world.denied(),
        ['0false', '0true', '1false', '1true', '2false', '2true'].map((payload) =>
          record(ATTACKER, ATTACKER, topic, payload),
        ),
      )
    })
  }
})

test("a Will on another's topic is not sent, and recorded", async (t) => {
  const world = await startWorld(t)
  for (const [title, topic] of FOREIGN_TOPICS) {
    for (const retain of [false, true]) {
      await t.test(`${title}${retain ? ', retained' : ''}`, async () => {
        world.sink.denied.length = 0
        world.remembering.lines.length = 0
        const will = { topic, payload: 'gone', qos: 1, retain }
        const attacker = await world.device(ATTACKER, { will })
        attacker.destroy()
        await world.remembering.until('connection.closed', { user: ATTACKER })
        assert.deepEqual(await world.heard(), {})
        assert.deepEqual(await world.retained(), [])
        assert.deepEqual(world.sink.taken, [])
        assert.deepEqual(world.denied(), [record(ATTACKER, ATTACKER, topic, 'gone')])
      })
    }
  }
})

test('a wildcard in a Topic Name ends the connection [MQTT-3.3.2-2]', async (t) => {
  for (const topic of ['tenant/+/device/pump-70/commands', 'tenant/acme/device/pump-7/#']) {
    await t.test(topic, async (t) => {
      const world = await startWorld(t)
      const attacker = await world.device(ATTACKER)
      attacker.send(
        encodePublish({
          topic,
          payload: Buffer.from('x'),
          qos: 0,
          dup: false,
          retain: false,
          packetId: 0,
        }),
      )
      await attacker.closed
      assert.deepEqual(await world.heard(), {})
    })
  }
})

const FOREIGN_FILTERS: readonly string[] = [
  '#',
  '+',
  '+/#',
  '/#',
  'tenant/#',
  'tenant/+/#',
  'tenant/+/device/#',
  'tenant/+/device/+/#',
  'tenant/+/device/+/telemetry',
  'tenant/+/device/pump-7/#',
  'tenant/+/device/pump-7/commands',
  'tenant/acme/#',
  'tenant/acme/device/#',
  'tenant/acme/device/+/#',
  'tenant/acme/device/+/commands',
  'tenant/acme/device/pump-70/#',
  'tenant/acme/device/pump-70/commands',
  'tenant/acme/+/pump-7/commands',
  'tenant/acme/device/pump-7',
  '+/acme/device/pump-7/#',
  'tenant/acme2/#',
  'tenant/acme2/device/pump-7/#',
  'tenant/acme2/device/pump-70/commands',
  '$SYS/#',
  '$SYS/broker/version',
  '$share/g/#',
  '$share/g/tenant/acme/device/pump-70/#',
  '$share/g/tenant/acme/device/pump-7/#',
  '$share/tenant/acme/device/pump-7/#',
  '$queue/#',
  '$CONTROL/#',
]

test('subscriptions beyond its own prefix are refused, and nothing is ever delivered on them', async (t) => {
  const world = await startWorld(t)
  const { service, broker } = world
  const everything = async () => {
    for (const name of [...VICTIMS, 'acme/other']) {
      for (const type of ['telemetry', 'commands', 'shadow/desired', 'jobs/1']) {
        await service.publish(`${prefixOf(name)}${type}`, 'm', { qos: 1, retain: true })
      }
    }
    await service.publish('plain', 'm', { qos: 1, retain: true })
    broker.publish({ topic: '$SYS/broker/version', payload: Buffer.of(1), qos: 1, retain: true })
  }
  await everything()
  const persistent = { clean: false, clientId: 'persistent' }
  const attacker = await world.device(ATTACKER, persistent)
  for (const filter of FOREIGN_FILTERS) {
    await t.test(filter, async () => {
      assert.deepEqual(await attacker.subscribe(filter, 2), [0x80])
      await attacker.ping()
      assert.deepEqual(attacker.unread, [])
    })
  }
  await t.test('all at once, together with one that is granted', async () => {
    const codes = await attacker.subscribe([...FOREIGN_FILTERS, `${prefixOf(ATTACKER)}#`], 2)
    assert.deepEqual(codes, [...FOREIGN_FILTERS.map(() => 0x80), 2])
    await everything()
    await attacker.ping()
    assert.deepEqual(attacker.unread, [])
  })
  await t.test('also not after it comes back to its Session', async () => {
    attacker.destroy()
    await world.remembering.until('connection.closed', { user: ATTACKER })
    await everything()
    const back = await world.device(ATTACKER, persistent)
    assert.equal(back.sessionPresent, true)
    await service.publish(`${prefixOf(ATTACKER)}commands`, 'for you', { qos: 1 })
    const { topic, payload } = await back.receive()
    assert.deepEqual([topic, String(payload)], [`${prefixOf(ATTACKER)}commands`, 'for you'])
    await back.ping()
    assert.deepEqual(back.unread, [])
  })
})

test('within its own prefix a device hears the platform, and the platform hears it', async (t) => {
  const world = await startWorld(t)
  const device = await world.device(ATTACKER)
  const own = prefixOf(ATTACKER)
  assert.deepEqual(await device.subscribe([`${own}#`, `${own}+`, `${own}commands`], 1), [1, 1, 1])
  await device.publish(`${own}telemetry`, 'm', { qos: 1 })
  await device.publish(`${own}shadow/reported`, 's', { qos: 1 })
  await world.service.publish(`${own}commands`, 'c', { qos: 1 })
  assert.equal(String((await device.receive()).payload), 'c')
  await device.ping()
  assert.deepEqual(device.unread, [])
  assert.deepEqual(await world.heard(), {
    service: [`${own}telemetry m`, `${own}shadow/reported s`, `${own}commands c`],
  })
  assert.deepEqual(world.denied(), [])
  assert.deepEqual(
    world.sink.taken.map(({ tenantId, deviceId, publisher }) => [
      tenantId,
      deviceId,
      publisher.userName,
    ]),
    [['acme', 'pump-7', ATTACKER]],
  )
})

test('a user name and password in CONNECT give a device nothing', async (t) => {
  const world = await startWorld(t)
  const attacker = await world.device(ATTACKER, { userName: 'service_pulse', password: 'secret' })
  assert.deepEqual(await attacker.subscribe('#'), [0x80])
  const topic = 'tenant/acme2/device/pump-7/commands'
  await attacker.publish(topic, 'x', { qos: 1 })
  assert.deepEqual(await world.heard(), {})
  assert.deepEqual(world.denied(), [record(ATTACKER, ATTACKER, topic, 'x')])
})

test('clients without a certificate and without rights have nothing', async (t) => {
  const cases: readonly [string, string | undefined, 'account' | 'anonymous'][] = [
    ['anonymous', undefined, 'anonymous'],
    ['an account without rights', 'operator', 'account'],
    ["an account with a device's name", ATTACKER, 'account'],
  ]
  for (const [title, userName, kind] of cases) {
    await t.test(title, async (t) => {
      const world = await startWorld(t)
      const client = await world.account(userName, { clientId: 'pump-7' })
      const own = prefixOf(ATTACKER)
      for (const filter of [`${own}#`, `${own}commands`, '#', '$SYS/#', '$share/g/#']) {
        assert.deepEqual(await client.subscribe(filter), [0x80], filter)
      }
      await client.publish(`${own}telemetry`, 'x', { qos: 1, retain: true })
      await client.ping()
      assert.deepEqual(await world.heard(), {})
      assert.deepEqual(await world.retained(), [])
      assert.deepEqual(world.sink.taken, [])
      assert.deepEqual(world.denied(), [
        {
          tenantId: undefined,
          deviceId: undefined,
          topic: `${own}telemetry`,
          payload: 'x',
          kind,
          userName,
          clientId: 'pump-7',
          fingerprint: undefined,
        },
      ])
    })
  }
})

/** Whoever connects by these looks, somewhere, like the first of the pair. */
const ALIKE: readonly (readonly [
  title: string,
  victim: readonly [name: string, clientId: string],
  attacker: readonly [name: string | undefined | { account: string }, clientId: string],
])[] = [
  ['another device of the tenant', ['acme/pump-70', 'same'], ['acme/pump-7', 'same']],
  ['the same device of another tenant', ['acme2/pump-7', 'same'], ['acme/pump-7', 'same']],
  ['the longer name into the shorter', ['acme/pump-7', '0'], ['acme/pump-70', '']],
  ['the end of one name in the id', ['acme/pump-7', '0:x'], ['acme/pump-70', ':x']],
  ['colons in the names', ['a/b', 'c:d'], ['a/b:c', 'd']],
  ['lengths in the names', ['a:1/b', '5:a/b:c'], ['a/b', '1:5:a:1/b:5:a/b:c']],
  ['a key as Client Identifier', ['acme/pump-7', 'x'], ['a/b', 'device:11:acme/pump-7:x']],
  ['other letters', ['acme/pump-7', 'x'], ['Acme/pump-7', 'x']],
  ['é in one and in two characters', ['caf\u00e9/p', 'x'], ['cafe\u0301/p', 'x']],
  ['a blank behind', ['acme/pump-7', 'x'], ['acme/pump-7 ', 'x']],
  ['names of object members', ['acme/__proto__', 'x'], ['acme/constructor', 'x']],
  ['object members as identifiers', ['acme/pump-7', '__proto__'], ['acme/pump-70', '__proto__']],
  ["an account of the device's name", ['acme/pump-7', 'x'], [{ account: 'acme/pump-7' }, 'x']],
  ['an account', ['acme/pump-7', 'x'], [{ account: 'operator' }, 'x']],
  ['anonymous', ['acme/pump-7', 'x'], [undefined, 'x']],
  ['anonymous with the key', ['acme/pump-7', 'x'], [undefined, 'device:11:acme/pump-7:x']],
]

async function connectAs(
  world: World,
  who: string | undefined | { account: string },
  fields: ConnectFields,
) {
  return typeof who === 'string'
    ? await world.device(who, fields)
    : await world.account(who?.account, fields)
}

test("a Client Identifier of another's takes nothing over", async (t) => {
  for (const [title, [name, clientId], [attackerName, attackerId]] of ALIKE) {
    await t.test(title, async (t) => {
      const world = await startWorld(t)
      const will = { topic: `${prefixOf(name)}status`, payload: 'gone' }
      const victim = await world.device(name, { clientId, clean: false, will })
      const filter = `${prefixOf(name)}commands`
      await victim.subscribe(filter, 1)

      // While the victim is there: neither takeover nor Will.
      for (const clean of [true, false]) {
        if (attackerId === '' && !clean) continue
        const attacker = await connectAs(world, attackerName, { clientId: attackerId, clean })
        assert.equal(attacker.sessionPresent, false)
        await attacker.unsubscribe(filter)
        await attacker.disconnect()
      }
      await victim.ping()
      assert.deepEqual(world.sink.taken, [])
      victim.destroy()
      await world.sink.took(1)

      // While it is away: its Session is neither read, resumed nor wiped.
      await world.service.publish(filter, 'queued', { qos: 1 })
      for (const clean of [false, true]) {
        if (attackerId === '' && !clean) continue
        const attacker = await connectAs(world, attackerName, { clientId: attackerId, clean })
        // Of its own, kept from above, or none.
        assert.equal(attacker.sessionPresent, !clean)
        await attacker.ping()
        assert.deepEqual(attacker.unread, [])
        await attacker.unsubscribe(filter)
        await attacker.disconnect()
      }
      const back = await world.device(name, { clientId, clean: false })
      assert.equal(back.sessionPresent, true)
      assert.equal(String((await back.receive()).payload), 'queued')
      await world.service.publish(filter, 'live', { qos: 1 })
      assert.equal(String((await back.receive()).payload), 'live')
    })
  }
})

test('QoS 2 of one device is not acknowledged, released or remembered by another', async (t) => {
  const world = await startWorld(t)
  const [victimName] = VICTIMS
  const fields = { clientId: 'same', clean: false }
  const victim = await world.device(victimName, fields)
  const attacker = await world.device(ATTACKER, fields)
  const packet = (name: string, text: string) =>
    encodePublish({
      topic: `${prefixOf(name)}telemetry`,
      payload: Buffer.from(text),
      qos: 2,
      dup: false,
      retain: false,
      packetId: 7,
    })
  victim.send(packet(victimName, 'one'))
  await victim.next(PacketType.PUBREC)
  attacker.send(packet(ATTACKER, 'two'))
  await attacker.next(PacketType.PUBREC)
  attacker.send(Buffer.from([0x62, 2, 0, 7]))
  await attacker.next(PacketType.PUBCOMP)
  // Still open in the victim's Session: a retransmission is not taken twice.
  victim.send(packet(victimName, 'one'))
  await victim.next(PacketType.PUBREC)
  assert.deepEqual(
    world.sink.taken.map(({ topic, payload }) => `${topic} ${String(payload)}`),
    [`${prefixOf(victimName)}telemetry one`, `${prefixOf(ATTACKER)}telemetry two`],
  )
})
