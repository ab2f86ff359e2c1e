import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { diskFiles, loadConfig, parseCommandLine } from '../../config/index.ts'
import { explain } from '../../start/explain.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const ACL = `topic read public/#
user app
topic deny secret/#
topic readwrite #
user acme/pump
topic write tenant/acme/device/pump/own
pattern write tenant/%t/device/%d/telemetry
pattern read by/%c
`
const CONF = `acl_file DIR/acl
password_file DIR/passwd
listener 8883
certfile DIR/crt
keyfile DIR/key
cafile DIR/ca
require_certificate true
use_identity_as_username true
listener 1883
listener 1884
listener_allow_anonymous true
mount_point public/
`

async function asker(t: TestContext, environment: Readonly<Record<string, string>>) {
  const folder = await scratchDirectory(t)
  const file = join(folder, 'm.conf')
  await writeFile(join(folder, 'acl'), ACL)
  const hash = `$7$101$${'A'.repeat(16)}$${'A'.repeat(86)}==`
  await writeFile(join(folder, 'passwd'), `app:${hash}\ndevice_acme_pump:${hash}\n`)
  await writeFile(file, CONF.replaceAll('DIR', folder))
  const { config } = loadConfig({ file, ports: [], environment, files: diskFiles })
  return (words: string) => {
    const command = parseCommandLine(['explain', ...words.split(' '), '-c', file])
    assert.equal(command.name, 'explain')
    const { lines, allowed } = explain(command, config)
    return { lines: lines.map((line) => line.replaceAll(folder, 'DIR')), allowed }
  }
}

const WITH_TENANTS: readonly (readonly [words: string, answer: string])[] = [
  ['app publish secret/a --listener 1883', 'denied: DIR/acl:3 (acl_deny)'],
  ['app publish $SYS/a --listener 1883', 'denied: broker_topic'],
  ['app publish a/# --listener 1883', 'denied: invalid_topic'],
  ['app publish a --listener 8883', 'denied: cannot connect: cn_without_slash'],
  ['nobody publish a --listener 1883', 'denied: cannot connect: DIR/passwd has no such account'],
  ['anonymous publish a --listener 1883', 'denied: cannot connect: allow_anonymous is false'],
  [
    'anonymous publish a --listener 8883',
    'denied: cannot connect: this listener takes names from certificates',
  ],
  ['acme/pump publish tenant/acme/device/pump/x --listener 8883', 'denied: acl_no_match'],
  [
    'acme/pump publish tenant/acme/device/other/telemetry --listener 8883',
    'denied: outside_device',
  ],
  ['acme/pump subscribe by/me --listener 8883', 'denied: outside_device'],
  [
    'device_acme_pump publish a --listener 1883',
    'denied: cannot connect: which device device_acme_pump is, its password tells: ask about TENANT/DEVICE',
  ],
  [
    'acme/valve publish tenant/acme/device/valve/telemetry --listener 1883',
    'denied: cannot connect: DIR/passwd has no such account',
  ],
  [
    'acme/pump publish tenant/acme/device/other/telemetry --listener 1883',
    'denied: outside_device',
  ],
  ['acme/pump publish tenant/acme/device/pump/telemetry --listener 1883', 'allowed: DIR/acl:7'],
  ['app subscribe secret/a --listener 1883', 'denied: DIR/acl:3 (acl_deny)'],
  ['anonymous subscribe by/me --listener 1884', 'allowed: DIR/acl:1'],
  ['acme/pump publish tenant/acme/device/pump/own --listener 8883', 'allowed: DIR/acl:6'],
  ['acme/pump publish tenant/acme/device/pump/telemetry --listener 8883', 'allowed: DIR/acl:7'],
  ['app publish a --listener 1883', 'allowed: DIR/acl:4'],
  [
    'app subscribe secret/# --listener 1883',
    'allowed: the subscription is granted; each message is decided by its own topic',
  ],
]

test('with tenants: who may do what, and which line says so', async (t) => {
  const ask = await asker(t, { MIDGE_TENANCY: 'on' })
  for (const [words, answer] of WITH_TENANTS) {
    const listener = words.split(' ').at(-1) ?? ''
    const expected = {
      lines: [`listener ${listener}: ${answer}`],
      allowed: answer.startsWith('allowed'),
    }
    assert.deepEqual(ask(words), expected, words)
  }
})

test('without --listener every listener answers, and all must allow', async (t) => {
  const ask = await asker(t, {})
  assert.deepEqual(ask('app publish a'), {
    lines: [
      'listener 8883: allowed: DIR/acl:4',
      'listener 1883: allowed: DIR/acl:4',
      'listener 1884: allowed: DIR/acl:4',
    ],
    allowed: true,
  })
  assert.deepEqual(ask('pump subscribe by/me --client-id me'), {
    lines: [
      'listener 8883: allowed: DIR/acl:8',
      'listener 1883: denied: cannot connect: DIR/passwd has no such account',
      'listener 1884: denied: cannot connect: DIR/passwd has no such account',
    ],
    allowed: false,
  })
  assert.throws(() => ask('app publish a --listener 1'), {
    code: 'NO_SUCH_LISTENER',
    message: 'there is no listener "1"; expected one of 8883, 1883, 1884',
  })
})
