/**
 * What a platform that ran Mosquitto and an ingest service sees after the change: its own
 * mosquitto.conf, certificates of its openssl script, its tables, its clients.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectMqtt } from 'mqtt'
import { hashPassword } from '../../config/password-hash.ts'
import { packageRoot } from '../../core/package-root.ts'
import { freePort } from '../../postgres/place.ts'
import { environmentOf, spawnMidge } from '../helpers/midge-process.ts'
import { OpensslCertificates, type DeviceFiles } from '../helpers/openssl-certificates.ts'
import { exitOf, linesOf, register } from '../helpers/platform-clients.ts'
import { platformDatabase } from '../helpers/platform-schema.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const missing = ['mosquitto_pub', 'mosquitto_sub', 'openssl'].filter(
  (program) => spawnSync('which', [program]).status !== 0,
)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false

interface Ports {
  readonly mqtts: number
  readonly mqtt: number
  readonly ws: number
}

const confOf = (ports: Ports, certs: string, passwd: string) => `
per_listener_settings true
persistence false
log_dest stderr
log_type all

listener ${ports.mqtt} 127.0.0.1
allow_anonymous false
password_file ${passwd}

listener ${ports.ws} 127.0.0.1
protocol websockets
allow_anonymous false
password_file ${passwd}

listener ${ports.mqtts} 127.0.0.1
cafile ${certs}/combined-ca.crt
certfile ${certs}/server.crt
keyfile ${certs}/server.key
crlfile ${certs}/device-crl.pem
require_certificate true
use_identity_as_username true
tls_version tlsv1.2
allow_anonymous false
`

/** The telemetry topic of a device. */
const topicOf = (tenant: string, device: string) => `tenant/${tenant}/device/${device}/telemetry`
const message = (seq: number, more = {}) =>
  JSON.stringify({ version: '1', site_id: 'north', seq, metrics: { temp_c: 21.5 }, ...more })

