/** Clients as they are in the field: MQTT.js, and the ones Debian ships with Mosquitto. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { connect, connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { PasswordAccounts } from '../../broker/index.ts'
import { hashPassword } from '../../config/password-hash.ts'
import { parsePasswordFile } from '../../config/password-file.ts'
import { startBroker } from '../helpers/broker.ts'
import { RememberingLog } from '../helpers/log.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'

const pki = mutualTls()
const random = (bytes: number) => randomBytes(bytes)
const passwords = parsePasswordFile(
  `bob:${hashPassword('secret', { random, iterations: 101 })}`,
  'passwd',
)
const directory = mkdtempSync(join(tmpdir(), 'midge-clients-'))
after(() => rmSync(directory, { recursive: true }))

/** Each kind of listener; with TLS the certificate is the user, elsewhere the password file. */
const TRANSPORTS = ['tcp', 'tls', 'ws', 'wss'] as const
type Transport = (typeof TRANSPORTS)[number]
const SCHEMES = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' } as const

async function start(t: TestContext) {
  const remembering = new RememberingLog()
  const accounts = new PasswordAccounts(passwords, { random })
  const { listener: secure, ...behindTls } = pki.listener()
  const closed = { allowAnonymous: false } as const
  const { broker, metrics } = await startBroker(t, {
    log: remembering.log,
    listener: { name: 'tcp', ...closed },
    accounts,
    also: [
      { ...behindTls, listener: { name: 'tls', ...secure } },
      { accounts, listener: { name: 'ws', protocol: 'websockets', ...closed } },
      { ...behindTls, listener: { name: 'wss', protocol: 'websockets', ...secure } },
    ],
  })
  return { broker, metrics, remembering }
}

type Started = Awaited<ReturnType<typeof start>>

const text = (count: number) => Array.from({ length: count }, (_, i) => `message ${i}`)

// ---- MQTT.js

function optionsFor(transport: Transport, options: IClientOptions): IClientOptions {
  const isSecure = transport === 'tls' || transport === 'wss'
  const { certificatePem: cert, privateKeyPem: key } = pki.device('bob')
  return {
    protocolVersion: 4,
    reconnectPeriod: 0,
    connectTimeout: 20_000,
    ...(isSecure
      ? { ca: pki.ca.certificatePem, cert, key }
      : { username: 'bob', password: 'secret' }),
    ...options,
  }
}

/** MQTT.js over this transport, connected; `messages` and `until` are what it received. */
async function mqttJs(
  t: TestContext,
  { broker }: Started,
  transport: Transport,
  options: IClientOptions = {},
) {
  const url = `${SCHEMES[transport]}://127.0.0.1:${broker.portOf(transport)}`
  const client = connect(url, optionsFor(transport, options))
  t.after(() => client.endAsync(true))
  const messages: { topic: string; payload: Buffer; qos: number; retain: boolean }[] = []
  const watchers = new Set<() => void>()
  // From the first moment: what a Session owes comes together with CONNACK.
  client.on('message', (topic, payload, { qos, retain }) => {
    messages.push({ topic, payload, qos, retain })
    for (const watcher of watchers) watcher()
  })
  const sessionPresent = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', (connack) => resolve(connack.sessionPresent))
    client.once('error', reject)
  })
  const until = (count: number) =>
    new Promise<typeof messages>((resolve) => {
      const look = () => {
        if (messages.length >= count) resolve(messages)
      }
      watchers.add(look)
      look()
    })
  return { client, messages, until, sessionPresent }
}

const closedOf = (client: MqttClient) =>
  new Promise<void>((resolve) => client.once('close', () => resolve()))

