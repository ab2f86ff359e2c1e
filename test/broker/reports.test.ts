/** Which messages are reports of a device, over mutual TLS and beside it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { PasswordAccounts, compileAcl, type AccessRules } from '../../broker/index.ts'
import { PacketType, encodePublish } from '../../broker/packets/index.ts'
import type {
  CertificateRefused,
  ConnectionObserver,
  ObservedConnection,
} from '../../broker/ports.ts'
import { reportTopicOf } from '../../broker/reports.ts'
import { parseAclFile } from '../../config/acl-file.ts'
import { hashPassword } from '../../config/password-hash.ts'
import { parsePasswordFile } from '../../config/password-file.ts'
import { deviceId, tenantId } from '../../core/names.ts'
import type { Identity } from '../../broker/identity/index.ts'
import { startBroker } from '../helpers/broker.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import type { RawClient } from '../helpers/raw-client.ts'

const pki = mutualTls()
const pump = pki.device('acme/pump-7')
const P = 'tenant/acme/device/pump-7/'
const random = (bytes: number) => randomBytes(bytes)
const accounts = new PasswordAccounts(
  parsePasswordFile(`service_pulse:${hashPassword('secret', { random, iterations: 1 })}`, 'passwd'),
  { random },
)
const rules: AccessRules = {
  tenancy: true,
  acl: undefined,
  accountAccess: new Set(['service_pulse']),
}
const plain = { name: 'plain' }

class Observer implements ConnectionObserver {
  readonly told: string[] = []
  readonly refused: CertificateRefused[] = []
  #waiting: { count: number; resolve: () => void }[] = []

  opened({ tenantId: tenant, deviceId: device, listener }: ObservedConnection): void {
    this.#tell(`opened ${tenant}/${device} on ${listener}`)
  }

  closed({ tenantId: tenant, deviceId: device }: ObservedConnection, reason: string): void {
    this.#tell(`closed ${tenant}/${device}: ${reason}`)
  }

  certificateRefused(refusal: CertificateRefused): void {
    this.refused.push(refusal)
    this.#tell(`refused ${refusal.commonName}: ${refusal.reason}`)
  }

  until(count: number): Promise<void> {
    if (this.told.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ count, resolve }))
  }

  #tell(line: string): void {
    this.told.push(line)
    for (const { count, resolve } of this.#waiting) if (this.told.length >= count) resolve()
  }
}

async function startWorld(t: TestContext, deviceRules = rules) {
  const sink = new HeldSink()
  const observer = new Observer()
  const { broker, port } = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    rules: deviceRules,
    sink,
    observer,
    also: [{ listener: plain, rules, accounts }],
  })
  const device = await pki.connect(t, port, pump)
  assert.equal((await device.connect({ clientId: 'pump-7' })).returnCode, 0)
  const { RawClient: Client } = await import('../helpers/raw-client.ts')
  const service = await Client.tcp(broker.portOf('plain'))
  t.after(() => service.destroy())
  const login = { clientId: 's', userName: 'service_pulse', password: Buffer.from('secret') }
  assert.equal((await service.connect(login)).returnCode, 0)
  return { broker, port, sink, observer, device, service }
}

let nextPacketId = 1

/** Settles with the PUBACK. */
async function publish(client: RawClient, topic: string): Promise<void> {
  const packetId = nextPacketId++
  const payload = Buffer.from('{}')
  client.send(encodePublish({ topic, payload, qos: 1, dup: false, retain: false, packetId }))
  await client.next(PacketType.PUBACK)
}

const certificate = {} as Extract<Identity, { kind: 'certificate' }>['certificate']
const device: Identity = {
  kind: 'device',
  userName: 'acme/pump-7',
  tenantId: tenantId('acme'),
  deviceId: deviceId('pump-7'),
  topicPrefix: P,
  certificate,
}
const OTHERS: readonly Identity[] = [
  { kind: 'account', userName: 'service_pulse' },
  { kind: 'account', userName: 'acme/pump-7' },
  { kind: 'anonymous', userName: undefined },
  { kind: 'certificate', userName: 'acme/pump-7', certificate },
]

