import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigErrors } from '../../config/index.ts'
import type { Machine } from '../../start/check-process.ts'
import { checkFile } from '../../start/check.ts'
import { issueServer, makeCa, makeCrl, type TestCertificate } from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const NOW = Date.UTC(2026, 10, 22)
const DAY_MS = 86_400_000
/** The fixed clock of these tests must not be before their certificates. */
const BEFORE = { notBefore: NOW - 100 * DAY_MS }
const OFF =
  'Tenancy: off, because no database is configured. User names and the acl_file decide, as in Mosquitto.'

/** The report, with the scratch directory written as `DIR`. */
async function report(
  t: TestContext,
  conf: string,
  files: Readonly<Record<string, string>> = {},
  environment: Readonly<Record<string, string>> = {},
  machine: Machine = { uid: 1883, firstFreePort: 1024, mayBindAll: false },
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
      machine,
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
  assert.equal(await check(), 2)
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
  await assert.rejects(check, ConfigErrors)
  assert.deepEqual(lines(), [
    'DIR/m.conf:1: listener 1883: honoured',
    "DIR/m.conf:2: foo: refused because Unknown configuration variable 'foo'.",
    "DIR/m.conf:3: tls_engine: refused because The 'tls_engine' option is refused: OpenSSL engines cannot be loaded here, and without it the key would be sought elsewhere; give the key as a PEM file in keyfile.",
    "DIR/m.conf:4: remote_password: refused because The 'remote_password' option requires a bridge to be defined first.",
  ])
})

