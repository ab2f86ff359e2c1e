/**
 * One client script, one mosquitto.conf, two brokers with `log_type all`: what Mosquitto 2.0.11 writes,
 * Midge writes. Where they differ, DIFFERENCES says so, and docs/mosquitto.md why.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { encodeAcknowledgement, encodePublish, PacketType } from '../../broker/packets/index.ts'
import { RawClient, type ConnectFields } from '../helpers/raw-client.ts'
import { noMosquitto, startPair, type Printing } from './mosquitto-pair.ts'

async function connected(t: TestContext, port: number, fields: ConnectFields) {
  const client = await RawClient.tcp(port)
  t.after(() => client.destroy())
  await client.connect(fields)
  return client
}

/** Everything a client can make a broker write, one thing at a time. */
async function script(t: TestContext, { port }: Printing): Promise<void> {
  const will = { topic: 'will/topic', payload: 'gone', qos: 1, retain: true }
  const sub = await connected(t, port, { clientId: 'sub', keepAlive: 60, will, userName: 'me' })
  await sub.subscribe('a/#', 2)
  await sub.subscribe(['b/+', 'c'], 0)
  await sub.unsubscribe('b/+', 'never/subscribed')
  await sub.ping()
  const pub = await connected(t, port, { clientId: 'pub', clean: false })
  await pub.publish('a/0', 'hello')
  await sub.receive()
  await pub.publish('a/1', 'hello', { qos: 1 })
  await sub.receive()
  await sub.ping()
  await pub.publish('a/2', '', { qos: 2 })
  await sub.receive()
  await sub.ping()
  await pub.publish('r', 'kept', { qos: 1, retain: true })
  await sub.subscribe('r', 1)
  await sub.receive()
  await sub.ping()
  await pub.publish('$SYS/denied', 'x', { qos: 1 })
  await pub.disconnect()
  const again = await connected(t, port, { clientId: 'pub', clean: false })
  // QoS 2 in single steps, the PUBLISH twice.
  const twice = { topic: 'q', payload: Buffer.from('x'), qos: 2, retain: false } as const
  for (const dup of [false, true]) {
    again.send(encodePublish({ ...twice, dup, packetId: 9 }))
    await again.next(PacketType.PUBREC)
  }
  again.send(encodeAcknowledgement(PacketType.PUBREL, 9))
  await again.next(PacketType.PUBCOMP)
  const old = await connected(t, port, {
    protocolName: 'MQIsdp',
    protocolLevel: 3,
    clientId: 'old',
  })
  await old.disconnect()
  await again.disconnect()
  await sub.disconnect()
}

interface Difference {
  readonly what: string
  /** As lines of Mosquitto's are changed, so that they are ours. */
  apply(lines: string[]): string[]
}

const replaced = (what: string, pattern: RegExp, by: string): Difference => ({
  what,
  apply: (lines) => lines.map((line) => line.replace(pattern, by)),
})

const DIFFERENCES: readonly Difference[] = [
  replaced('its own name', /^mosquitto version 2\.0\.11/u, 'midge version 0.1.0'),
  replaced('p: the version byte, as Mosquitto 2.1 writes it', / \(p1, /u, ' (p3, '),
  replaced('p: the version byte, as Mosquitto 2.1 writes it', / \(p2, /u, ' (p4, '),
  replaced(
    'the address in the line of a disconnect, as Mosquitto 2.1 writes it',
    /^Client (\S+) disconnected/u,
    'Client $1 [127.0.0.1:N] disconnected',
  ),
  replaced('its PUBACK: MQTT 3.1.1 has no reason codes', /rc135\)$/u, 'rc0)'),
  {
    what: 'a denied PUBLISH has been received, too',
    apply: (lines) =>
      lines.flatMap((line) =>
        line.startsWith('Denied PUBLISH') ? [line.replace('Denied', 'Received'), line] : [line],
      ),
  },
  {
    what: 'QoS 2: subscribers get the message at PUBLISH, in Mosquitto at PUBREL',
    apply: (lines) => {
      const sending = lines.findIndex((line) => /^Sending PUBLISH to sub .* q2/u.test(line))
      const [line = ''] = lines.splice(sending, 1)
      const rec = lines.indexOf('Sending PUBREC to pub (m2, rc0)')
      return [...lines.slice(0, rec), line, ...lines.slice(rec)]
    },
  },
]

/** Without the time, and what two runs of one broker would not agree on. */
function comparable(lines: readonly string[], port: number): string[] {
  return lines
    .map((line) => {
      assert.match(line, /^\d{10}: /u)
      return line
        .replace(/^\d{10}: /u, '')
        .replaceAll(`port ${port}`, 'port N')
        .replace(/127\.0\.0\.1:\d+/u, '127.0.0.1:N')
    })
    .filter((line) => !/as root|Config loaded from|MIDGE_[A-Z]+_PORT/u.test(line))
}

/** The next lines are there when the last of them is. */
async function until(lines: () => readonly string[], last: RegExp): Promise<readonly string[]> {
  while (!lines().some((line) => last.test(line))) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return lines()
}

test('the lines of log_type all, packet by packet', {
  timeout: 30_000,
  skip: noMosquitto,
}, async (t) => {
  const { mosquitto, midge } = await startPair(t, 'log_type all\nlog_dest stderr\nsys_interval 0\n')
  const written = async (one: Printing) => {
    await script(t, one)
    return comparable(await until(() => one.lines(), /Client sub .*disconnected/u), one.port)
  }
  const theirs = await written(mosquitto)
  let expected = theirs
  for (const { what, apply } of DIFFERENCES) {
    const changed = apply([...expected])
    assert.notDeepEqual(changed, expected, `no longer a difference: ${what}`)
    expected = changed
  }
  assert.deepEqual(await written(midge), expected)
})

/** Topics of Mosquitto 2.1, which 2.0.11 has not. */
const NEWER = ['connections/socket/count', 'packet/out/bytes', 'packet/out/count']

test('the topics below $SYS', { timeout: 30_000, skip: noMosquitto }, async (t) => {
  const { mosquitto, midge } = await startPair(t, 'sys_interval 1\nlog_type information\n')
  const names = async ({ port }: Printing) => {
    const client = await connected(t, port, { clientId: 'sys' })
    await client.subscribe('$SYS/#', 0)
    const found = new Set<string>()
    // Mosquitto publishes clients/maximum when there was a client; its own connection is one.
    while (!found.has('$SYS/broker/clients/maximum')) found.add((await client.receive()).topic)
    await client.ping()
    for (const _ of [...client.unread]) found.add((await client.receive()).topic)
    return [...found].map((name) => name.replace('$SYS/broker/', '')).toSorted()
  }
  const theirs = await names(mosquitto)
  assert.ok(theirs.length > 50)
  assert.deepEqual(await names(midge), [...theirs, ...NEWER].toSorted())
})
