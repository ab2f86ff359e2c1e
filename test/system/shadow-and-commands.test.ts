/** Shadows and commands from end to end: MQTT.js on both sides, our broker, PostgreSQL behind it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { createAdmin } from '../../admin/index.ts'
import { PasswordAccounts } from '../../broker/index.ts'
import type { IngestConfig } from '../../config/types.ts'
import { hashPassword } from '../../config/password-hash.ts'
import { parsePasswordFile } from '../../config/password-file.ts'
import { startBroker } from '../helpers/broker.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import { platformDatabase } from '../helpers/platform-schema.ts'
import { testServer, type Query, type TestConnection } from '../helpers/postgres.ts'
import { reportOf } from '../ingest/downlink/reports.ts'
import { ingestConfig, openIngest } from '../ingest/open.ts'
import { ACME_WITH_STATE, registryRules } from '../ingest/platform.ts'

const P = 'tenant/acme/device/pump-7'
const pki = mutualTls()
const certificate = pki.device('acme/pump-7')
const random = (bytes: number) => randomBytes(bytes)
const accounts = new PasswordAccounts(
  parsePasswordFile(`service_pulse:${hashPassword('secret', { random, iterations: 1 })}`, 'passwd'),
  { random },
)
const rules = { tenancy: true, acl: undefined, accountAccess: new Set(['service_pulse']) }
const registry = registryRules({ unlistedCertificate: 'ca' })

async function startWorld(
  t: TestContext,
  connection: TestConnection,
  changes: Partial<IngestConfig> = {},
) {
  const config = ingestConfig(connection, { registry, ...changes })
  const { ingest, log, metrics } = await openIngest(t, config)
  const { broker, port } = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    rules,
    sink: ingest,
    observer: ingest.connections,
    also: [{ listener: { name: 'plain' }, rules, accounts }],
  })
  const open = async (options: IClientOptions): Promise<MqttClient> => {
    const client = connect({
      host: '127.0.0.1',
      protocolVersion: 4,
      reconnectPeriod: 0,
      ...options,
    })
    inboxes.set(client, new Inbox(client))
    t.after(() => client.endAsync(true))
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      client.on('error', reject)
    })
    return client
  }
  return {
    ingest,
    log,
    metrics,
    broker,
    device: (options: IClientOptions = {}) =>
      open({
        protocol: 'mqtts',
        port,
        ca: pki.ca.certificatePem,
        cert: certificate.certificatePem,
        key: certificate.privateKeyPem,
        clientId: 'pump-7',
        ...options,
      }),
    service: () =>
      open({
        protocol: 'mqtt',
        port: broker.portOf('plain'),
        clientId: 'service',
        username: 'service_pulse',
        password: 'secret',
      }),
  }
}

interface Received {
  readonly topic: string
  readonly text: string
  readonly retain: boolean
  readonly qos: number
}

/** Also what comes right behind the CONNACK. */
class Inbox {
  readonly #unread: Received[] = []
  readonly #waiting: ((message: Received) => void)[] = []

  constructor(client: MqttClient) {
    client.on('message', (topic, payload, { retain, qos }) => {
      const message = { topic, text: payload.toString(), retain, qos }
      const next = this.#waiting.shift()
      if (next === undefined) this.#unread.push(message)
      else next(message)
    })
  }

