/**
 * Who comes in with which certificate, by what a listener asks for: every combination against
 * Mosquitto and against ours. Where they differ, docs/mosquitto.md says why.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { issue, issueServer, makeCa, makeCrl } from '../helpers/certificates.ts'
import { runMidge, spawnMidge } from '../helpers/midge-process.ts'
import { freePorts } from '../helpers/free-port.ts'
import { startMosquitto, withoutMosquitto } from '../helpers/mosquitto-process.ts'
import { TLS_VERSIONS, type Presented, type TlsVersion } from '../helpers/mutual-tls.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const DAY = 86_400_000
const ca = makeCa('Device CA')
const server = issueServer(ca)
const revoked = issue(ca, 'revoked')

const CERTIFICATES = {
  none: undefined,
  good: issue(ca, 'pump-7'),
  foreign: issue(makeCa('Foreign CA'), 'pump-7'),
  expired: issue(ca, 'pump-7', { notBefore: Date.now() - 9 * DAY, notAfter: Date.now() - DAY }),
  revoked,
} as const satisfies Record<string, Presented | undefined>

const LISTENERS = {
  'require, identity': ['require_certificate true', 'use_identity_as_username true'],
  require: ['require_certificate true'],
  identity: ['use_identity_as_username true'],
  neither: [],
  'no cafile': undefined,
} as const

/** What a client is told: the return code of CONNACK, or nothing but the end. */
type Answer = number | 'closed'

const ACCOUNTS = { right: 'secret', wrong: 'guess' } as const

async function answerOf(
  t: TestContext,
  port: number,
  presented: Presented | undefined,
  version: TlsVersion,
  password: string | undefined,
): Promise<Answer> {
  try {
    const client = await RawClient.tls({
      host: '127.0.0.1',
      port,
      ca: ca.certificatePem,
      ...(presented === undefined
        ? {}
        : { cert: presented.certificatePem, key: presented.privateKeyPem }),
      minVersion: version,
      maxVersion: version,
    })
    t.after(() => client.destroy())
    const account = password === undefined ? {} : { userName: 'app', password }
    return (await client.connect({ clientId: 'x', ...account })).returnCode
  } catch {
    return 'closed'
  }
}

async function start(t: TestContext, which: 'mosquitto' | 'midge'): Promise<Map<string, number>> {
  const folder = await scratchDirectory(t)
  const path = (name: string): string => join(folder, name)
  const put = (name: string, text: string): void => writeFileSync(path(name), text, { mode: 0o644 })
  put('ca.crt', ca.certificatePem)
  put('server.crt', server.certificatePem)
  put('server.key', server.privateKeyPem)
  put('crl.pem', makeCrl(ca, [revoked.serialNumber]))
  put('passwd', '')
  execFileSync('/usr/bin/mosquitto_passwd', ['-b', path('passwd'), 'app', ACCOUNTS.right], {
    stdio: 'ignore',
  })
  const names = Object.keys(LISTENERS) as (keyof typeof LISTENERS)[]
  const ports = await freePorts(names.length)
  const blocks = names.map((name, n) => {
    const asked = LISTENERS[name]
    const trust = [`cafile ${path('ca.crt')}`, `crlfile ${path('crl.pem')}`]
    return [
      `listener ${ports[n]} 127.0.0.1`,
      `certfile ${path('server.crt')}`,
      `keyfile ${path('server.key')}`,
      ...(asked === undefined ? [] : [...trust, ...asked]),
    ].join('\n')
  })
  // Mosquitto as root would leave it for a user who may not read these files.
  const head = ['user root', 'allow_anonymous false', `password_file ${path('passwd')}`]
  put('m.conf', `${[...head, ...blocks].join('\n')}\n`)
  if (which === 'mosquitto') await startMosquitto(t, path('m.conf'))
  else await spawnMidge(t, { args: ['-c', path('m.conf')] }).printed(/midge\.running/u)
  return new Map(names.map((name, n) => [name, ports[n] ?? 0]))
}

/** One line for each listener and certificate: without password, with a wrong one, with the right one. */
async function table(t: TestContext, which: 'mosquitto' | 'midge', version: TlsVersion) {
  const lines: string[] = []
  for (const [listener, port] of await start(t, which)) {
    for (const [kind, presented] of Object.entries(CERTIFICATES)) {
      const answers: Answer[] = []
      for (const password of [undefined, ACCOUNTS.wrong, ACCOUNTS.right]) {
        answers.push(await answerOf(t, port, presented, version, password))
      }
      lines.push(`${listener} | ${kind} | ${answers.join(' ')}`)
    }
  }
  return lines
}

/** By listener and certificate, Mosquitto 2.0.11's; the same with TLS 1.2 and 1.3. */
const EXPECTED = `require, identity | none | closed closed closed
require, identity | good | 0 0 0
require, identity | foreign | closed closed closed
require, identity | expired | closed closed closed
require, identity | revoked | closed closed closed
require | none | closed closed closed
require | good | 5 5 0
require | foreign | closed closed closed
require | expired | closed closed closed
require | revoked | closed closed closed
identity | none | 4 4 4
identity | good | 4 4 4
identity | foreign | 4 4 4
identity | expired | 4 4 4
identity | revoked | 4 4 4
neither | none | 5 5 0
neither | good | 5 5 0
neither | foreign | 5 5 0
neither | expired | 5 5 0
neither | revoked | 5 5 0
no cafile | none | 5 5 0
no cafile | good | 5 5 0
no cafile | foreign | 5 5 0
no cafile | expired | 5 5 0
no cafile | revoked | 5 5 0`.split('\n')

/** Mosquitto asks for no certificate where none is required, and then nobody has an identity. */
const OURS: ReadonlyMap<string, string> = new Map([
  ['identity | none | 4 4 4', 'identity | none | 5 5 5'],
  ['identity | good | 4 4 4', 'identity | good | 0 0 0'],
  ['identity | foreign | 4 4 4', 'identity | foreign | closed closed closed'],
  ['identity | expired | 4 4 4', 'identity | expired | closed closed closed'],
  ['identity | revoked | 4 4 4', 'identity | revoked | closed closed closed'],
])

const timeout = 60_000

for (const version of TLS_VERSIONS) {
  test(`Mosquitto, ${version}`, { skip: withoutMosquitto, timeout }, async (t) => {
    assert.deepEqual(await table(t, 'mosquitto', version), EXPECTED)
  })

  test(`Midge, ${version}, and where it differs`, {
    skip: withoutMosquitto,
    timeout,
  }, async (t) => {
    const expected = EXPECTED.map((line) => OURS.get(line) ?? line)
    assert.deepEqual(await table(t, 'midge', version), expected)
  })
}

test('what cannot work is refused at the start', { skip: withoutMosquitto, timeout }, async (t) => {
  const folder = await scratchDirectory(t)
  for (const asked of ['require_certificate', 'use_identity_as_username']) {
    const [certfile, keyfile] = [join(folder, 'server.crt'), join(folder, 'server.key')]
    writeFileSync(certfile, server.certificatePem)
    writeFileSync(keyfile, server.privateKeyPem)
    const lines = ['listener 8883', `certfile ${certfile}`, `keyfile ${keyfile}`, `${asked} true`]
    writeFileSync(join(folder, 'm.conf'), lines.join('\n'))
    const { code, output } = await runMidge(t, { args: ['-c', join(folder, 'm.conf')] })
    assert.equal(code, 3)
    assert.match(output, new RegExp(`${asked} true needs a cafile`, 'u'))
  }
})
