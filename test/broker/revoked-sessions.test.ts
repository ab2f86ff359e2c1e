/** What is left of a device whose certificate is revoked: its stored Session and its Will. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { RevokedSessions } from '../../broker/revoked-sessions.ts'
import type { Session } from '../../broker/store/index.ts'
import type { Config } from '../../config/types.ts'
import { systemClock, type Clock } from '../../core/clock.ts'
import { issuerKey, serialNumber } from '../../core/names.ts'
import { TrustSet } from '../../pki/index.ts'
import { startBroker } from '../helpers/broker.ts'
import type { TestCertificate } from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import { RawClient } from '../helpers/raw-client.ts'

const FACTS = {
  issuerKey: issuerKey('00'.repeat(32)),
  serialNumber: serialNumber('01'),
  fingerprint: '00'.repeat(32),
  notAfter: 0,
}
const DAY_MS = 86_400_000
const COMMANDS = 'tenant/acme/device/pump-7/commands'
const STATUS = 'tenant/acme/device/pump-7/status'

async function start(
  t: TestContext,
  revokedSession?: Config['revokedSession'],
  clock: Clock = systemClock,
) {
  const pki = mutualTls({ clock })
  const sink = new HeldSink()
  const { broker, port } = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    sink,
    ...(revokedSession === undefined ? {} : { revokedSession }),
  })
  const certificate = pki.device('acme/pump-7', { notAfter: Date.now() + DAY_MS })
  const come = async (
    by: TestCertificate,
    more: { will?: { topic: string; payload: string } } = {},
  ) => {
    const client = await pki.connect(t, port, by)
    const connack = await client.connect({ clientId: 'pump', clean: false, ...more })
    assert.equal(connack.returnCode, 0)
    return { client, present: connack.sessionPresent }
  }
  const subscribed = async () => {
    const { client } = await come(certificate, { will: { topic: STATUS, payload: 'gone' } })
    assert.deepEqual(await client.subscribe(COMMANDS, 1), [1])
    return client
  }
  const command = (payload: string) =>
    broker.publish({ topic: COMMANDS, payload: Buffer.from(payload), qos: 1, retain: false })
  /** By another good certificate of the same device. @returns Session Present, and what was queued */
  const successor = async () => {
    const { client, present } = await come(pki.device('acme/pump-7'))
    await client.ping()
    return { present, queued: client.unread.length }
  }
  return { pki, broker, sink, certificate, come, subscribed, command, successor, port }
}

const GONE = { present: false, queued: 0 }
const KEPT = { present: true, queued: 1 }
const BOTH = [
  [undefined, GONE],
  ['discard', GONE],
  ['keep', KEPT],
] as const

for (const [setting, expected] of BOTH) {
  const title = setting ?? 'the default'
  test(`revoked while connected, ${title}: the Session is ${expected.present ? 'kept' : 'gone'}, the Will is not sent`, async (t) => {
    const { pki, broker, sink, certificate, subscribed, command, successor } = await start(
      t,
      setting,
    )
    const client = await subscribed()
    await pki.revoke(certificate)
    assert.equal(broker.closeRevoked(), 1)
    await client.closed
    command('open the valve')
    assert.deepEqual(await successor(), expected)
    assert.deepEqual(sink.taken, [])
  })

  test(`revoked while away, ${title}`, async (t) => {
    const { pki, broker, certificate, subscribed, command, successor } = await start(t, setting)
    const client = await subscribed()
    await client.disconnect()
    command('open the valve')
    await pki.revoke(certificate)
    assert.equal(broker.trustChanged(), 0)
    assert.deepEqual(await successor(), expected)
  })

  test(`barred by the registry while away, ${title}`, async (t) => {
    const { broker, certificate, subscribed, command, successor } = await start(t, setting)
    const client = await subscribed()
    await client.disconnect()
    command('open the valve')
    const { fingerprint } = certificate
    broker.closeDevice({ tenantId: 'acme', deviceId: 'pump-7', fingerprint })
    assert.deepEqual(await successor(), expected)
  })

  test(`barred by the registry while connected, ${title}`, async (t) => {
    const { broker, sink, subscribed, command, successor } = await start(t, setting)
    const client = await subscribed()
    assert.equal(
      broker.closeDevice({ tenantId: 'acme', deviceId: 'pump-7', fingerprint: undefined }),
      1,
    )
    await client.closed
    command('open the valve')
    assert.deepEqual(await successor(), expected)
    assert.deepEqual(sink.taken, [])
  })
}

