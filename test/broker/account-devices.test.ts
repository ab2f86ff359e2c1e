/** With tenants: an account called like a device is that device, or nobody. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { authenticate, type AuthenticationRules } from '../../broker/authentication.ts'
import { PasswordAccounts, compileAcl } from '../../broker/index.ts'
import type { DeviceRegistry } from '../../broker/ports.ts'
import { hashPassword, parseAclFile, parsePasswordFile } from '../../config/index.ts'
import { noCertificates, startBroker } from '../helpers/broker.ts'
import { HeldSink } from '../helpers/held-sink.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'

const random = (bytes: number) => randomBytes(bytes)
const PUMP = 'device_acme_pump'
const fileOf = (...lines: (readonly [name: string, password: string])[]) =>
  parsePasswordFile(
    lines
      .map(([name, password]) => `${name}:${hashPassword(password, { random, iterations: 1 })}\n`)
      .join(''),
    'passwd',
  )
const FILE = fileOf([PUMP, 'tok-1'], ['gateway', 'secret'])
const accountsOf = (file = FILE) => new PasswordAccounts(file, { random })

function registryOf(changes: Partial<DeviceRegistry> = {}): DeviceRegistry {
  return {
    deviceOfAccount: async () => ({ found: true, tenantId: 'acme', deviceId: 'pump' }),
    mayConnect: async () => ({ admitted: true }),
    ...changes,
  }
}

const is = (tenantId: string, deviceId: string) =>
  registryOf({ deviceOfAccount: async () => ({ found: true, tenantId, deviceId }) })
const isNobody = registryOf({
  deviceOfAccount: async () => ({ found: false, reason: 'account_device_unknown' }),
})
const isBarred = registryOf({
  mayConnect: async () => ({ admitted: false, reason: 'device_inactive' }),
})
const mustNotBeAsked = registryOf({
  deviceOfAccount: () => assert.fail('asked about somebody who has proved nothing'),
  mayConnect: () => assert.fail('asked about somebody who is no device'),
})

async function comeIn(
  registry: DeviceRegistry | undefined,
  userName = PUMP,
  password: string | undefined = 'tok-1',
  changes: Partial<AuthenticationRules> = {},
) {
  const credentials = {
    certificate: undefined,
    userName,
    password: password === undefined ? undefined : Buffer.from(password),
  }
  const outcome = await authenticate(credentials, {
    tenancy: true,
    identityFrom: undefined,
    allowAnonymous: false,
    accounts: accountsOf(),
    certificates: noCertificates,
    registry,
    ...changes,
  })
  if (!outcome.accepted) return `${outcome.returnCode} ${outcome.reason}`
  return `${outcome.identity.kind} ${outcome.identity.userName}`
}

const table: readonly (readonly [title: string, expected: string, ...Parameters<typeof comeIn>])[] =
  [
    ['a wrong password', '5 bad_credentials', mustNotBeAsked, PUMP, 'tok-2'],
    ['an empty password', '5 bad_credentials', mustNotBeAsked, PUMP, ''],
    ['an account of nobody', '5 bad_credentials', mustNotBeAsked, 'device_acme_valve', 'tok-1'],
    ['no registry', '5 registry_off', undefined],
    ['a token of nobody who is called so', '5 account_device_unknown', isNobody],
    ['a device that is barred', '5 device_inactive', isBarred],
    ['a tenant that is no level of a topic', '5 account_device_name', is('a/b', 'c')],
    ['a tenant that is a wildcard', '5 account_device_name', is('+', 'c')],
    ['a device that is a wildcard', '5 account_device_name', is('acme', '#')],
    ['a device without a name', '5 account_device_name', is('acme', '')],
    ['a device', 'device acme/pump', registryOf()],
    ['a device that is called otherwise', 'device globex/p.7', is('globex', 'p.7')],
    ['another account', 'account gateway', mustNotBeAsked, 'gateway', 'secret'],
    ['no tenants', `account ${PUMP}`, mustNotBeAsked, PUMP, 'tok-1', { tenancy: false }],
    ['no tenants, no registry', `account ${PUMP}`, undefined, PUMP, 'tok-1', { tenancy: false }],
  ]
for (const [title, expected, ...question] of table) {
  test(`${title}: ${expected}`, async () => assert.equal(await comeIn(...question), expected))
}

test('what the registry is asked: the hash of the password, then the device without a certificate', async () => {
  const asked: unknown[] = []
  const registry = registryOf({
    deviceOfAccount: async (account) => {
      asked.push(account)
      return { found: true, tenantId: 'acme', deviceId: 'pump' }
    },
    mayConnect: async (device) => {
      asked.push(device)
      return { admitted: true }
    },
  })
  await comeIn(registry)
  const tokenHash = createHash('sha256').update('tok-1').digest('hex')
  assert.deepEqual(asked, [
    { userName: PUMP, tokenHash },
    { tenantId: 'acme', deviceId: 'pump', fingerprint: undefined },
  ])
})

test('a file that is replaced while the registry is asked is the one that counts', async () => {
  for (const [replacement, expected] of [
    [fileOf([PUMP, 'tok-2']), '5 bad_credentials'],
    [fileOf(['gateway', 'secret']), '5 bad_credentials'],
    [FILE, 'device acme/pump'],
  ] as const) {
    const accounts = accountsOf()
    const registry = registryOf({
      mayConnect: async () => {
        accounts.replace(replacement)
        return { admitted: true }
      },
    })
    assert.equal(await comeIn(registry, PUMP, 'tok-1', { accounts }), expected)
  }
})

async function start(t: TestContext, acl?: string) {
  const sink = new HeldSink()
  const started = await startBroker(t, {
    tenancy: true,
    listener: { allowAnonymous: false },
    accounts: accountsOf(),
    rules: {
      tenancy: true,
      acl: acl === undefined ? undefined : compileAcl(parseAclFile(acl, 'acl')),
      // Also what an operator may have listed.
      accountAccess: new Set([PUMP]),
    },
    registry: registryOf(),
    sink,
  })
  const client = await started.client('c', { userName: PUMP, password: 'tok-1' })
  return { ...started, sink, client }
}

test('it publishes below its own prefix, without anything that vouches for its rows', async (t) => {
  const { client, sink } = await start(t)
  for (const topic of [
    'tenant/acme/device/valve/telemetry',
    'tenant/globex/device/pump/telemetry',
    'a',
  ]) {
    await client.publish(topic, '{}', { qos: 1 })
  }
  assert.deepEqual(await client.subscribe('#', 1), [0x80])
  assert.deepEqual(await client.subscribe('tenant/acme/device/+/commands', 1), [0x80])
  assert.deepEqual(await client.subscribe('tenant/acme/device/pump/commands', 1), [1])
  await client.publish('tenant/acme/device/pump/telemetry', '{}', { qos: 1 })
  const publisher = { kind: 'device', userName: 'acme/pump', clientId: 'c', fingerprint: undefined }
  assert.deepEqual(
    sink.taken.map(({ topic, publisher: by }) => [topic, by]),
    [['tenant/acme/device/pump/telemetry', publisher]],
  )
})

const PREFIX = 'tenant/acme/device/pump'
/** What it publishes of these, by this acl_file. */
const acls: readonly (readonly [title: string, acl: string, expected: readonly string[]])[] = [
  ['nothing is about it', `user gateway\ntopic readwrite #\n`, []],
  ['the account may nothing of this', `user ${PUMP}\ntopic readwrite a\ntopic read #\n`, []],
  [
    'a line of the account denies it',
    `user acme/pump\ntopic readwrite #\n\nuser ${PUMP}\ntopic deny ${PREFIX}/telemetry\n`,
    ['status'],
  ],
  [
    'a line of the device denies it',
    `user acme/pump\ntopic deny ${PREFIX}/telemetry\n\nuser ${PUMP}\ntopic readwrite #\n`,
    ['status'],
  ],
  ['the account may everything', `user ${PUMP}\ntopic readwrite #\n`, ['telemetry', 'status']],
  ['the device may everything', 'user acme/pump\ntopic write #\n', ['telemetry', 'status']],
  ['a pattern for devices', 'pattern write tenant/%t/device/%d/telemetry\n', ['telemetry']],
]
for (const [title, acl, expected] of acls) {
  test(`with an acl_file, ${title}: its prefix bounds it all the same`, async (t) => {
    const { client, sink } = await start(t, acl)
    assert.deepEqual(await client.subscribe('#', 1), [0x80])
    for (const topic of [
      'tenant/acme/device/valve/telemetry',
      'tenant/globex/device/pump/telemetry',
      `${PREFIX}/telemetry`,
      `${PREFIX}/status`,
    ]) {
      await client.publish(topic, '{}', { qos: 1 })
    }
    const topics = sink.taken.map(({ topic }) => topic)
    assert.deepEqual(
      topics,
      expected.map((type) => `${PREFIX}/${type}`),
    )
  })
}