test('files that others may read, and CRLs that end, are dangers', async (t) => {
  const ca = makeCa('CA', BEFORE)
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
  assert.equal(await check(), 3)
  assert.deepEqual(
    lines().filter((line) => /^(?:Danger|Error)/u.test(line)),
    [
      'Error: DIR/acl:2: Invalid line in acl_file "DIR/acl": foo. A line begins with user, topic or pattern, or with # in its first column',
      'Error: DIR/acl:3: Invalid line in acl_file "DIR/acl": user. A user name must follow',
      "Error: listener 8884 stays closed: DIR/none: expected a readable file, found ENOENT: no such file or directory, open 'DIR/none'",
      'Danger: listener 8884: no crlfile: a stolen certificate cannot be revoked here',
      'Danger: DIR/key is readable by every user of this machine (mode 0644); chmod 0600',
      'Danger: DIR/passwd is readable by every user of this machine (mode 0664); chmod 0600',
      'Danger: DIR/crl: a CRL has expired at 2026-11-21T00:00:00.000Z',
      'Danger: DIR/crl: a CRL expires at 2026-11-28T00:00:00.000Z; renew it',
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
    await check()
    const line = lines().find((one) => one.startsWith('Tenancy'))
    assert.equal(line?.startsWith(`Tenancy: ${expected}`), true, line)
  }
})

const TLS = 'certfile DIR/crt\nkeyfile DIR/key\n'

test('certificates that are over, end soon, or do not fit their key are told apart', async (t) => {
  const ca = makeCa('CA', { ...BEFORE, notAfter: NOW + 5 * DAY_MS })
  const leaf = (days: number) =>
    issueServer(ca, ['localhost'], { ...BEFORE, notAfter: NOW + days * DAY_MS })
  const [good, soon, over, other] = [leaf(15), leaf(14), leaf(-1), leaf(15)]
  const table: readonly (readonly [TestCertificate, TestCertificate, number, RegExp])[] = [
    [over, over, 3, /^Error: listener 8883 stays closed: DIR\/crt expired at /mu],
    [
      good,
      other,
      3,
      /^Error: listener 8883 stays closed: DIR\/key does not belong to the first certificate of DIR\/crt /mu,
    ],
    [
      soon,
      soon,
      2,
      /^Danger: DIR\/crt: the certificate expires at 2026-12-06T00:00:00.000Z; renew it$/mu,
    ],
    [good, good, 2, /^Danger: DIR\/ca: the CA CA expires at 2026-11-27T00:00:00.000Z; renew it$/mu],
  ]
  for (const [certificate, { privateKeyPem }, code, line] of table) {
    const conf = `acl_file DIR/acl\nlistener 8883\n${TLS}cafile DIR/ca\n`
    const { check, lines } = await report(t, conf, {
      acl: '',
      crt: certificate.certificatePem,
      key: privateKeyPem,
      ca: ca.certificatePem,
    })
    assert.equal(await check(), code, lines().join('\n'))
    assert.match(lines().join('\n'), line)
  }
})

test('0 is for a configuration without any danger', async (t) => {
  const ca = makeCa('CA', { ...BEFORE, notAfter: NOW + 50 * DAY_MS })
  const leaf = issueServer(ca, ['localhost'], { ...BEFORE, notAfter: NOW + 15 * DAY_MS })
  const { check, lines } = await report(
    t,
    `acl_file DIR/acl\npassword_file DIR/passwd\npid_file DIR/pid\nlistener 8883\n${TLS}`,
    { acl: 'topic read a\n', passwd: '', crt: leaf.certificatePem, key: leaf.privateKeyPem },
  )
  assert.equal(await check(), 0, lines().join('\n'))
  assert.deepEqual(lines().slice(-2), ['No danger found.', 'Configuration file is OK.'])
})

const PROCESS: readonly (readonly [conf: string, uid: number, code: number, line: RegExp])[] = [
  [
    'listener 443\n',
    1883,
    3,
    /^Error: listener 443: port 443 is below 1024: only root or CAP_NET/mu,
  ],
  [
    'pid_file /no/such/pid\n',
    1883,
    3,
    /^Error: cannot write the pid_file \/no\/such\/pid: \/no\/such: it does not exist$/mu,
  ],
  [
    'log_dest file /no/such/log\n',
    1883,
    2,
    /^Danger: cannot write the log file \/no\/such\/log: /mu,
  ],
  ['user no-such-user\n', 0, 3, /^Error: Unable to drop privileges to 'no-such-user' because/mu],
  ['user root\n', 0, 2, /^Danger: 'user' names root/mu],
  [
    'listener 1884\npsk_hint x\npsk_file DIR/psk\n',
    1883,
    3,
    /^Error: DIR\/psk:1: the key is not hexadecimal$/mu,
  ],
  [
    'listener 1884\npassword_file DIR/none\n',
    1883,
    2,
    /^Danger: the password_file DIR\/none does not exist: the start makes it/mu,
  ],
  [
    'listener 1884\nacl_file DIR/none\n',
    1883,
    3,
    /^Error: cannot read the acl_file DIR\/none: it does not exist$/mu,
  ],
  [
    'listener 1884\nenable_proxy_protocol 2\n',
    1883,
    2,
    /^Danger: listener 1884: whoever reaches this port may claim any address/mu,
  ],
]

test('what the process would lack, and what the files hold, is said too', async (t) => {
  for (const [conf, uid, code, line] of PROCESS) {
    const machine = { uid, firstFreePort: 1024, mayBindAll: false }
    const { check, lines } = await report(t, conf, { psk: 'id:xyz\n' }, {}, machine)
    assert.equal(await check(), code, `${conf}${lines().join('\n')}`)
    assert.match(lines().join('\n'), line)
  }
})

test('a low port is no problem to who may open it, and a proxy port of this machine none', async (t) => {
  for (const machine of [
    { uid: 0, firstFreePort: 1024, mayBindAll: true },
    { uid: 5, firstFreePort: 1024, mayBindAll: true },
    { uid: 5, firstFreePort: 443, mayBindAll: false },
  ]) {
    const conf = 'user root\nlistener 443 127.0.0.1\nenable_proxy_protocol 1\n'
    const { check, lines } = await report(t, conf, {}, {}, machine)
    await check()
    assert.doesNotMatch(lines().join('\n'), /port 443 is below|whoever reaches/u)
  }
})
