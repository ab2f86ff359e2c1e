import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { parseCommandLine } from '../../config/index.ts'
import { systemClock } from '../../core/clock.ts'
import { registerDeviceIn } from '../../ingest/index.ts'
import { runExplain } from '../../start/run-explain.ts'
import {
  issue,
  issueServer,
  makeCa,
  makeCrl,
  type TestCertificate,
} from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'
import { openDatabase } from '../ingest/open.ts'

const DAY_MS = 86_400_000
const CONF = `per_listener_settings true
listener 8883
certfile DIR/crt
keyfile DIR/key
cafile DIR/ca
crlfile DIR/crl
require_certificate true
use_identity_as_username true
acl_file DIR/acl
listener 1883
password_file DIR/passwd
acl_file DIR/acl
listener 8884
certfile DIR/crt
keyfile DIR/key
cafile DIR/ca
allow_anonymous true
`

async function asker(t: TestContext) {
  const folder = await scratchDirectory(t)
  const ca = makeCa('Devices')
  const device = issue(ca, 'acme/pump-7')
  const revoked = issue(ca, 'acme/pump-7')
  const server = issueServer(ca)
  const now = Date.now()
  const files: Record<string, string> = {
    'm.conf': CONF.replaceAll('DIR', folder),
    crt: server.certificatePem,
    key: server.privateKeyPem,
    ca: ca.certificatePem,
    crl: makeCrl(ca, [revoked.serialNumber], {
      thisUpdate: now - DAY_MS,
      nextUpdate: now + DAY_MS,
    }),
    acl: 'pattern write tenant/%t/device/%d/telemetry\n',
    passwd: '',
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  const before = readdirSync(folder).sort()
  const ask = async (
    certificate: TestCertificate | string,
    words = '--listener 8883',
    environment: Record<string, string> = { MIDGE_TENANCY: 'on' },
  ) => {
    const path = join(folder, 'asked')
    if (typeof certificate === 'string') writeFileSync(path, certificate)
    else writeFileSync(path, certificate.certificatePem)
    const topic = 'tenant/acme/device/pump-7/telemetry'
    const line = `explain acme/pump-7 publish ${topic} -c ${join(folder, 'm.conf')} --certificate ${path} ${words}`
    const command = parseCommandLine(line.split(' '))
    assert.equal(command.name, 'explain')
    let output = ''
    const code = await runExplain(command, {
      environment,
      clock: systemClock,
      write: (text) => (output += text),
    })
    return { code, lines: output.replaceAll(folder, 'DIR').trimEnd().split('\n') }
  }
  return { ask, ca, device, revoked, before, folder }
}

test('a certificate is judged as the broker would, and with it the access', async (t) => {
  const { ask, ca, device, revoked, folder, before } = await asker(t)
  const refused: readonly (readonly [TestCertificate, RegExp])[] = [
    [revoked, /^listener 8883: certificate refused: revoked: /u],
    [
      issue(ca, 'acme/pump-7', {
        notBefore: Date.now() - 9 * DAY_MS,
        notAfter: Date.now() - DAY_MS,
      }),
      /^listener 8883: certificate refused: expired: certificate: notAfter /u,
    ],
    [
      issue(makeCa('Strangers'), 'acme/pump-7'),
      /^listener 8883: certificate refused: unknown_ca: issued by /u,
    ],
  ]
  for (const [certificate, line] of refused) {
    const { code, lines } = await ask(certificate)
    assert.equal(code, 1)
    assert.match(lines[0] ?? '', line)
    assert.match(lines[1] ?? '', /^listener 8883: denied: cannot connect: certificate refused: /u)
    assert.equal(lines.length, 2)
  }
  const other = await ask(issue(ca, 'acme/pump-8'))
  assert.equal(other.code, 1)
  assert.equal(
    other.lines[1],
    'listener 8883: denied: cannot connect as acme/pump-7: on 8883 the certificate says acme/pump-8',
  )
  const good = await ask(device)
  assert.equal(good.code, 0)
  assert.match(
    good.lines[0] ?? '',
    /^listener 8883: certificate admitted: CN acme\/pump-7, serial number \w+, until /u,
  )
  assert.equal(good.lines[1], 'listener 8883: allowed: DIR/acl:1')
  assert.deepEqual(readdirSync(folder).sort(), [...before, 'asked'].sort())
})

test('a listener that asks for no certificate answers without it', async (t) => {
  const { ask, device } = await asker(t)
  const { code, lines } = await ask(device, '--listener 1883')
  assert.equal(code, 1)
  assert.deepEqual(lines, ['listener 1883: denied: cannot connect: DIR/passwd has no such account'])
})

test('what is no certificate, and a registry without a database, is said', async (t) => {
  const { ask, device } = await asker(t)
  await assert.rejects(ask('no PEM'), {
    code: 'FILE_UNREADABLE',
    message: /asked holds no certificate in PEM or DER/u,
  })
  await assert.rejects(ask(device, '--registry'), { code: 'INGEST_OFF' })
})

test('with --registry the rows of device and certificate are told', async (t) => {
  const { ask, device } = await asker(t)
  const { connection, query } = await openDatabase(t)
  const { host = '', port = 5432, user = '', password = '', database = '' } = connection
  const url = connection.connectionString
  const environment: Record<string, string> =
    url === undefined
      ? { PG_HOST: host, PG_PORT: String(port), PG_USER: user, PG_PASS: password, PG_DB: database }
      : { DATABASE_URL: url }
  const told = async () => {
    const { lines } = await ask(device, '--listener 8883 --registry', environment)
    return lines.filter((line) => line.startsWith('registry')).join('\n')
  }
  assert.equal(
    await told(),
    `registry: acme/pump-7 is not registered\nregistry: no row for the certificate ${device.fingerprint}`,
  )
  const registration = {
    tenantId: 'acme',
    deviceId: 'pump-7',
    siteId: 'north',
    certificate: {
      pem: device.certificatePem,
      fingerprint: device.fingerprint,
      serialNumber: device.serialNumber,
      commonName: 'acme/pump-7',
      issuer: 'Devices',
      notBefore: new Date('2026-01-01T00:00:00Z'),
      notAfter: new Date('2027-01-01T00:00:00Z'),
    },
  }
  await registerDeviceIn({ ...connection, poolMax: 1, migrate: false }, registration)
  await query("UPDATE device_registry SET status = 'SUSPENDED'")
  assert.match(
    await told(),
    new RegExp(
      `^registry: acme/pump-7 is SUSPENDED, at site north\nregistry: the certificate ${device.fingerprint} is ACTIVE, of acme/pump-7, until 2027-01-01T`,
      'u',
    ),
  )
})
