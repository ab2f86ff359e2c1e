/** The promise: whatever one device sends, it is answered by name, and no other tenant notices. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { PacketType, encodeAcknowledgement, encodePublish } from '../../broker/packets/index.ts'
import type { Metrics } from '../../core/metrics.ts'
import { startBroker } from '../helpers/broker.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { lengthPrefixed, packetOf, type RawClient } from '../helpers/raw-client.ts'
import { judge, message, MAX_PAYLOAD } from '../ingest/messages.ts'
import { ingestConfig, openIngest } from '../ingest/open.ts'
import { Random } from '../ingest/random.ts'

const CASES_EACH = 26_000
const REPORTS = 1_000
const WINDOW = 200
const SEEDS = [
  '{"version":"1","ts":"2026-03-01T06:30:00.250Z","site_id":"north","seq":41,"metrics":{"t":21.4,"mode":"auto"}}',
  '{"site_id":"north","tenant_id":"evil","provision_token":"tok-1","metrics":{"a":{"b":[1,2.5e3,-0,"\\ud83d\\ude00",null]}}}',
  '{"site_id":7,"seq":"9223372036854775807","metrics":null,"lat":"52.5","lng":13.4}',
  '{"site_id":"a","metrics":{"__proto__":{"x":1e308},"":[[[[]]]]},"reported":{"a":1},"version":2}',
  '[{"site_id":"north"}]',
  'null',
  '',
]
const TOKENS = [
  ...['{', '}', '[', ']', ',', ':', '"', '\\', '\0', '\n', 'null', 'NaN', '-', '.', 'e'],
  ...['1e400', '-1e-20000', '9223372036854775808', '"\\u0000"', '\\ud800', '\\udc00'],
  ...['"site_id":', '"seq":', '"metrics":', '"tenant_id":"acme",', '"ts":"9999-12-31",'],
  ...["'; DROP TABLE telemetry; --", '\\.', '\t', '\u2028', '[[['.repeat(400)],
  ...[Buffer.from([0xff]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.alloc(9_000, 0x20)],
]
/** Whole packets that no client may send; the connection has to end at each. */
const MALFORMED: readonly Uint8Array[] = [
  publishOf('tenant/+/device/h-1/telemetry'),
  publishOf('tenant/evil/device/h-1/#'),
  publishOf(''),
  publishOf('x/'.repeat(20_000)), // too many levels
  publishOf('tenant/evil/device/h-1/tele\0metry'),
  publishOf(Buffer.from([0x74, 0xff, 0x74])),
  publishOf(Buffer.from([0x74, 0xed, 0xa0, 0x80])),
  packetOf(0x36, lengthPrefixed('t'), [0, 1]), // QoS 3
  packetOf(0x32, lengthPrefixed('t'), [0, 0]), // Packet Identifier 0
  packetOf(0x32, [0xff, 0xff, 0x74]), // a Topic Name that goes beyond the packet
  packetOf(0x32, []),
  Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0xff]), // a Remaining Length of five bytes
  Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f]), // 256 MiB to come
]
const NAMED = new Set(['malformed_packet', 'protocol_error', 'packet_too_large'])

type Expected = 'row' | 'rejected' | 'denied'

/** What a hostile device sent, and what has to become of it. */
class Hostile {
  readonly expected = { row: 0, rejected: 0, denied: 0 }
  reports = 0
  malformed = 0
  acknowledged = 0
  readonly #open: () => Promise<RawClient>
  readonly #random: Random
  readonly #device: string
  readonly #unacknowledged = new Set<number>()
  #client: RawClient

  private constructor(device: string, seed: number, open: () => Promise<RawClient>, on: RawClient) {
    this.#device = device
    this.#random = new Random(seed)
    this.#open = open
    this.#client = on
  }

  static async connect(device: string, seed: number, open: () => Promise<RawClient>) {
    return new Hostile(device, seed, open, await open())
  }

  async send(cases: number): Promise<void> {
    for (let i = 0; i < cases; i++) {
      if (i % 200 === 199) await this.#sendMalformed()
      else await this.#sendPublish()
    }
    await this.#settle()
  }

  /** Shadows and command acknowledgements: nothing of them is telemetry. */
  async sendReports(count: number): Promise<void> {
    for (; this.reports < count; this.reports++) {
      const below = this.#random.pick(['shadow/reported', 'commands/ack'])
      await this.#publish(`tenant/evil/device/${this.#device}/${below}`, this.#payload(), 1)
    }
    await this.#settle()
  }