test('only a device speaks for itself, on exactly two topics of its own', () => {
  for (const identity of OTHERS) {
    for (const topic of [`${P}shadow/reported`, `${P}commands/ack`]) {
      assert.equal(reportTopicOf(identity, topic), undefined, `${identity.kind} ${topic}`)
    }
  }
  for (const topic of [
    'tenant/acme/device/pump-70/shadow/reported',
    'tenant/acme/device/pump-7x/commands/ack',
    'tenant/globex/device/pump-7/shadow/reported',
    `/${P}shadow/reported`,
    `${P}shadow`,
    `${P}shadow/`,
    `${P}shadow/reported/`,
    `${P}shadow/reported/x`,
    `${P}shadow/Reported`,
    `${P}shadow/desired`,
    `${P}/shadow/reported`,
    `${P}commands`,
    `${P}commands/ack/x`,
    `${P}telemetry`,
    'shadow/reported',
  ]) {
    assert.equal(reportTopicOf(device, topic), undefined, topic)
  }
  const own = { tenantId: 'acme', deviceId: 'pump-7' }
  assert.deepEqual(reportTopicOf(device, `${P}shadow/reported`), {
    kind: 'shadow_reported',
    ...own,
  })
  assert.deepEqual(reportTopicOf(device, `${P}commands/ack`), { kind: 'command_ack', ...own })
})

test('a report goes to ingest and to whoever subscribes, from a service only to subscribers', async (t) => {
  const { sink, device: client, service } = await startWorld(t)
  await service.subscribe('tenant/#')
  await publish(client, `${P}shadow/reported`)
  await publish(client, `${P}commands/ack`)
  await publish(client, `${P}ota/status`)
  await publish(service, `${P}shadow/reported`)
  await publish(service, `${P}commands/ack`)
  for (let i = 0; i < 5; i++) await service.next(PacketType.PUBLISH)
  assert.deepEqual(
    sink.reports.map(({ kind, tenantId: tenant, deviceId: name, topic, qos, publisher }) => [
      kind,
      `${tenant}/${name}`,
      topic,
      qos,
      publisher.kind,
    ]),
    [
      ['shadow_reported', 'acme/pump-7', `${P}shadow/reported`, 1, 'device'],
      ['command_ack', 'acme/pump-7', `${P}commands/ack`, 1, 'device'],
    ],
  )
  assert.deepEqual([sink.taken, sink.denied], [[], []])
})

test('a report on the topic of another device, or that an acl_file denies, never gets to ingest', async (t) => {
  const acl = compileAcl(parseAclFile('pattern readwrite tenant/%t/device/%d/telemetry', 'acl'))
  const { sink, device: client } = await startWorld(t, { ...rules, acl })
  await publish(client, 'tenant/acme/device/pump-8/shadow/reported')
  await publish(client, 'tenant/globex/device/pump-7/commands/ack')
  await publish(client, `${P}shadow/reported`)
  assert.deepEqual(sink.reports, [])
  assert.equal(sink.denied.length, 3)
})

test('PUBACKs keep the order of the PUBLISHes while a report waits for its COMMIT', async (t) => {
  const { sink, device: client } = await startWorld(t)
  sink.hold = true
  const send = (topic: string, packetId: number) =>
    client.send(
      encodePublish({
        topic,
        payload: Buffer.from('{}'),
        qos: 1,
        dup: false,
        retain: false,
        packetId,
      }),
    )
  send(`${P}shadow/reported`, 101)
  send(`${P}ota/status`, 102)
  send(`${P}telemetry`, 103)
  await sink.took(1)
  await client.ping()
  assert.deepEqual(client.unread, [])
  sink.commit()
  const order: number[] = []
  for (let i = 0; i < 3; i++) {
    const frame = await client.next(PacketType.PUBACK)
    order.push(frame.bytes.readUInt16BE(frame.bodyStart))
  }
  assert.deepEqual(order, [101, 102, 103])
})

test('a report that was not taken is not acknowledged, and goes to nobody', async (t) => {
  const { sink, device: client, service } = await startWorld(t)
  await service.subscribe('tenant/#')
  sink.hold = true
  client.send(
    encodePublish({
      topic: `${P}shadow/reported`,
      payload: Buffer.from('{}'),
      qos: 1,
      dup: false,
      retain: false,
      packetId: 7,
    }),
  )
  await client.ping()
  sink.refuse()
  await client.closed
  assert.deepEqual(client.unread, [])
  await service.ping()
  assert.deepEqual(service.unread, [])
})

test('the observer hears of devices that come and go, and of certificates turned away', async (t) => {
  const { broker, port, observer, device: client } = await startWorld(t)
  const stranger = mutualTls().device('acme/pump-7')
  const refused = await pki.connect(t, port, stranger).catch(() => undefined)
  await refused?.closed
  await observer.until(3)
  await pki.revoke(pump)
  broker.closeRevoked()
  await client.closed
  const again = await pki.connect(t, port, pump).catch(() => undefined)
  await again?.closed
  await observer.until(5)
  assert.deepEqual(observer.told, [
    'opened acme/pump-7 on test',
    'opened undefined/undefined on plain',
    'refused undefined: unknown_ca',
    'closed acme/pump-7: certificate_revoked',
    'refused acme/pump-7: revoked',
  ])
  const [, mine] = observer.refused
  assert.equal(mine?.fingerprint.length, 64)
  assert.equal(mine.listener, 'test')
})