test('a line that changed, or a device that is barred, ends its connection', async (t) => {
  const { broker, client } = await start(t)
  assert.equal(
    broker.closeAccounts('test', (name) => name === 'acme/pump'),
    0,
  )
  assert.equal(
    broker.closeAccounts('test', (name) => name === PUMP),
    1,
  )
  await client.closed
  const again = await start(t)
  const pump = { tenantId: 'acme', deviceId: 'pump' }
  assert.equal(again.broker.closeDevice({ ...pump, fingerprint: 'ab'.repeat(32) }), 0)
  assert.equal(again.broker.closeDevice({ ...pump, fingerprint: undefined }), 1)
  await again.client.closed
})

test('a certificate that only opens the door vouches for nothing, and its Session is not its own', async (t) => {
  const pki = mutualTls()
  const sink = new HeldSink()
  const behind = pki.listener({ useIdentityAsUsername: false })
  const { broker, port } = await startBroker(t, {
    ...behind,
    listener: { ...behind.listener, allowAnonymous: false },
    tenancy: true,
    accounts: accountsOf(),
    rules: { tenancy: true, acl: undefined, accountAccess: new Set() },
    registry: registryOf(),
    sink,
  })
  const credentials = { clientId: 'c', clean: false, userName: PUMP, password: 'tok-1' }
  const certificate = pki.device('acme/valve')
  const client = await pki.connect(t, port, certificate)
  assert.equal((await client.connect(credentials)).returnCode, 0)
  await client.publish('tenant/acme/device/pump/telemetry', '{}', { qos: 1 })
  assert.deepEqual(
    sink.taken.map(({ publisher }) => [publisher.userName, publisher.fingerprint]),
    [['acme/pump', undefined]],
  )
  await pki.revoke(certificate)
  assert.equal(broker.trustChanged(), 1)
  await client.closed
  const again = await pki.connect(t, port, pki.device('acme/gate'))
  const connack = await again.connect(credentials)
  assert.deepEqual(
    { returnCode: connack.returnCode, present: connack.sessionPresent },
    { returnCode: 0, present: true },
  )
})