  async #sendPublish(): Promise<void> {
    const payload = this.#payload()
    const own = `tenant/evil/device/${this.#device}`
    const isOwn = this.#random.below(10) > 0
    const topic = isOwn
      ? `${own}/${this.#random.pick(['telemetry', 'heartbeat', 'telemetry/a//b'])}`
      : this.#random.pick([
          'tenant/acme/device/pump-7/telemetry',
          'tenant/acme/device/pump-7/commands',
          `tenant/acme/device/${this.#device}/telemetry`,
          'tenant/evil/device/h-9/telemetry',
          `tenant//device/${this.#device}/telemetry`,
          `TENANT/evil/device/${this.#device}/telemetry`,
          `tenant/\u0435vil/device/${this.#device}/telemetry`, // Cyrillic
          `/${own}/telemetry`,
          `${own}/commands`,
          `${own}/shadow/desired`,
          '$SYS/broker/uptime',
          '/',
          'x'.repeat(40_000),
        ])
    this.expected[isOwn ? this.#judge(payload) : 'denied']++
    await this.#publish(topic, payload, this.#random.pick([0, 1, 1, 1, 2]))
  }

  #judge(payload: Buffer): Expected {
    const telemetry = message(payload, { tenant: 'evil', device: this.#device })
    return typeof judge(telemetry) === 'string' ? 'rejected' : 'row'
  }

  #payload(): Buffer {
    return this.#random.damage(Buffer.from(this.#random.pick(SEEDS)), TOKENS)
  }

  async #publish(topic: string, payload: Buffer, qos: 0 | 1 | 2): Promise<void> {
    const packetId = qos === 0 ? 0 : this.#client.nextPacketId()
    this.#client.send(encodePublish({ topic, payload, qos, retain: false, dup: false, packetId }))
    if (qos > 0) this.#unacknowledged.add(packetId)
    while (this.#unacknowledged.size >= WINDOW) await this.#take()
  }

  /** Alone on the wire, so that its connection owes nothing else when it ends. */
  async #sendMalformed(): Promise<void> {
    await this.#settle()
    this.#client.send(this.#random.pick(MALFORMED))
    this.malformed++
    await this.#client.closed
    this.#client = await this.#open()
  }

  /** QoS 0 too: PINGRESP follows what came before it. */
  async #settle(): Promise<void> {
    while (this.#unacknowledged.size > 0) await this.#take()
    await this.#client.ping()
  }

  async #take(): Promise<void> {
    const { type, bytes, bodyStart } = await this.#client.next()
    const packetId = bytes.readUInt16BE(bodyStart)
    if (type === PacketType.PUBREC) {
      this.#client.send(encodeAcknowledgement(PacketType.PUBREL, packetId))
      return
    }
    assert.ok(type === PacketType.PUBACK || type === PacketType.PUBCOMP)
    assert.ok(this.#unacknowledged.delete(packetId), 'acknowledged once')
    this.acknowledged++
  }
}

/** Publishes good telemetry one after another until it is told to stop. */
class Neighbour {
  acknowledged = 0
  isClosed = false
  isStopped = false

  async run(client: RawClient, tenant: string, device: string): Promise<void> {
    void client.closed.then(() => (this.isClosed = true))
    const topic = `tenant/${tenant}/device/${device}/telemetry`
    while (!this.isStopped) {
      const text = JSON.stringify({ site_id: 's', seq: this.acknowledged, metrics: {} })
      await client.publish(topic, text, { qos: 1 })
      this.acknowledged++
    }
  }
}

const NEIGHBOURS = [
  ['acme', 'pump-7'],
  ['beta', 'pump-7'],
] as const

