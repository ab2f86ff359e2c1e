import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigErrors } from '../../config/index.ts'
import { checkFile } from '../../start/check.ts'
import { makeCa, makeCrl } from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const NOW = Date.UTC(2026, 10, 22)
const DAY_MS = 86_400_000
const OFF =
  'Tenancy: off, because no database is configured. User names and the acl_file decide, as in Mosquitto.'

/** The report, with the scratch directory written as `DIR`. */
async function report(
  t: TestContext,
  conf: string,
  files: Readonly<Record<string, string>> = {},
  environment: Readonly<Record<string, string>> = {},
) {
  const folder = await scratchDirectory(t)
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content)
    await chmod(join(folder, name), 0o600)
  }
  const file = join(folder, 'm.conf')
  await writeFile(file, conf.replaceAll('DIR', folder))
  let output = ''
  const check = () =>
    checkFile({
      file,
      environment,
      clock: { now: () => NOW },
      asRoot: false,
      write: (text) => (output += text),
    })
  const lines = () => output.replaceAll(folder, 'DIR').split('\n').slice(0, -1)
  return { folder, check, lines }
}

test('a report says of each line what becomes of it, then about tenants and dangers', async (t) => {
  const { check, lines } = await report(
    t,
    `# Platform
per_listener_settings true
persistence false
retry_interval 20

listener 1883
allow_anonymous true
autosave_interval 60
listener 1884
password_file DIR/passwd
acl_file DIR/acl
`,
    { passwd: '', acl: 'topic read a' },
  )
  assert.equal(check(), 0)
  const memory =
    'sessions, queued and retained messages live in memory for now and end with the process'
  assert.deepEqual(lines(), [
    'DIR/m.conf:2: per_listener_settings: honoured',
    'DIR/m.conf:3: persistence: honoured',
    'DIR/m.conf:4: retry_interval: ignored because messages are sent again when a client comes back, as MQTT 3.1.1 asks',
    'DIR/m.conf:6: listener 1883: honoured; note: Listener 1883 has no acl_file: with per_listener_settings true each listener needs its own, and this file gives one to 1884.',
    'DIR/m.conf:7: allow_anonymous: honoured',
    `DIR/m.conf:8: autosave_interval: ignored because ${memory}`,
    'DIR/m.conf:9: listener 1884: honoured',
    'DIR/m.conf:10: password_file: honoured',
    'DIR/m.conf:11: acl_file: honoured',
    OFF,
    'Danger: listener 1883: anonymous clients may connect',
    'Danger: listener 1883: no acl_file: whoever connects may read and write everything',
    'Danger: listener 1884: passwords travel unencrypted',
    'Configuration file is OK.',
  ])
})

test('a refused file has its report too, with every reason, and ends as a start would', async (t) => {
  const { check, lines } = await report(
    t,
    'listener 1883\nfoo 1\ntls_engine x\nremote_password secret\n',
  )
  assert.throws(check, ConfigErrors)
  assert.deepEqual(lines(), [
    'DIR/m.conf:1: listener 1883: honoured',
    "DIR/m.conf:2: foo: refused because Unknown configuration variable 'foo'.",
    "DIR/m.conf:3: tls_engine: refused because The 'tls_engine' option is refused: OpenSSL engines cannot be loaded here, and without it the key would be sought elsewhere; give the key as a PEM file in keyfile.",
    "DIR/m.conf:4: remote_password: refused because The 'remote_password' option requires a bridge to be defined first.",
  ])
})

test('files that others may read, and CRLs that end, are dangers', async (t) => {
  const ca = makeCa('CA')
  const crl = (days: number) =>
    makeCrl(ca, [], { thisUpdate: NOW - 30 * DAY_MS, nextUpdate: NOW + days * DAY_MS })
  const { check, lines, folder } = await report(
    t,
    `acl_file DIR/acl
password_file DIR/passwd
listener 8883
certfile DIR/crt
keyfile DIR/key
cafile DIR/ca
crlfile DIR/crl
require_certificate true
listener 8884
certfile DIR/crt
keyfile DIR/none
cafile DIR/ca
require_certificate true
`,
    {
      acl: 'topic read a\nfoo\nuser\n',
      passwd: '',
      crt: ca.certificatePem,
      key: ca.privateKeyPem,
      ca: ca.certificatePem,
      crl: `${crl(-1)}${crl(6)}${crl(8)}`,
    },
  )
  await chmod(join(folder, 'key'), 0o644)
  await chmod(join(folder, 'passwd'), 0o664)
  check()
  assert.deepEqual(
    lines().filter((line) => line.startsWith('Danger')),
    [
      'Danger: DIR/key is readable by every user of this machine (mode 0644); chmod 0600',
      'Danger: DIR/passwd is readable by every user of this machine (mode 0664); chmod 0600',
      'Danger: DIR/acl:2: Invalid line in acl_file "DIR/acl": foo. A line begins with user, topic or pattern, or with # in its first column; DIR/acl:3: Invalid line in acl_file "DIR/acl": user. A user name must follow',
      'Danger: DIR/crl: a CRL has expired at 2026-11-21T00:00:00.000Z',
      'Danger: DIR/crl: a CRL expires at 2026-11-28T00:00:00.000Z; renew it',
      'Danger: listener 8884: no crlfile: a stolen certificate cannot be revoked here',
      "Danger: ENOENT: no such file or directory, stat 'DIR/none'",
    ],
  )
})

const TENANCY: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
  [{}, 'off, because no database is configured.'],
  [{ MIDGE_TENANCY: 'auto' }, 'off, because no database is configured.'],
  [{ MIDGE_TENANCY: 'on' }, 'on, because MIDGE_TENANCY says so.'],
  [{ DATABASE_URL: 'postgres://u:p@h/d' }, 'on, because telemetry is stored.'],
  [
    { DATABASE_URL: 'postgres://u:p@h/d', MIDGE_TENANCY: 'off' },
    'off, because MIDGE_TENANCY says so.',
  ],
]

test('the report says which tenancy this set-up gets, and why', async (t) => {
  for (const [environment, expected] of TENANCY) {
    const { check, lines } = await report(t, 'listener 1883\n', {}, environment)
    check()
    const line = lines().find((one) => one.startsWith('Tenancy'))
    assert.equal(line?.startsWith(`Tenancy: ${expected}`), true, line)
  }
})