test('a Session that a newer certificate has taken over is not touched', async (t) => {
  const { pki, broker, certificate, come, subscribed, command } = await start(t)
  await (await subscribed()).disconnect()
  const { client: successor, present } = await come(pki.device('acme/pump-7'))
  assert.equal(present, true)
  await pki.revoke(certificate)
  assert.equal(broker.trustChanged(), 0)
  broker.closeDevice({ tenantId: 'acme', deviceId: 'pump-7', fingerprint: certificate.fingerprint })
  command('still here')
  assert.equal(String((await successor.receive()).payload), 'still here')
  await successor.disconnect()
  assert.equal(broker.trustChanged(), 0)
  command('and queued')
  const again = await come(pki.device('acme/pump-7'))
  assert.equal(again.present, true)
})

test('Sessions of others, and of accounts, are nobody’s to discard', async (t) => {
  const { pki, broker, certificate, port } = await start(t)
  const other = pki.device('acme/pump-8')
  const client = await pki.connect(t, port, other)
  await client.connect({ clientId: 'pump', clean: false })
  await client.subscribe('tenant/acme/device/pump-8/commands/#', 1)
  await client.disconnect()
  await pki.revoke(certificate)
  broker.trustChanged()
  broker.closeDevice({ tenantId: 'acme', deviceId: 'pump-7', fingerprint: undefined })
  broker.closeDevice({ tenantId: 'acme', deviceId: 'pump-8', fingerprint: 'another' })
  const again = await pki.connect(t, port, other)
  assert.equal((await again.connect({ clientId: 'pump', clean: false })).sessionPresent, true)
})

test('after its notAfter the Will of a connected device is sent, and its Session stays', async (t) => {
  const clock = new FakeClock(Date.now())
  const { broker, sink, subscribed, successor } = await start(t, undefined, clock)
  const client = await subscribed()
  clock.advance(2 * DAY_MS)
  assert.equal(broker.trustChanged(), 1)
  await client.closed
  await sink.took(1)
  assert.deepEqual(
    sink.taken.map(({ topic }) => topic),
    [STATUS],
  )
  assert.equal((await successor()).present, true)
})

test('a Session that no certificate names stays when the certificate beneath it is revoked', async (t) => {
  const pki = mutualTls()
  const { broker, port } = await startBroker(t, pki.listener({ useIdentityAsUsername: false }))
  const certificate = pki.device('pump-7')
  const first = await pki.connect(t, port, certificate)
  assert.equal((await first.connect({ clientId: 'pump', clean: false })).returnCode, 0)
  await pki.revoke(certificate)
  assert.equal(broker.trustChanged(), 1)
  await first.closed
  const next = await pki.connect(t, port, pki.device('pump-8'))
  assert.equal((await next.connect({ clientId: 'pump', clean: false })).sessionPresent, true)
})

test('of a CA that is trusted no longer the Session stays, and the Will is not sent', async (t) => {
  const { pki, broker, sink, subscribed, command, port } = await start(t)
  const client = await subscribed()
  const next = mutualTls()
  const { certificates } = pki.listener()
  assert.ok('replaceTrust' in certificates && typeof certificates.replaceTrust === 'function')
  certificates.replaceTrust(new TrustSet({ ca: next.ca.certificatePem, origin: 'ca.crt' }))
  broker.replaceCredentials('test', { ...pki.credentials, ca: next.ca.certificatePem })
  assert.equal(broker.trustChanged(), 1)
  await client.closed
  command('open the valve')
  const successor = await RawClient.tls({
    ...pki.options(port, next.device('acme/pump-7')),
    ca: pki.ca.certificatePem,
  })
  t.after(() => successor.destroy())
  const connack = await successor.connect({ clientId: 'pump', clean: false })
  assert.deepEqual(connack, { returnCode: 0, sessionPresent: true })
  assert.equal(String((await successor.receive()).payload), 'open the valve')
  assert.deepEqual(sink.taken, [])
})

test('what is remembered of Sessions that are gone is forgotten', () => {
  const sessions = new Map<string, Session>()
  const store = { sessions, drop: (key: string) => sessions.delete(key) }
  const remembered = new RevokedSessions(store, 'discard')
  const judge = { stillGood: () => ({ good: true }) as const }
  for (let n = 0; n < 10_000; n++) {
    const userName = `pump-${n}`
    const certificate = { ...FACTS, commonName: userName }
    remembered.opened(userName, { kind: 'certificate', userName, certificate }, judge)
  }
  assert.ok(remembered.size <= 1025, `${remembered.size} entries`)
  assert.equal(remembered.discardAbsent(), 0)
  assert.equal(remembered.size, 0)
})