test(`${2 * CASES_EACH} hostile messages are each accounted for, and no neighbour notices`, {
  timeout: 180_000,
}, async (t) => {
  const { connection, query } = await testDatabase(t)
  const { ingest, log } = await openIngest(
    t,
    ingestConfig(connection, { maxPayloadBytes: MAX_PAYLOAD }),
  )
  const pki = mutualTls()
  const { broker, port, metrics } = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    rules: { tenancy: true, acl: undefined, accountAccess: new Set() },
    sink: ingest,
    log: log.log,
  })
  const opener = openerOf(t, pki, port)
  const neighbours: { tenant: string; client: RawClient; neighbour: Neighbour }[] = []
  const running: Promise<void>[] = []
  for (const [tenant, device] of NEIGHBOURS) {
    const client = await opener(tenant, device)()
    assert.deepEqual(await client.subscribe(`tenant/${tenant}/device/${device}/commands`, 1), [1])
    const neighbour = new Neighbour()
    running.push(neighbour.run(client, tenant, device))
    neighbours.push({ tenant, client, neighbour })
  }
  const hostile = [
    await Hostile.connect('h-1', 1, opener('evil', 'h-1')),
    await Hostile.connect('h-2', 2, opener('evil', 'h-2')),
  ]
  await Promise.all(hostile.map((each) => each.send(CASES_EACH)))
  const closedFor = await closings(metrics)
  const unnamed = [...closedFor].filter(([reason]) => !NAMED.has(reason))
  assert.deepEqual(unnamed, [])
  assert.equal(sum([...closedFor.values()]), sum(hostile.map(({ malformed }) => malformed)))

  const reporter = await Hostile.connect('h-3', 3, opener('evil', 'h-3'))
  await reporter.sendReports(REPORTS)
  assert.equal(reporter.acknowledged, REPORTS)

  for (const { neighbour } of neighbours) neighbour.isStopped = true
  await Promise.all(running)
  for (const { tenant, client, neighbour } of neighbours) {
    await client.ping()
    assert.equal(neighbour.isClosed, false, tenant)
    assert.deepEqual(client.unread, [], 'nothing reached it that was not meant for it')
    const found = await query(
      `SELECT count(*)::int AS rows, count(DISTINCT seq)::int AS seqs FROM telemetry
          WHERE tenant_id = $1 AND device_id = 'pump-7'`,
      [tenant],
    )
    const { acknowledged } = neighbour
    assert.ok(acknowledged > 100, `${tenant} was served meanwhile`)
    assert.deepEqual(found, [{ rows: acknowledged, seqs: acknowledged }])
  }
  await broker.stop()
  await ingest.stop(10_000)

  const of = (kind: Expected) => sum(hostile.map(({ expected }) => expected[kind]))
  // Most outcomes have to occur, or the cases prove nothing.
  for (const kind of ['row', 'rejected', 'denied'] as const) assert.ok(of(kind) > 3_000, kind)
  const [found] = await query(
    `SELECT (SELECT count(*) FROM telemetry WHERE tenant_id = 'evil')::int AS rows,
              (SELECT count(*) FROM quarantine_events WHERE device_id IN ('h-1', 'h-2')
                                                        AND reason <> 'AUTH_FAILED')::int AS rejected,
              (SELECT sum(cnt) FROM quarantine_counters_minute
                WHERE tenant_id = 'evil' AND reason = 'AUTH_FAILED')::int AS denied,
              (SELECT sum(cnt) FROM quarantine_counters_minute)::int AS counted,
              (SELECT count(*) FROM quarantine_events WHERE tenant_id <> 'evil')::int AS foreign,
              (SELECT count(*) FROM quarantine_events
                WHERE reason LIKE 'ROW_REJECTED%' OR reason LIKE 'INGEST_EXCEPTION%')::int AS surprises`,
  )
  assert.deepEqual(found, {
    rows: of('row'),
    rejected: of('rejected'),
    denied: of('denied'),
    counted: ingest.counters().messages_rejected,
    foreign: 0,
    surprises: 0,
  })
  const { messages_received, messages_written, queue_depth } = ingest.counters()
  const good = sum(neighbours.map(({ neighbour }) => neighbour.acknowledged))
  assert.deepEqual(
    { messages_received, messages_written, queue_depth },
    {
      messages_received: of('row') + of('rejected') + good,
      messages_written: of('row') + good,
      queue_depth: 0,
    },
  )
})

function openerOf(t: TestContext, pki: ReturnType<typeof mutualTls>, port: number) {
  return (tenant: string, device: string) => {
    const certificate = pki.device(`${tenant}/${device}`)
    return async () => {
      const client = await pki.connect(t, port, certificate)
      assert.equal((await client.connect({ clientId: device })).returnCode, 0)
      return client
    }
  }
}

/** QoS 1, otherwise as it should be. */
function publishOf(topic: string | Uint8Array): Buffer {
  return packetOf(0x32, lengthPrefixed(topic), [0, 1], Buffer.from('{}'))
}

/** How many Sessions lost their connection, by reason. */
async function closings(metrics: Metrics): Promise<Map<string, number>> {
  const { values } = await metrics.sessionsClosed.get()
  return new Map(values.map(({ labels, value }) => [String(labels.reason), value]))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