for (const transport of TRANSPORTS) {
  test(`MQTT.js over ${transport}`, async (t) => {
    const started = await start(t)

    await t.test('QoS 0, 1 and 2, both ways', async (t) => {
      const publisher = await mqttJs(t, started, transport)
      for (const granted of [0, 1, 2] as const) {
        const subscriber = await mqttJs(t, started, transport)
        const grants = await subscriber.client.subscribeAsync(`q/${granted}`, { qos: granted })
        assert.deepEqual(
          grants.map(({ qos }) => qos),
          [granted],
        )
        for (const qos of [0, 1, 2] as const) {
          await publisher.client.publishAsync(`q/${granted}`, `${qos}`, { qos })
        }
        const got = await subscriber.until(3)
        assert.deepEqual(
          got.map(({ payload, qos }) => [String(payload), qos]),
          [0, 1, 2].map((qos) => [`${qos}`, Math.min(qos, granted)]),
        )
      }
    })

    await t.test('a retained message, and one taken back', async (t) => {
      const publisher = await mqttJs(t, started, transport)
      await publisher.client.publishAsync('r/1', 'kept', { qos: 1, retain: true })
      await publisher.client.publishAsync('r/2', 'kept', { qos: 2, retain: true })
      await publisher.client.publishAsync('r/2', '', { qos: 1, retain: true })
      const subscriber = await mqttJs(t, started, transport)
      await subscriber.client.subscribeAsync('r/#', { qos: 1 })
      await publisher.client.publishAsync('r/3', 'live', { qos: 1 })
      const got = await subscriber.until(2)
      assert.deepEqual(
        got.map(({ topic, retain }) => [topic, retain]),
        [
          ['r/1', true],
          ['r/3', false],
        ],
      )
    })

    await t.test('the Will when it is killed, none when it says goodbye', async (t) => {
      const watcher = await mqttJs(t, started, transport)
      await watcher.client.subscribeAsync('w', { qos: 1 })
      const will = (payload: string) => ({
        will: { topic: 'w', payload, qos: 1 as const, retain: false },
      })
      const polite = await mqttJs(t, started, transport, will('not this'))
      await polite.client.endAsync()
      const killed = await mqttJs(t, started, transport, will('killed'))
      killed.client.stream.destroy()
      assert.equal(String((await watcher.until(1))[0]?.payload), 'killed')
    })

    for (const qos of [1, 2] as const) {
      await t.test(`a kept Session has what came meanwhile, in order, QoS ${qos}`, async (t) => {
        const kept = { clean: false, clientId: `kept-${transport}-${qos}` }
        const first = await mqttJs(t, started, transport, kept)
        assert.equal(first.sessionPresent, false)
        await first.client.subscribeAsync(`k/${qos}`, { qos: 2 })
        const closed = closedOf(first.client)
        first.client.stream.destroy()
        await closed
        const { clientId } = kept
        await started.remembering.until('connection.closed', { clientId })
        const publisher = await mqttJs(t, started, transport)
        for (const payload of text(50)) {
          await publisher.client.publishAsync(`k/${qos}`, payload, { qos })
        }
        const second = await mqttJs(t, started, transport, kept)
        assert.equal(second.sessionPresent, true)
        const got = await second.until(50)
        assert.deepEqual(
          got.map(({ payload }) => String(payload)),
          text(50),
        )
      })
    }

    await t.test('a payload of 200 KB, whole', async (t) => {
      const payload = randomBytes(200_000)
      const subscriber = await mqttJs(t, started, transport)
      await subscriber.client.subscribeAsync('large', { qos: 1 })
      await subscriber.client.publishAsync('large', payload, { qos: 1 })
      const [got] = await subscriber.until(1)
      assert.ok(got?.payload.equals(payload))
    })

    await t.test('1000 messages of QoS 2, each once and in order', async (t) => {
      const subscriber = await mqttJs(t, started, transport)
      await subscriber.client.subscribeAsync('many', { qos: 2 })
      const publisher = await mqttJs(t, started, transport)
      await Promise.all(
        text(1000).map((payload) => publisher.client.publishAsync('many', payload, { qos: 2 })),
      )
      await subscriber.until(1000)
      await publisher.client.publishAsync('many', 'end', { qos: 2 })
      assert.deepEqual(
        (await subscriber.until(1001)).map(({ payload }) => String(payload)),
        [...text(1000), 'end'],
      )
    })

    await t.test('MQTT 5 is refused in a way it understands', async (t) => {
      const url = `${SCHEMES[transport]}://127.0.0.1:${started.broker.portOf(transport)}`
      const client = connect(url, optionsFor(transport, { protocolVersion: 5 }))
      t.after(() => client.endAsync(true))
      const closed = closedOf(client)
      const err = await new Promise<Error & { code?: unknown }>((resolve) =>
        client.once('error', resolve),
      )
      assert.equal(err.message, 'Connection refused: Unsupported Protocol Version')
      assert.equal(err.code, 0x84)
      await closed
    })

    await t.test('MQTT 3.1', async (t) => {
      const { client, until } = await mqttJs(t, started, transport, {
        protocolId: 'MQIsdp',
        protocolVersion: 3,
        clientId: `old-${transport}`,
      })
      await client.subscribeAsync('old', { qos: 2 })
      await client.publishAsync('old', 'm', { qos: 2 })
      assert.equal(String((await until(1))[0]?.payload), 'm')
    })
  })
}

