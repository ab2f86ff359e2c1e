import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { wantsPackets } from '../../broker/packet-trace.ts'
import { PacketType } from '../../broker/packets/index.ts'
import type { LogConfig, MosquittoLogConfig } from '../../config/types.ts'
import { mosquittoLines } from '../../core/mosquitto-log.ts'
import { startBroker, type TestBrokerOptions } from '../helpers/broker.ts'
import { RememberingLog } from '../helpers/log.ts'

const ON: LogConfig = { level: 'trace' }

async function traced(t: TestContext, options: TestBrokerOptions = {}) {
  const memory = new RememberingLog()
  const broker = await startBroker(t, { log: memory.log, ...options })
  const packets = () =>
    memory.lines
      .filter(({ event }) => event === 'packet.received' || event === 'packet.sent')
      .flatMap((line) => mosquittoLines(line).map(({ text }) => text))
  return { ...broker, memory, packets }
}

const asked = (changes: Partial<MosquittoLogConfig>): LogConfig => ({
  level: 'info',
  mosquitto: {
    destinations: ['stderr'],
    types: ['error', 'debug'],
    timestamp: true,
    timestampFormat: undefined,
    ...changes,
  },
})

test('packets are written down at level trace, or as debug lines of Mosquitto where they would be seen', () => {
  const table: readonly (readonly [boolean, LogConfig])[] = [
    [false, { level: 'silent' }],
    [false, { level: 'info' }],
    [false, { level: 'debug' }],
    [false, asked({ types: ['error', 'subscribe'] })],
    [false, asked({ destinations: [] })],
    [false, asked({ destinations: ['topic'] })],
    [false, { ...asked({ types: ['error'] }), level: 'trace' }],
    [true, asked({ destinations: ['topic', 'file'] })],
    [true, asked({})],
    [true, ON],
  ]
  for (const [expected, config] of table) {
    assert.equal(wantsPackets(config), expected, JSON.stringify(config))
  }
})

test('nothing is written until it is asked for, also for connections that are open already', async (t) => {
  const { broker, client, packets } = await traced(t)
  const one = await client('one')
  await one.ping()
  assert.deepEqual(packets(), [])
  broker.replaceLog(ON)
  await one.ping()
  assert.deepEqual(packets(), ['Received PINGREQ from one', 'Sending PINGRESP to one'])
  broker.replaceLog({ level: 'info' })
  await one.ping()
  assert.equal(packets().length, 2)
})

test('each packet in both directions is a line, with its fields', async (t) => {
  const { broker, client, packets, memory } = await traced(t)
  broker.replaceLog(ON)
  const sub = await client('sub')
  await sub.subscribe(['a/#', 'b'], 1)
  const pub = await client('pub')
  await pub.publish('a/1', 'hello', { qos: 1 })
  await sub.receive()
  await sub.ping()
  await pub.publish('c', '', { qos: 2, retain: true })
  await sub.unsubscribe('b')
  await pub.disconnect()
  await pub.closed
  assert.deepEqual(packets(), [
    'Sending CONNACK to sub (0, 0)',
    'Received SUBSCRIBE from sub',
    'Sending SUBACK to sub',
    'Sending CONNACK to pub (0, 0)',
    "Received PUBLISH from pub (d0, q1, r0, m1, 'a/1', ... (5 bytes))",
    "Sending PUBLISH to sub (d0, q1, r0, m1, 'a/1', ... (5 bytes))",
    'Sending PUBACK to pub (m1, rc0)',
    'Received PUBACK from sub (Mid: 1, RC:0)',
    'Received PINGREQ from sub',
    'Sending PINGRESP to sub',
    "Received PUBLISH from pub (d0, q2, r1, m2, 'c', ... (0 bytes))",
    'Sending PUBREC to pub (m2, rc0)',
    'Received PUBREL from pub (Mid: 2)',
    'Sending PUBCOMP to pub (m2)',
    'Received UNSUBSCRIBE from sub',
    'Sending UNSUBACK to sub',
    'Received DISCONNECT from pub',
  ])
  const subscribe = memory.lines.find(({ packet }) => packet === 'SUBSCRIBE')
  assert.deepEqual(subscribe?.['filters'], [
    { filter: 'a/#', qos: 1 },
    { filter: 'b', qos: 1 },
  ])
})

test('acknowledgements that leave together are a line each', async (t) => {
  const { broker, client, packets, memory } = await traced(t)
  const pub = await client('pub')
  broker.replaceLog(ON)
  await Promise.all([1, 2, 3].map(() => pub.publish('x', 'y', { qos: 1 })))
  const acknowledged = packets().filter((line) => line.includes('PUBACK'))
  assert.deepEqual(
    acknowledged,
    [1, 2, 3].map((id) => `Sending PUBACK to pub (m${id}, rc0)`),
  )
  assert.equal(memory.last('packet.sent')?.['packetId'], 3)
})

test('a line says of which connection it is, and never what was said', async (t) => {
  const { broker, raw, memory } = await traced(t)
  broker.replaceLog(ON)
  const secret = 'hush-hush'
  const client = await raw()
  const will = { topic: 'w', payload: secret, qos: 1 }
  await client.connect({ clientId: 'c', userName: 'u', password: secret, will })
  await client.publish('a\u{80}b', secret, { qos: 1 }).catch(() => undefined)
  await client.publish('t', secret, { qos: 1, retain: true }).catch(() => undefined)
  client.destroy()
  await memory.until('connection.closed')
  const all = JSON.stringify(memory.lines)
  assert.ok(!all.includes(secret))
  assert.ok(!all.includes(Buffer.from(secret).toString('hex')))
  const ids = new Set(
    memory.lines.filter(({ peerPort }) => peerPort !== undefined).map((line) => line['trace_id']),
  )
  assert.equal(ids.size, 1)
  assert.match(String([...ids][0]), /^[0-9a-f]{32}$/u)
})

test('two connections have two trace ids', async (t) => {
  const { client, memory } = await traced(t)
  await client('a')
  await client('b')
  const ids = memory.lines
    .filter(({ event }) => event === 'session.opened')
    .map((line) => line['trace_id'])
  assert.equal(new Set(ids).size, 2)
})

test('a PUBLISH that is denied says so beside its PUBACK', async (t) => {
  const { broker, client, memory } = await traced(t)
  broker.replaceLog(ON)
  const one = await client('one')
  await one.publish('$SYS/no', 'x', { qos: 1 })
  const denied = memory.last('publish.denied')
  assert.deepEqual(denied && mosquittoLines(denied).map(({ text }) => text), [
    "Denied PUBLISH from one (d0, q1, r0, m1, '$SYS/no', ... (1 bytes))",
  ])
})

test('what is refused is answered in a line under the address', async (t) => {
  const { broker, raw, packets } = await traced(t, { listener: { allowAnonymous: false } })
  broker.replaceLog(ON)
  const one = await raw()
  const { returnCode } = await one.connect({ clientId: 'one' })
  await one.closed
  assert.deepEqual(packets(), [`Sending CONNACK to 127.0.0.1 (0, ${returnCode})`])
  const other = await raw()
  other.send(Buffer.from([PacketType.CONNECT << 4, 0]))
  await other.closed
  assert.equal(packets().length, 1, 'malformed: its end tells of it')
})
