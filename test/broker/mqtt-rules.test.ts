import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileAcl } from '../../broker/index.ts'
import { PacketType } from '../../broker/packets/index.ts'
import { parseAclFile } from '../../config/acl-file.ts'
import type { ListenerConfig, MqttConfig } from '../../config/types.ts'
import { startBroker } from '../helpers/broker.ts'
import { FakeClock } from '../helpers/clock.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { RememberingLog } from '../helpers/log.ts'
import { connectBytes, type ConnectFields } from '../helpers/raw-client.ts'

/** What is configured, what the client sends, and the return code; undefined: no CONNACK at all. */
const CONNECTS: readonly (readonly [
  string,
  { readonly listener?: Partial<ListenerConfig>; readonly mqtt?: Partial<MqttConfig> },
  ConnectFields,
  number | undefined,
])[] = [
  [
    'another protocol version than the listener takes',
    { listener: { protocolLevels: [3] } },
    { clientId: 'a' },
    1,
  ],
  [
    'a listener for MQTT 5 only',
    { listener: { protocolLevels: [5] } },
    { clientId: 'a', protocolName: 'MQIsdp', protocolLevel: 3 },
    1,
  ],
  ['an empty Client Identifier', { listener: { allowZeroLengthClientId: false } }, {}, 2],
  [
    'a Keep Alive longer than allowed',
    { mqtt: { maxKeepAlive: 60 } },
    { clientId: 'a', keepAlive: 61 },
    2,
  ],
  ['no Keep Alive where one is wanted', { mqtt: { maxKeepAlive: 60 } }, { clientId: 'a' }, 2],
  [
    'a Client Identifier without the prefix',
    { mqtt: { clientIdPrefix: 'secure-' } },
    { clientId: 'secur' },
    5,
  ],
  ['an assigned one without the prefix', { mqtt: { clientIdPrefix: 'secure-' } }, {}, 5],
  [
    'no user name to take for the Client Identifier',
    { listener: { useUsernameAsClientId: true } },
    { clientId: 'a' },
    5,
  ],
  [
    'an empty one',
    { listener: { useUsernameAsClientId: true } },
    { clientId: 'a', userName: '' },
    5,
  ],
  [
    'a Will with RETAIN where that is not available',
    { mqtt: { retainAvailable: false } },
    { clientId: 'a', will: { topic: 't', payload: 'x', retain: true } },
    undefined,
  ],
  [
    'a Will of a QoS above the listener’s',
    { listener: { maxQos: 1 } },
    { clientId: 'a', will: { topic: 't', payload: 'x', qos: 2 } },
    undefined,
  ],
  [
    'a Will larger than a payload may be',
    { mqtt: { maxPayloadBytes: 3 } },
    { clientId: 'a', will: { topic: 't', payload: '1234' } },
    5,
  ],
  [
    'the version the listener takes',
    { listener: { protocolLevels: [4, 5] } },
    { clientId: 'a' },
    0,
  ],
  ['the longest Keep Alive', { mqtt: { maxKeepAlive: 60 } }, { clientId: 'a', keepAlive: 60 }, 0],
  ['the prefix', { mqtt: { clientIdPrefix: 'secure-' } }, { clientId: 'secure-1' }, 0],
  [
    'a Will of the highest QoS and size',
    { listener: { maxQos: 1 }, mqtt: { maxPayloadBytes: 3, retainAvailable: false } },
    { clientId: 'a', will: { topic: 't', payload: '123', qos: 1 } },
    0,
  ],
]

test('what a CONNECT may be', async (t) => {
  for (const [title, configured, fields, expected] of CONNECTS) {
    await t.test(`${title}: ${expected ?? 'closed'}`, async (t) => {
      const { raw } = await startBroker(t, configured)
      const peer = await raw()
      peer.send(connectBytes(fields))
      if (expected === 0) {
        const { bytes, bodyStart } = await peer.next(PacketType.CONNACK)
        assert.equal(bytes[bodyStart + 1], 0)
        return
      }
      await peer.closed
      const codes = peer.unread.map(({ bytes, bodyStart }) => bytes[bodyStart + 1])
      assert.deepEqual(codes, expected === undefined ? [] : [expected])
    })
  }
})

test('an empty Client Identifier becomes the prefix of the listener and a UUID', async (t) => {
  const { broker, raw } = await startBroker(t, { listener: { autoIdPrefix: 'mine-' } })
  await (await raw()).connect()
  assert.match(
    broker.sessions()[0]?.clientId ?? '',
    /^mine-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u,
  )
})

test('the user name is the Client Identifier, so its second connection takes over the first', async (t) => {
  const { broker, client } = await startBroker(t, { listener: { useUsernameAsClientId: true } })
  const first = await client('one', { userName: 'u' })
  await client('two', { userName: 'u' })
  await first.closed
  assert.deepEqual(
    broker.sessions().map(({ clientId }) => clientId),
    ['u'],
  )
})