test('MQTT.js with a password', async (t) => {
  const { broker } = await start(t)
  const cases: readonly [string, IClientOptions][] = [
    ['a wrong one', { username: 'bob', password: 'Secret' }],
    ['an empty one', { username: 'bob', password: '' }],
    ['none', { username: 'bob' }],
    ['of nobody', { username: 'eve', password: 'secret' }],
    ['no user name', {}],
  ]
  for (const transport of ['tcp', 'ws'] as const) {
    const url = `${SCHEMES[transport]}://127.0.0.1:${broker.portOf(transport)}`
    for (const [title, options] of cases) {
      await t.test(`${title}, ${transport}`, async () => {
        await assert.rejects(
          connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, ...options }, false),
          { code: 5, message: 'Connection refused: Not authorized' },
        )
      })
    }
  }
})

// ---- mosquitto_pub and mosquitto_sub

const isInstalled = spawnSync('mosquitto_sub', ['--help']).error === undefined
const skip = isInstalled ? false : 'mosquitto_sub is not installed (Debian: mosquitto-clients)'

const file = (name: string, content: string | Buffer) => {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

function argumentsFor(transport: 'tcp' | 'tls', { broker }: Started): string[] {
  const to = ['-h', '127.0.0.1', '-p', String(broker.portOf(transport))]
  if (transport === 'tcp') return [...to, '-u', 'bob', '-P', 'secret']
  const { certificatePem, privateKeyPem } = pki.device('bob')
  const ca = ['--cafile', file('ca.crt', pki.ca.certificatePem)]
  const cert = ['--cert', file('bob.crt', certificatePem), '--key', file('bob.key', privateKeyPem)]
  return [...to, ...ca, ...cert]
}

/** A program of Mosquitto's under way; what it leaves behind. */
function run(
  t: TestContext,
  program: 'mosquitto_pub' | 'mosquitto_sub',
  args: readonly string[],
  input = '',
) {
  const child = spawn(program, args)
  t.after(() => child.kill('SIGKILL'))
  const out: Buffer[] = []
  let err = ''
  // Messages are flushed one by one; what -d says of SUBACK is not.
  const firstMessage = once(child.stdout, 'data')
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const ended = once(child, 'close').then(([code]) => ({
    code: code as number | null,
    out: Buffer.concat(out),
    lines: Buffer.concat(out).toString().split('\n').slice(0, -1),
    err,
  }))
  return { child, ended, firstMessage }
}

for (const transport of ['tcp', 'tls'] as const) {
  test(`mosquitto_pub and mosquitto_sub over ${transport}`, { skip }, async (t) => {
    const started = await start(t)
    const to = argumentsFor(transport, started)
    // Tells a test that mosquitto_sub has its subscriptions: this is what comes on one of them.
    const ready = Buffer.from('ready')
    started.broker.publish({ topic: 'ready', payload: ready, qos: 0, retain: true })
    const subscribe = async (t: TestContext, count: number, ...args: string[]) => {
      const limit = ['-C', String(count + 1), '-W', '60']
      const running = run(t, 'mosquitto_sub', [...to, ...args, ...limit, '-t', 'ready'])
      await running.firstMessage
      return async () => {
        const { code, lines, err } = await running.ended
        assert.deepEqual([code, err], [0, ''])
        return lines.slice(1)
      }
    }
    const publish = async (t: TestContext, args: readonly string[], input = '') => {
      const { code, err } = await run(t, 'mosquitto_pub', [...to, ...args], input).ended
      assert.deepEqual([code, err], [0, ''])
    }

    await t.test('QoS 0, 1 and 2, both ways', async (t) => {
      for (const granted of [0, 1, 2]) {
        const topic = `q/${granted}`
        const format = ['-F', '%q %p']
        const lines = await subscribe(t, 3, '-t', topic, '-q', String(granted), ...format)
        for (const qos of ['0', '1', '2']) await publish(t, ['-t', topic, '-q', qos, '-m', qos])
        assert.deepEqual(
          await lines(),
          [0, 1, 2].map((qos) => `${Math.min(qos, granted)} ${qos}`),
        )
      }
    })

    await t.test('a retained message, and one taken back', async (t) => {
      await publish(t, ['-t', 'r/1', '-r', '-q', '1', '-m', 'kept'])
      await publish(t, ['-t', 'r/2', '-r', '-q', '1', '-m', 'kept'])
      await publish(t, ['-t', 'r/2', '-r', '-q', '1', '-n'])
      const format = ['-F', '%t %r %p']
      const running = run(t, 'mosquitto_sub', [
        ...to,
        '-t',
        'r/#',
        ...format,
        '-C',
        '2',
        '-W',
        '60',
      ])
      await running.firstMessage
      await publish(t, ['-t', 'r/3', '-q', '1', '-m', 'live'])
      assert.deepEqual((await running.ended).lines, ['r/1 1 kept', 'r/3 0 live'])
    })

    await t.test('the Will when it is killed', async (t) => {
      const lines = await subscribe(t, 1, '-t', 'w', '-q', '1')
      const will = ['--will-topic', 'w', '--will-payload', 'killed', '--will-qos', '1']
      const killed = run(t, 'mosquitto_sub', [...to, ...will, '-t', 'ready'])
      await killed.firstMessage
      killed.child.kill('SIGKILL')
      assert.deepEqual(await lines(), ['killed'])
    })

    await t.test('a kept Session has what came meanwhile, in order', async (t) => {
      const kept = ['-c', '-i', 'kept', '-t', 'k', '-q', '1']
      const first = await run(t, 'mosquitto_sub', [...to, ...kept, '-E', '-W', '60']).ended
      assert.deepEqual([first.code, first.err], [0, ''])
      await publish(t, ['-t', 'k', '-q', '1', '-l'], `${text(50).join('\n')}\n`)
      const again = await run(t, 'mosquitto_sub', [...to, ...kept, '-C', '50', '-W', '60']).ended
      assert.deepEqual(again.lines, text(50))
    })

    await t.test('a payload of 200 KB, whole', async (t) => {
      const payload = randomBytes(200_000)
      await publish(t, ['-t', 'large', '-r', '-q', '1', '-f', file('large', payload)])
      const got = await run(t, 'mosquitto_sub', [...to, '-t', 'large', '-N', '-C', '1', '-W', '60'])
        .ended
      assert.ok(got.out.equals(payload))
    })

    await t.test('1000 messages of QoS 2, each once and in order', async (t) => {
      const lines = await subscribe(t, 1000, '-t', 'many', '-q', '2')
      await publish(t, ['-t', 'many', '-q', '2', '-l'], `${text(1000).join('\n')}\n`)
      assert.deepEqual(await lines(), text(1000))
    })

    await t.test('MQTT 5 is refused in a way they understand, 3.1 is spoken', async (t) => {
      for (const args of [
        ['-t', 'x'],
        ['-t', 'x', '-m', 'm'],
      ]) {
        const program = args.includes('-m') ? 'mosquitto_pub' : 'mosquitto_sub'
        const { code, err } = await run(t, program, [...to, ...args, '-V', '5']).ended
        assert.equal(code, 0x84)
        assert.match(err, /^Connection error: Unsupported Protocol Version\./u)
      }
      const old = ['-V', 'mqttv31', '-i', 'old']
      const lines = await subscribe(t, 1, '-t', 'old', '-q', '2', ...old)
      await publish(t, ['-t', 'old', '-q', '2', '-m', 'm', '-V', 'mqttv31', '-i', 'old-pub'])
      assert.deepEqual(await lines(), ['m'])
    })
  })
}

test('mosquitto_pub with a password', { skip }, async (t) => {
  const { broker } = await start(t)
  const to = [
    '-h',
    '127.0.0.1',
    '-p',
    String(broker.portOf('tcp')),
    '-t',
    'x',
    '-m',
    'm',
    '-q',
    '1',
  ]
  const cases: readonly [string, readonly string[], number][] = [
    ['a wrong one', ['-u', 'bob', '-P', 'Secret'], 5],
    ['of nobody', ['-u', 'eve', '-P', 'secret'], 5],
    ['none', ['-u', 'bob'], 5],
    ['no user name', [], 5],
    ['the right one', ['-u', 'bob', '-P', 'secret'], 0],
  ]
  for (const [title, args, expected] of cases) {
    await t.test(title, async (t) => {
      const { code, err } = await run(t, 'mosquitto_pub', [...to, ...args]).ended
      assert.equal(code, expected)
      if (expected === 5) {
        assert.match(err, /^Connection error: Connection Refused: not authorised\./u)
      }
    })
  }
})

test('mosquitto_sub without a certificate is not let in', { skip }, async (t) => {
  const { broker, remembering } = await start(t)
  const to = ['-h', '127.0.0.1', '-p', String(broker.portOf('tls'))]
  const ca = ['--cafile', file('ca.crt', pki.ca.certificatePem)]
  for (const version of ['tlsv1.2', 'tlsv1.3']) {
    const args = [...to, ...ca, '--tls-version', version, '-t', '#', '-W', '20', '-E']
    const { code } = await run(t, 'mosquitto_sub', args).ended
    assert.notEqual(code, 0)
    await remembering.until('peer.refused', { reason: 'no_certificate' })
    remembering.lines.length = 0
  }
  assert.deepEqual(broker.sessions(), [])
})