  next(): Promise<Received> {
    const message = this.#unread.shift()
    if (message !== undefined) return Promise.resolve(message)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

const inboxes = new WeakMap<MqttClient, Inbox>()

function nextMessage(client: MqttClient): Promise<Received> {
  const inbox = inboxes.get(client)
  assert.ok(inbox !== undefined)
  return inbox.next()
}

async function stateOf(query: Query) {
  const [row] = await query(
    `SELECT reported_state AS state, reported_version AS version, last_seen_at IS NOT NULL AS seen
       FROM device_state WHERE tenant_id = 'acme' AND device_id = 'pump-7'`,
  )
  return row
}

test('a device that comes later gets the desired shadow, and what it reports is stored', async (t) => {
  const { connection, query } = await platformDatabase(t)
  await query(ACME_WITH_STATE)
  const world = await startWorld(t, connection)
  const service = await world.service()
  const desired = { desired: { rate: 5 }, version: 3, timestamp: '2026-03-01T06:30:00Z' }
  const options = { qos: 1, retain: true } as const
  await service.publishAsync(`${P}/shadow/desired`, JSON.stringify(desired), options)

  const device = await world.device()
  const received = nextMessage(device)
  await device.subscribeAsync(`${P}/shadow/desired`, { qos: 1 })
  const { topic, text, retain, qos } = await received
  assert.deepEqual({ topic, retain, qos }, { topic: `${P}/shadow/desired`, retain: true, qos: 1 })
  assert.deepEqual(JSON.parse(text), desired)

  await service.subscribeAsync('tenant/+/device/+/shadow/reported', { qos: 1 })
  const heard = nextMessage(service)
  const { version } = desired
  const report = JSON.stringify({ reported: { rate: 5 }, version })
  await device.publishAsync(`${P}/shadow/reported`, report, { qos: 1 })
  // Acknowledged means stored.
  assert.deepEqual(await stateOf(query), { state: { rate: 5 }, version: 3, seen: true })
  assert.equal((await heard).text, report)

  const cleared = nextMessage(device)
  await service.publishAsync(`${P}/shadow/desired`, '', options)
  assert.deepEqual(await cleared, {
    topic: `${P}/shadow/desired`,
    text: '',
    retain: false,
    qos: 1,
  })
  await device.endAsync()
  const again = await world.device({ clientId: 'again' })
  await again.subscribeAsync(`${P}/shadow/desired`, { qos: 1 })
  await again.subscribeAsync(`${P}/commands`, { qos: 1 })
  await service.publishAsync(`${P}/commands`, '{}', { qos: 1 })
  // Nothing came before it.
  assert.equal((await nextMessage(again)).topic, `${P}/commands`)
})

test('what a service says in the name of a device changes no shadow and delivers no command', async (t) => {
  const { connection, query } = await platformDatabase(t)
  await query(ACME_WITH_STATE)
  await query(`INSERT INTO device_commands (tenant_id, device_id, command_id, command_type)
               VALUES ('acme', 'pump-7', 'c-1', 'reboot')`)
  const world = await startWorld(t, connection)
  const service = await world.service()
  await service.publishAsync(`${P}/shadow/reported`, '{"reported":{"a":1}}', { qos: 1 })
  await service.publishAsync(`${P}/commands/ack`, '{"command_id":"c-1"}', { qos: 1 })
  assert.deepEqual(await stateOf(query), { state: {}, version: 0, seen: false })
  assert.deepEqual(await query('SELECT status FROM device_commands'), [{ status: 'queued' }])
  assert.deepEqual(await query('SELECT 1 FROM telemetry'), [])
  assert.equal(world.ingest.counters().messages_received, 0)
})

test('a command waits for a device that is away, and its acknowledgement delivers it', async (t) => {
  const { connection, query } = await platformDatabase(t, { login: 'member' })
  await query(ACME_WITH_STATE)
  await query(`UPDATE device_registry SET provision_token_hash = encode(sha256('tok-7'), 'hex')`)
  await query(`INSERT INTO device_commands (tenant_id, device_id, command_id, command_type)
               VALUES ('acme', 'pump-7', 'c-1', 'reboot')`)
  const world = await startWorld(t, connection)
  const service = await world.service()
  const first = await world.device({ clean: false })
  await first.subscribeAsync(`${P}/commands`, { qos: 1 })
  await first.endAsync()
  const command = {
    command_id: 'c-1',
    type: 'reboot',
    params: {},
    expires_at: '2100-01-01T00:00:00Z',
  }
  await service.publishAsync(`${P}/commands`, JSON.stringify(command), { qos: 1 })

  const admin = await createAdmin(
    { host: '127.0.0.1', port: 0 },
    {
      counters: () => world.ingest.counters(),
      readiness: () => world.ingest.ready(),
      metrics: world.metrics.registry,
      devices: world.ingest.devices,
    },
  )
  t.after(() => admin.close())
  const pending = async () => {
    const url = `http://127.0.0.1:${admin.port}/device/v1/commands/pending`
    const answer = await fetch(url, { headers: { 'x-provision-token': 'tok-7' } })
    return ((await answer.json()) as { commands: { command_id: string }[] }).commands
  }
  assert.deepEqual(
    (await pending()).map(({ command_id }) => command_id),
    ['c-1'],
  )

  const device = await world.device({ clean: false })
  const { text, retain } = await nextMessage(device)
  assert.deepEqual(JSON.parse(text), command)
  assert.equal(retain, false)
  const ack = JSON.stringify({ command_id: 'c-1', status: 'ok', details: { took: 3 } })
  await device.publishAsync(`${P}/commands/ack`, ack, { qos: 1 })
  assert.deepEqual(await query('SELECT status, ack_details AS details FROM device_commands'), [
    { status: 'delivered', details: { status: 'ok', details: { took: 3 } } },
  ])
  assert.deepEqual(await pending(), [])
  assert.equal(world.log.last('command_acked')?.['updated'], true)
})

test('while PostgreSQL is away a report waits for its PUBACK; then it is applied', async (t) => {
  const server = await testServer(t)
  const world = await startWorld(t, server.connection)
  await server.query(ACME_WITH_STATE)
  const device = await world.device()
  const report = (n: number) =>
    device.publishAsync(`${P}/shadow/reported`, JSON.stringify({ reported: { n }, version: n }), {
      qos: 1,
    })
  await report(1)
  await server.stop('immediate')
  let acknowledged = 0
  const reports = [2, 3, 4].map((n) => report(n).then(() => acknowledged++))
  await world.log.until('report.retried')
  // What needs no database goes on.
  const echo = nextMessage(device)
  await device.subscribeAsync(`${P}/jobs/#`, { qos: 1 })
  const service = await world.service()
  await service.publishAsync(`${P}/jobs/1`, 'x', { qos: 1 })
  await echo
  assert.equal(acknowledged, 0)
  assert.equal(device.connected, true)

  await server.start()
  await Promise.all(reports)
  assert.deepEqual(await stateOf(server.query), { state: { n: 4 }, version: 4, seen: true })

  await server.stop('immediate')
  const last = world.ingest.report(reportOf('shadow_reported', { reported: { n: 5 } }))
  const refused = assert.rejects(last, { code: 'INGEST_STOPPED' })
  await world.ingest.stop(0)
  await refused
})

test('connections, denials and revocations leave their rows, and statistics their line', async (t) => {
  const { connection, query } = await platformDatabase(t)
  await query(ACME_WITH_STATE)
  const world = await startWorld(t, connection, {
    connectionEvents: true,
    auditTelemetry: true,
    statisticsEverySeconds: 1,
  })
  const device = await world.device()
  const options = { qos: 1 } as const
  await device.publishAsync('tenant/acme/device/pump-8/telemetry', '{"site_id":"n"}', options)
  await device.publishAsync(`${P}/telemetry`, '{"metrics":{}}', options)
  await device.publishAsync(`${P}/telemetry`, '{"site_id":"north","metrics":{"a":1}}', options)
  await device.publishAsync(`${P}/shadow/reported`, 'nonsense', options)
  await device.endAsync()
  const line = await world.log.until('ingest.statistics')
  assert.equal(line['level'], 'info')
  assert.equal(typeof line['messages_received'], 'number')
  await world.broker.stop()
  await world.ingest.stop(5_000)
  const events = await query(
    `SELECT event_type, details->>'trigger' AS trigger FROM device_connection_events ORDER BY id`,
  )
  assert.deepEqual(events, [
    { event_type: 'CONNECTED', trigger: 'mqtt' },
    { event_type: 'DISCONNECTED', trigger: 'mqtt' },
  ])
  const audit = await query(
    `SELECT event_type, tenant_id, entity_id, details->>'reason' AS reason FROM audit_log
      WHERE source_service = 'ingest' ORDER BY event_type, reason`,
  )
  const of = (event_type: string, reason: string | null = null) => ({
    event_type,
    tenant_id: 'acme',
    entity_id: 'pump-7',
    reason,
  })
  assert.deepEqual(audit, [
    of('access.denied'),
    of('device.rejected', 'AUTH_FAILED'),
    of('device.rejected', 'INVALID_JSON'),
    of('device.rejected', 'MISSING_SITE_ID'),
    of('device.telemetry'),
  ])
})
