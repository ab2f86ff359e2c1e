/**
 * One client script, one mosquitto.conf, two brokers: what Mosquitto answers, Midge answers, packet by
 * packet. Where they differ on purpose the case says so, and docs/mosquitto.md why.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import {
  encodeAcknowledgement,
  encodePublish,
  PacketType,
  parsePublish,
  TopicMemo,
} from '../../broker/packets/index.ts'
import { spawnMidge } from '../helpers/midge-process.ts'
import { connectBytes, RawClient, type ConnectFields } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'
import { freePort } from '../helpers/free-port.ts'

const MOSQUITTO = '/usr/sbin/mosquitto'
const NEEDED = [MOSQUITTO, '/usr/bin/mosquitto_passwd']
const missing = NEEDED.find((file) => !existsSync(file))
const APP = { userName: 'app', password: 'secret' }

/** What the password_file holds from the start, and what is done to it later. */
const ACCOUNTS = [
  ['-b', 'app', 'secret'],
  ['-b', 'changed', 'old'],
  ['-b', 'removed', 'gone'],
] as const
const LATER = [
  ['-b', 'changed', 'new'],
  ['-b', 'added', 'fresh'],
  ['-D', 'removed'],
] as const

/** Given the text of the file as it is. */
type Reload = (file: 'acl' | 'passwd', change: (text: string) => Promise<string>) => Promise<void>

/** What a case does with one broker, and the lines it writes of what it saw. */
class Script {
  readonly lines: string[] = []
  readonly t: TestContext
  readonly #port: number
  /** Puts other files in place and asks for a reload. */
  readonly reload: Reload

  constructor(t: TestContext, port: number, reload: Reload) {
    this.t = t
    this.#port = port
    this.reload = reload
  }

  note(line: string): void {
    this.lines.push(line)
  }