test('a PUBLISH above max_qos ends its connection, and a subscription is granted no more', async (t) => {
  const { client } = await startBroker(t, { listener: { maxQos: 1 } })
  const one = await client('one')
  assert.deepEqual(await one.subscribe(['a', 'b'], 2), [1, 1])
  await one.publish('a', 'x', { qos: 1 })
  assert.equal((await one.receive()).qos, 1)
  void one.publish('a', 'x', { qos: 2 }).catch(() => undefined)
  await one.closed
})

test('a PUBLISH with RETAIN ends its connection where retain_available is false', async (t) => {
  const { client } = await startBroker(t, { mqtt: { retainAvailable: false } })
  const one = await client('one')
  await one.publish('a', 'x', { qos: 1 })
  void one.publish('a', 'x', { qos: 1, retain: true }).catch(() => undefined)
  await one.closed
})

test('a payload above message_size_limit is acknowledged and goes nowhere, not to ingest either', async (t) => {
  const sink = new HeldSink()
  const { client } = await startBroker(t, {
    sink,
    mqtt: { maxPayloadBytes: 4 },
    deniedPublish: 'disconnect',
  })
  const one = await client('one')
  await one.subscribe('#', 2)
  for (const qos of [1, 2] as const) {
    await one.publish('a', '12345', { qos })
    await one.publish('tenant/t/device/d/telemetry', '12345', { qos, retain: true })
  }
  await one.publish('a', '1234', { qos: 2 })
  assert.equal(String((await one.receive()).payload), '1234')
  assert.equal(sink.taken.length, 0)
})

const aclOf = (text: string) =>
  ({
    tenancy: false,
    acl: compileAcl(parseAclFile(text, 'acl')),
    accountAccess: 'everything',
  }) as const

test('a retained message whose publisher may not write there any more is not delivered', async (t) => {
  const cases = [
    ['check_retain_source true', true, 0],
    ['check_retain_source false', false, 1],
  ] as const
  for (const [title, checkRetainSource, delivered] of cases) {
    await t.test(title, async (t) => {
      const { broker, client } = await startBroker(t, {
        mqtt: { checkRetainSource },
        rules: aclOf('topic read #\nuser p\ntopic write a'),
      })
      const publisher = await client('p', { userName: 'p' })
      await publisher.publish('a', 'x', { qos: 1, retain: true })
      // The connection may be gone: it is who it was that counts.
      await publisher.disconnect()
      const reader = await client('r')
      await reader.subscribe('a')
      assert.equal(String((await reader.receive()).payload), 'x')

      broker.replaceAccess('test', aclOf('topic read #\nuser p\ntopic write b'))
      const later = await client('later')
      await later.subscribe('#')
      await later.ping()
      assert.equal(later.unread.length, delivered)
    })
  }
})

test('what the broker publishes itself has no source that could lose its rights', async (t) => {
  const { broker, client } = await startBroker(t, { rules: aclOf('topic read #') })
  broker.publish({ topic: 'own', payload: Buffer.from('x'), qos: 0, retain: true })
  const reader = await client('r')
  await reader.subscribe('#')
  assert.equal((await reader.receive()).topic, 'own')
})

test('upgrade_outgoing_qos delivers with the QoS of the subscription', async (t) => {
  const { client } = await startBroker(t, { mqtt: { upgradeOutgoingQos: true } })
  const one = await client('one')
  await one.subscribe('a', 2)
  await one.publish('a', 'x')
  assert.equal((await one.receive()).qos, 2)
})

test('a Session without a connection is kept for persistent_client_expiration', async (t) => {
  const clock = new FakeClock()
  const { raw } = await startBroker(t, { clock, mqtt: { sessionExpirySeconds: 3600 } })
  const again = async () => {
    const peer = await raw()
    const { sessionPresent } = await peer.connect({ clientId: 'a', clean: false })
    await peer.disconnect()
    return sessionPresent
  }
  assert.equal(await again(), false)
  clock.advance(3_590_000)
  assert.equal(await again(), true)
  clock.advance(3_590_000)
  assert.equal(await again(), true)
  clock.advance(3_610_000)
  assert.equal(await again(), false)
})

test('a connected Session does not expire', async (t) => {
  const clock = new FakeClock()
  const { client } = await startBroker(t, { clock, mqtt: { sessionExpirySeconds: 10 } })
  const one = await client('one', { clean: false })
  await one.subscribe('a')
  clock.advance(60_000)
  await one.publish('a', 'x')
  assert.equal((await one.receive()).topic, 'a')
})

test('connection_messages false: nothing is logged of a connection that opens and closes', async (t) => {
  for (const connectionMessages of [true, false]) {
    const remembering = new RememberingLog()
    const { client } = await startBroker(t, { log: remembering.log, mqtt: { connectionMessages } })
    const one = await client('one')
    one.send(connectBytes({ clientId: 'one' }))
    await one.closed
    const told = remembering.lines.filter(({ event }) =>
      /^(session|connection)\./u.test(String(event)),
    )
    assert.deepEqual(
      told.map(({ event }) => event),
      connectionMessages ? ['connection.opened', 'session.opened', 'connection.closed'] : [],
    )
  }
})