test('the checks of a platform that replaces Mosquitto', { skip, timeout: 180_000 }, async (t) => {
  const folder = await scratchDirectory(t)
  const certs = await OpensslCertificates.make(join(folder, 'certs'))
  const { connection, query } = await platformDatabase(t)
  await query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'A'), ('other', 'O')`)
  await query(
    `INSERT INTO app_settings (key, value) VALUES ('MODE', 'DEV'), ('STORE_REJECTS', '1')`,
  )

  const ports: Ports = { mqtts: await freePort(), mqtt: await freePort(), ws: await freePort() }
  const passwd = join(folder, 'passwd')
  const hash = hashPassword('secret', { random: randomBytes, iterations: 101 })
  await writeFile(passwd, `service_pulse:${hash}\n`, { mode: 0o600 })
  const conf = join(folder, 'mosquitto.conf')
  await writeFile(conf, confOf(ports, certs.directory, passwd))
  const env = {
    ...environmentOf(connection),
    CERT_AUTH_ENABLED: '1',
    REQUIRE_TOKEN: '1',
  }
  const midge = spawnMidge(t, { args: ['-c', conf], env })

  const service = [
    '-h',
    '127.0.0.1',
    '-p',
    String(ports.mqtt),
    '-u',
    'service_pulse',
    '-P',
    'secret',
  ]
  const secure = ['-h', 'localhost', '-p', String(ports.mqtts), '--cafile', certs.path('ca.crt')]
  const shown = ({ cert, key }: DeviceFiles) => ['--cert', cert, '--key', key]
  const publish = (where: readonly string[], topic: string, text: string) =>
    exitOf('mosquitto_pub', [...where, '-q', '1', '-t', topic, '-m', text])
  const publishAs = (device: DeviceFiles, topic: string, text: string) =>
    publish([...secure, ...shown(device)], topic, text)
  const rows = async (where: string) =>
    (await query(`SELECT seq::int AS seq FROM telemetry WHERE ${where} ORDER BY seq`)).map(
      ({ seq }) => seq,
    )
  const lastReason = async () =>
    (await query('SELECT reason FROM quarantine_events ORDER BY id DESC LIMIT 1'))[0]?.['reason']

  await t.test('1: all three listeners open, and no error is in the log', async () => {
    for (const port of Object.values(ports)) {
      await midge.printed(new RegExp(`listen socket on port ${port}\\.`, 'u'))
    }
    await midge.printed(/midge version \S+ running/u)
    assert.doesNotMatch(midge.output(), /error/iu)
  })

  const ear = spawn('mosquitto_sub', [...service, '-i', 'ear', '-q', '1', '-t', '#', '-v'])
  t.after(() => ear.kill())
  const heard = linesOf(ear.stdout)
  await midge.printed(/ear 1 #/u)
  /** What the service heard until now. */
  const heardSoFar = async () => {
    const fence = `fence/${randomBytes(6).toString('hex')}`
    assert.equal((await publish(service, fence, 'x')).code, 0)
    return heard.until(`${fence} x`)
  }

  await t.test('2: without a client certificate the handshake fails', async () => {
    const { code } = await publish(secure, topicOf('acme', 'pump-7'), message(0))
    assert.notEqual(code, 0)
    const ca = await certs.read('ca.crt')
    const options = { host: 'localhost', port: ports.mqtts, ca } as const
    await assert.rejects(RawClient.tls({ ...options, maxVersion: 'TLSv1.2' }))
    const late = await RawClient.tls({ ...options, minVersion: 'TLSv1.3' })
    await assert.rejects(late.connect({ clientId: 'x' }))
    const foreign = await certs.device('acme', 'pump-7', { by: 'ca' })
    assert.notEqual((await publishAs(foreign, topicOf('acme', 'pump-7'), message(0))).code, 0)
    assert.doesNotMatch(midge.output(), new RegExp(`New client .*${ports.mqtts}`, 'u'))
  })

  const pump7 = await certs.device('acme', 'pump-7')
  await t.test(
    '3: a certificate of the device CA is let in, and its CN is the user name',
    async () => {
      await register(query, 'pump-7', {
        certificate: await certs.read('acme-pump-7-device-ca.crt'),
      })
      const where = [...secure, ...shown(pump7), '-i', 'named-7', '-u', 'somebody-else']
      assert.equal((await publish(where, topicOf('acme', 'pump-7'), message(3))).code, 0)
      await midge.printed(/New client connected from \S+ as named-7 \(.*u'acme\/pump-7'\)/u)
      const lines = await heardSoFar()
      assert.ok(lines.includes(`${topicOf('acme', 'pump-7')} ${message(3)}`), lines.join('\n'))
    },
  )

  await t.test('4: registered and with an active certificate it needs no token', async () => {
    assert.equal((await publishAs(pump7, topicOf('acme', 'pump-7'), message(4))).code, 0)
    assert.deepEqual(await rows(`device_id = 'pump-7' AND tenant_id = 'acme'`), [3, 4])
    assert.deepEqual(await query('SELECT reason FROM quarantine_events'), [])
  })

  await t.test('5: without a certificate row the token decides', async () => {
    const [pump8, pump9] = [
      await certs.device('acme', 'pump-8'),
      await certs.device('acme', 'pump-9'),
    ]
    await register(query, 'pump-8')
    await register(query, 'pump-9', { token: 'tok-9' })
    const as = { 'pump-8': pump8, 'pump-9': pump9 } as const
    const cases = [
      ['pump-8', {}, 'TOKEN_NOT_SET_IN_REGISTRY'],
      ['pump-9', {}, 'TOKEN_MISSING'],
      ['pump-9', { provision_token: 'tok-8' }, 'TOKEN_INVALID'],
    ] as const
    for (const [device, more, reason] of cases) {
      const { code } = await publishAs(as[device], topicOf('acme', device), message(5, more))
      assert.deepEqual([code, await lastReason()], [0, reason])
    }
    assert.deepEqual(await rows(`device_id IN ('pump-8', 'pump-9')`), [])
    const right = message(6, { provision_token: 'tok-9' })
    assert.equal((await publishAs(pump9, topicOf('acme', 'pump-9'), right)).code, 0)
    assert.deepEqual(await rows(`device_id = 'pump-9'`), [6])
    const leaked = `SELECT 1 FROM quarantine_events WHERE payload::text LIKE '%tok-8%'`
    assert.deepEqual(await query(leaked), [])
  })

  await t.test(
    '6: on the topic of another tenant or device it stores and delivers nothing',
    async () => {
      await heardSoFar()
      const before = await rows('true')
      for (const topic of [
        topicOf('acme', 'pump-9'),
        topicOf('other', 'pump-7'),
        'test/internal',
      ]) {
        await publishAs(pump7, topic, message(66))
        // Recorded by and by: a denied message waits for nothing.
        const recorded = 'SELECT 1 FROM quarantine_events WHERE reason = $1 AND topic = $2'
        while ((await query(recorded, ['AUTH_FAILED', topic])).length === 0) await delay(20)
      }
      assert.deepEqual(await rows('true'), before)
      assert.deepEqual(
        (await heardSoFar()).filter((line) => !line.startsWith('$SYS')),
        [],
      )
      const recorded = `SELECT DISTINCT tenant_id, device_id FROM quarantine_events
                       WHERE reason = 'AUTH_FAILED'`
      assert.deepEqual(await query(recorded), [{ tenant_id: 'acme', device_id: 'pump-7' }])
    },
  )

  await t.test(
    '7: a certificate on the CRL is refused, and its live connection closed',
    async () => {
      const pump6 = await certs.device('acme', 'pump-6')
      await register(query, 'pump-6', {
        certificate: await certs.read('acme-pump-6-device-ca.crt'),
      })
      const live = await RawClient.tls({
        host: 'localhost',
        port: ports.mqtts,
        ca: await certs.read('ca.crt'),
        cert: await certs.read('acme-pump-6-device-ca.crt'),
        key: await certs.read('acme-pump-6-device-ca.key'),
      })
      t.after(() => live.destroy())
      assert.equal((await live.connect({ clientId: 'live-6' })).returnCode, 0)
      assert.equal((await publishAs(pump6, topicOf('acme', 'pump-6'), message(7))).code, 0)
      await certs.revoke(pump6)
      await live.closed
      assert.notEqual((await publishAs(pump6, topicOf('acme', 'pump-6'), message(77))).code, 0)
      assert.deepEqual(await rows(`device_id = 'pump-6'`), [7])
      assert.equal((await publishAs(pump7, topicOf('acme', 'pump-7'), message(7))).code, 0)
    },
  )

  await t.test(
    '8: service_pulse publishes on 1883 with its password, and a service hears it',
    async () => {
      assert.equal((await publish(service, 'test/internal', 'hello')).code, 0)
      assert.ok((await heardSoFar()).includes('test/internal hello'))
      const wrong = [...service.slice(0, -1), 'wrong']
      assert.equal((await publish(wrong, 'test/internal', 'x')).code, 5)
      const nobody = service.slice(0, 4)
      assert.equal((await publish(nobody, 'test/internal', 'x')).code, 5)
    },
  )

  await t.test('9: a password client over WebSocket hears and is heard', async () => {
    const open = (password: string) =>
      connectMqtt(`ws://127.0.0.1:${ports.ws}/mqtt`, {
        protocolVersion: 4,
        reconnectPeriod: 0,
        username: 'service_pulse',
        password,
      })
    const client = open('secret')
    t.after(() => client.endAsync(true))
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      client.once('error', reject)
    })
    await client.subscribeAsync('test/#', { qos: 1 })
    const arrived = new Promise<[string, string]>((resolve) =>
      client.once('message', (topic, payload) => resolve([topic, String(payload)])),
    )
    assert.equal((await publish(service, 'test/ws', 'to ws')).code, 0)
    assert.deepEqual(await arrived, ['test/ws', 'to ws'])
    await client.publishAsync('test/from-ws', 'back', { qos: 1 })
    assert.ok((await heardSoFar()).includes('test/from-ws back'))
    const stranger = open('wrong')
    t.after(() => stranger.endAsync(true))
    const refusal = await new Promise<Error>((resolve) => stranger.once('error', resolve))
    assert.match(refusal.message, /Not authorized/u)
  })

  await t.test(
    '10: the test script makes a certificate with the whole CN and publishes',
    async () => {
      await register(query, 'pump-10', { token: 'tok-10' })
      const script = join(packageRoot(), 'compose', 'scripts', 'test_mtls_device.sh')
      const args = [script, 'acme', 'pump-10', 'localhost', String(ports.mqtts)]
      const around = { CERT_DIR: certs.directory, SITE: 'north', PROVISION_TOKEN: 'tok-10' }
      const { code, output } = await exitOf('bash', args, around)
      assert.equal(code, 0, output)
      await midge.printed(/New client connected .*u'acme\/pump-10'/u)
      const stored = await query(`SELECT site_id FROM telemetry WHERE device_id = 'pump-10'`)
      assert.deepEqual(stored, [{ site_id: 'north' }])
    },
  )
})