  /** Connects and notes the CONNACK, or that there was none. */
  async connect(fields: ConnectFields = {}): Promise<RawClient> {
    const client = await RawClient.tcp(this.#port)
    this.t.after(() => client.destroy())
    try {
      const { returnCode, sessionPresent } = await client.connect(fields)
      this.note(`CONNACK ${returnCode}${sessionPresent ? ' session present' : ''}`)
      if (returnCode !== 0) await this.closed(client)
    } catch {
      this.note('closed without CONNACK')
    }
    return client
  }

  async closed(client: RawClient): Promise<void> {
    await client.closed
    this.note('closed')
  }

  async subscribe(client: RawClient, filter: string | string[], qos: 0 | 1 | 2): Promise<void> {
    this.note(`SUBACK ${(await client.subscribe(filter, qos)).join(' ')}`)
  }

  /** Every PUBLISH that is here by the next PINGRESP. @returns their Packet Identifiers */
  async received(client: RawClient, acknowledge = true): Promise<number[]> {
    await client.ping()
    const ids: number[] = []
    while (client.unread.some(({ type }) => type === PacketType.PUBLISH)) {
      const frame = await client.next(PacketType.PUBLISH)
      const { topic, payload, qos, retain, dup, packetId } = parsePublish(frame, new TopicMemo())
      const flags = `${retain ? ' retain' : ''}${dup ? ' dup' : ''}`
      this.note(`PUBLISH ${topic} ${String(payload)} q${qos}${flags}`)
      if (qos === 0) continue
      ids.push(packetId)
      if (!acknowledge) continue
      if (qos === 1) client.send(encodeAcknowledgement(PacketType.PUBACK, packetId))
      else {
        client.send(encodeAcknowledgement(PacketType.PUBREC, packetId))
        await client.next(PacketType.PUBREL)
        client.send(encodeAcknowledgement(PacketType.PUBCOMP, packetId))
      }
    }
    this.note('nothing more')
    return ids
  }
}

interface Case {
  readonly title: string
  run(script: Script): Promise<void>
  /** The lines that differ, each broker's, with Mosquitto 2.0.11; docs/mosquitto.md has the reason. */
  readonly differs?: { readonly mosquitto: readonly string[]; readonly midge: readonly string[] }
}

const BROKEN: readonly (readonly [what: string, hex: string])[] = [
  ['PUBLISH to a wildcard', '30050003612f2b'],
  ['PUBLISH to an empty topic', '30020000'],
  ['PUBLISH with QoS 3', '3605000161000178'],
  ['PUBLISH with packet identifier 0', '32050001610000'],
  ['SUBSCRIBE with flags 0', '8006000100016100'],
  ['SUBSCRIBE without a filter', '82020001'],
  ['SUBSCRIBE to a/#/b', '820a00010005612f232f6200'],
  ['SUBSCRIBE with QoS 3', '8206000100016103'],
  ['UNSUBSCRIBE without a filter', 'a2020001'],
  ['PUBACK of nothing', '40020009'],
  ['PUBREC of nothing', '50020009'],
  ['PUBCOMP of nothing', '70020009'],
  ['PUBREL with flags 0', '60020009'],
  ['PINGREQ with a body', 'c00100'],
  ['packet type 0', '0000'],
  ['packet type 15', 'f000'],
  ['CONNACK', '20020000'],
  ['Remaining Length of five bytes', '30ffffffff01'],
  ['a topic that is not UTF-8', '30040002c328'],
]

const CASES: readonly Case[] = [
  {
    title: 'who may connect',
    async run(script) {
      await script.connect({ clientId: 'good', ...APP })
      await script.connect({ clientId: 'bad', ...APP, password: 'wrong' })
      await script.connect({ clientId: 'bad', userName: 'app' })
      await script.connect({ clientId: 'unknown', userName: 'nobody', password: 'x' })
      await script.connect({ clientId: 'anonymous' })
      await script.connect({ clientId: '' })
      await script.connect({ clientId: '', clean: false })
      await script.connect({ clientId: 'level', protocolLevel: 9 })
      await script.connect({ clientId: 'name', protocolName: 'MQTX' })
      const twice = await script.connect({ clientId: 'twice' })
      twice.send(connectBytes({ clientId: 'twice' }))
      await script.closed(twice)
    },
  },
  {
    title: 'a PUBLISH that is denied is acknowledged and reaches nobody',
    async run(script) {
      const app = await script.connect({ clientId: 'p1', ...APP })
      await script.subscribe(app, '#', 1)
      const other = await script.connect({ clientId: 'p2' })
      for (const qos of [0, 1, 2] as const) await other.publish('secret/p', 'no', { qos })
      await other.publish('public/p', 'yes', { qos: 1 })
      await script.received(app)
    },
  },
  {
    title: 'a subscription that may not be read is granted and gets nothing',
    async run(script) {
      const app = await script.connect({ clientId: 'r1', ...APP })
      await app.publish('secret/r', 'retained', { qos: 1, retain: true })
      const other = await script.connect({ clientId: 'r2' })
      await script.subscribe(other, ['secret/#', 'public/r'], 1)
      await app.publish('secret/r', 'live', { qos: 1 })
      await app.publish('public/r', 'live', { qos: 1 })
      await script.received(other)
      await app.publish('secret/r', '', { qos: 1, retain: true })
    },
  },
  {
    title: 'retained messages are set, replaced and cleared',
    async run(script) {
      const app = await script.connect({ clientId: 'k1', ...APP })
      const other = await script.connect({ clientId: 'k2' })
      await app.publish('public/k', 'one', { qos: 1, retain: true })
      await script.subscribe(other, 'public/k', 1)
      await script.received(other)
      await app.publish('public/k', 'two', { qos: 0, retain: true })
      await app.ping()
      await script.received(other)
      await script.subscribe(other, 'public/+', 1)
      await script.received(other)
      await app.publish('public/k', '', { qos: 1, retain: true })
      await other.unsubscribe('public/+')
      await script.received(other)
      await script.subscribe(other, 'public/#', 1)
      await script.received(other)
    },
  },
  {
    title: 'a Will is published after a lost connection and a takeover, not after DISCONNECT',
    async run(script) {
      const app = await script.connect({ clientId: 'w1', ...APP })
      await script.subscribe(app, 'public/w/#', 1)
      const leaving = (topic: string) => ({
        clientId: 'w2',
        will: { topic, payload: topic, qos: 1 },
      })
      const proper = await script.connect(leaving('public/w/disconnected'))
      await proper.disconnect()
      const killed = await script.connect(leaving('public/w/killed'))
      killed.destroy()
      const { topic } = await app.receive()
      script.note(`will ${topic}`)
      const old = await script.connect(leaving('public/w/taken'))
      await script.connect({ clientId: 'w2' })
      await script.closed(old)
      await script.received(app)
      const denied = await script.connect(leaving('secret/w'))
      denied.destroy()
    },
  },
  {
    title: 'what waits for a Session comes in order, what was on its way with DUP',
    async run(script) {
      const app = await script.connect({ clientId: 'q1', ...APP })
      const away = await script.connect({ clientId: 'q2', clean: false })
      await script.subscribe(away, 'public/q', 1)
      await app.publish('public/q', '1', { qos: 1 })
      await script.received(away, false)
      away.destroy()
      for (const text of ['2', '3', '4']) await app.publish('public/q', text, { qos: 1 })
      await app.publish('public/q', 'q0', { qos: 0 })
      await app.ping()
      const back = await script.connect({ clientId: 'q2', clean: false })
      await script.received(back)
      await script.received(back)
      await back.disconnect()
      await script.connect({ clientId: 'q2', clean: true })
      const fresh = await script.connect({ clientId: 'q2', clean: false })
      await app.publish('public/q', '5', { qos: 1 })
      await script.received(fresh)
    },
  },
  {
    title: 'a takeover closes the old connection and keeps its Session',
    async run(script) {
      const old = await script.connect({ clientId: 't1', clean: false })
      await script.subscribe(old, 'public/t', 1)
      const now = await script.connect({ clientId: 't1', clean: false })
      await script.closed(old)
      await now.publish('public/t', 'x', { qos: 1 })
      await script.received(now)
    },
  },
  {
    title: 'filters that overlap give one copy',
    differs: {
      mosquitto: ['PUBLISH public/o/x both q0'],
      midge: ['PUBLISH public/o/x both q1'],
    },
    async run(script) {
      const app = await script.connect({ clientId: 'o1', ...APP })
      await script.subscribe(app, 'public/o/+', 0)
      await script.subscribe(app, 'public/o/#', 1)
      await app.publish('public/o/x', 'both', { qos: 1 })
      await app.publish('public/o', 'one', { qos: 1 })
      await script.received(app)
      await script.subscribe(app, 'public/o/#', 0)
      await app.publish('public/o', 'lowered', { qos: 1 })
      await script.received(app)
    },
  },
  {
    title: 'the lower QoS of message and subscription counts',
    async run(script) {
      const app = await script.connect({ clientId: 'd1', ...APP })
      for (const subscribed of [0, 1, 2] as const) {
        await script.subscribe(app, 'public/d', subscribed)
        for (const qos of [0, 1, 2] as const) {
          await app.publish('public/d', `q${qos}`, { qos })
          await script.received(app)
        }
      }
    },
  },
  {
    title: '$SYS is not for clients to write, and # does not reach it',
    async run(script) {
      const app = await script.connect({ clientId: 's1', ...APP })
      await script.subscribe(app, ['#', '$SYS/x'], 1)
      await app.publish('$SYS/x', 'no', { qos: 1 })
      await app.publish('$other/x', 'no', { qos: 1 })
      await script.received(app)
    },
  },
  {
    title: 'no more than max_inflight_messages are on their way',
    differs: {
      mosquitto: ['PUBLISH public/i 4 q1', 'nothing more'],
      midge: ['nothing more', 'PUBLISH public/i 4 q1'],
    },
    async run(script) {
      const app = await script.connect({ clientId: 'i1', ...APP })
      const slow = await script.connect({ clientId: 'i2' })
      await script.subscribe(slow, 'public/i', 1)
      for (const text of ['1', '2', '3', '4']) await app.publish('public/i', text, { qos: 1 })
      const [first = 0, second = 0] = await script.received(slow, false)
      slow.send(encodeAcknowledgement(PacketType.PUBACK, first))
      await script.received(slow, false)
      slow.send(encodeAcknowledgement(PacketType.PUBACK, second))
      await script.received(slow)
    },
  },
  {
    title: 'what breaks the protocol ends the connection',
    differs: {
      mosquitto: ['PINGREQ with a body: open'],
      midge: ['PINGREQ with a body: closed'],
    },
    async run(script) {
      for (const [what, hex] of BROKEN) {
        const client = await script.connect({ clientId: 'b1' })
        client.send(Buffer.from(hex, 'hex'))
        await client.ping().then(
          () => script.note(`${what}: open`),
          () => script.note(`${what}: closed`),
        )
        client.destroy()
      }
    },
  },
  {
    title: 'a QoS 2 message sent twice before PUBREL is delivered once',
    async run(script) {
      const app = await script.connect({ clientId: 'e1', ...APP })
      await script.subscribe(app, 'public/e', 2)
      const sender = await script.connect({ clientId: 'e2', clean: false })
      const publication = { topic: 'public/e', payload: Buffer.from('x'), qos: 2, retain: false }
      const send = (client: RawClient, dup: boolean) =>
        client.send(encodePublish({ ...publication, qos: 2, dup, packetId: 7 }))
      send(sender, false)
      await sender.next(PacketType.PUBREC)
      sender.destroy()
      const back = await script.connect({ clientId: 'e2', clean: false })
      send(back, true)
      await back.next(PacketType.PUBREC)
      for (const _ of [1, 2]) {
        back.send(encodeAcknowledgement(PacketType.PUBREL, 7))
        await back.next(PacketType.PUBCOMP)
      }
      await script.received(app)
      await script.connect({ clientId: 'e2', clean: true })
    },
  },
  {
    title: 'another acl_file is in force after SIGHUP, for subscriptions that stand',
    async run(script) {
      const app = await script.connect({ clientId: 'h1', ...APP })
      const other = await script.connect({ clientId: 'h2' })
      await script.subscribe(other, ['later/#', 'public/h'], 0)
      await app.publish('later/h', 'early', { qos: 1 })
      await script.received(other)
      await script.reload('acl', async () => 'topic read later/#\nuser app\ntopic readwrite #\n')
      while (!other.unread.some(({ type }) => type === PacketType.PUBLISH)) {
        await app.publish('later/h', 'probe', { qos: 1 })
        await other.ping()
      }
      await other.receive()
      await app.publish('public/h', 'no', { qos: 1 })
      await app.publish('later/h', 'late', { qos: 1 })
      await script.received(other)
    },
  },
  {
    title: 'another password_file is in force after SIGHUP, for connections that stand',
    async run(script) {
      const stays = await script.connect({ clientId: 'a1', ...APP })
      const changed = { userName: 'changed', password: 'old' }
      const removed = { userName: 'removed', password: 'gone' }
      const before = [
        await script.connect({ clientId: 'a2', ...changed }),
        await script.connect({ clientId: 'a3', ...removed }),
      ]
      await script.connect({ clientId: 'a4', userName: 'added', password: 'fresh' })
      await script.reload('passwd', async (text) =>
        passwordFile(await scratchDirectory(script.t), LATER, text),
      )
      for (const client of before) await script.closed(client)
      await stays.ping()
      script.note('app stays')
      await script.connect({ clientId: 'a2', ...changed })
      await script.connect({ clientId: 'a2', ...changed, password: 'new' })
      await script.connect({ clientId: 'a3', ...removed })
      await script.connect({ clientId: 'a4', userName: 'added', password: 'fresh' })
    },
  },
]

/** As mosquitto_passwd leaves it: lines that it is not told to change stay as they are. */
function passwordFile(folder: string, changes: readonly (readonly string[])[], text = ''): string {
  const file = join(folder, 'passwd')
  writeFileSync(file, text, { mode: 0o600 })
  for (const [option = '', ...account] of changes) {
    execFileSync('/usr/bin/mosquitto_passwd', [option, file, ...account], { stdio: 'ignore' })
  }
  return readFileSync(file, 'utf8')
}

const ACL = 'topic readwrite public/#\n\nuser app\ntopic readwrite #\n'

/** The same files for both; `user root` keeps Mosquitto from leaving a root that runs the tests. */
async function startOne(t: TestContext, which: 'mosquitto' | 'midge', passwd: string) {
  const folder = await scratchDirectory(t)
  const port = await freePort()
  const file = join(folder, 'mosquitto.conf')
  await writeFile(join(folder, 'passwd'), passwd)
  await writeFile(join(folder, 'acl'), ACL)
  await writeFile(
    file,
    `user root
listener ${port} 127.0.0.1
allow_anonymous true
password_file ${folder}/passwd
acl_file ${folder}/acl
max_inflight_messages 2
sys_interval 0
`,
  )
  const child = which === 'midge' ? await midge(t, file) : await mosquitto(t, file)
  const reload: Reload = async (name, change) => {
    const file = join(folder, name)
    await writeFile(file, await change(await readFile(file, 'utf8')))
    child.kill('SIGHUP')
  }
  return { port, reload }
}

async function midge(t: TestContext, file: string) {
  const started = spawnMidge(t, { args: ['-c', file] })
  await started.printed(/midge\.running/u)
  return started.child
}

async function mosquitto(t: TestContext, file: string) {
  const child = spawn(MOSQUITTO, ['-c', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.after(() => child.kill('SIGTERM'))
  let output = ''
  for await (const bytes of child.stderr.iterator({ destroyOnReturn: false })) {
    output += String(bytes)
    if (/ running$/mu.test(output)) break
  }
  assert.match(output, / running$/mu)
  child.stderr.resume()
  return child
}

test('Midge answers as Mosquitto does', {
  timeout: 60_000,
  skip: missing === undefined ? false : `${missing} is not installed`,
}, async (t) => {
  const passwd = passwordFile(await scratchDirectory(t), ACCOUNTS)
  const [theirs, ours] = [
    await startOne(t, 'mosquitto', passwd),
    await startOne(t, 'midge', passwd),
  ]
  for (const { title, run, differs } of CASES) {
    await t.test(title, { timeout: 10_000 }, async (t) => {
      const transcript = async ({ port, reload }: typeof theirs) => {
        const script = new Script(t, port, reload)
        await run(script)
        return script.lines
      }
      const expected = await transcript(theirs)
      const found = await transcript(ours)
      if (differs === undefined) return assert.deepEqual(found, expected)
      const only = (lines: readonly string[], other: readonly string[]) =>
        lines.filter((line, i) => line !== other[i])
      assert.deepEqual(only(expected, found), differs.mosquitto)
      assert.deepEqual(only(found, expected), differs.midge)
    })
  }
})
