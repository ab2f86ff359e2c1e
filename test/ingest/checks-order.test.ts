/** Every reason, and for every two of them which one a message gets that deserves both. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { REASONS } from '../../ingest/reasons.ts'
import type { CertificateRecord, DeviceAnswer } from '../../ingest/registry/records.ts'
import { message, publisher } from './messages.ts'
import { DEVICE, UNLISTED, judgeWith, listed, makeFakes } from './registry/fakes.ts'

const TOKEN = 'tok-1'
const hash = (text: string) => createHash('sha256').update(text).digest('hex')

/** A message and the world it comes into; what is absent is as it should be. */
interface Situation {
  readonly body?: 'broken' | 'array' | 'object'
  readonly padding?: number
  readonly topic?: string
  readonly hasTokens?: boolean
  readonly claims?: string
  readonly hasSite?: boolean
  readonly registered?: 'no_capacity' | 'unregistered' | 'yes'
  readonly subscription?: string
  readonly status?: string
  readonly registrySite?: string
  readonly certificate?: CertificateRecord
  readonly tokenHash?: string | undefined
  readonly token?: string | undefined
  readonly userName?: string
  readonly seq?: string
  readonly isCrowded?: boolean
  readonly longName?: boolean
  readonly oddName?: boolean
}

const unproved = { registered: 'yes', certificate: UNLISTED } as const

/** In the order of asking. */
const DEFECTS: readonly (readonly [reason: string, defect: Situation])[] = [
  ['INVALID_JSON', { body: 'broken' }],
  ['INVALID_PAYLOAD', { body: 'array' }],
  ['PAYLOAD_TOO_LARGE', { padding: 9000 }],
  ['BAD_TOPIC_FORMAT', { topic: 'tenant/acme/pump-7/telemetry' }],
  ['RATE_LIMITED', { hasTokens: false }],
  ['TENANT_MISMATCH_TOPIC_VS_PAYLOAD', { body: 'object', claims: 'other' }],
  ['MISSING_SITE_ID', { body: 'object', hasSite: false }],
  ['NO_SUBSCRIPTION_CAPACITY', { body: 'object', registered: 'no_capacity' }],
  ['UNREGISTERED_DEVICE', { body: 'object', registered: 'unregistered' }],
  ['SUBSCRIPTION_SUSPENDED', { body: 'object', registered: 'yes', subscription: 'SUSPENDED' }],
  ['SUBSCRIPTION_EXPIRED', { body: 'object', registered: 'yes', subscription: 'EXPIRED' }],
  ['DEVICE_REVOKED', { body: 'object', registered: 'yes', status: 'SUSPENDED' }],
  ['SITE_MISMATCH_REGISTRY_VS_PAYLOAD', { body: 'object', registered: 'yes', registrySite: 's' }],
  ['TOKEN_NOT_SET_IN_REGISTRY', { body: 'object', ...unproved, tokenHash: undefined }],
  ['TOKEN_MISSING', { body: 'object', ...unproved, tokenHash: hash(TOKEN), token: undefined }],
  ['TOKEN_INVALID', { body: 'object', ...unproved, tokenHash: hash(TOKEN), token: 'tok-2' }],
  ['AUTH_FAILED', { body: 'object', registered: 'yes', userName: 'acme/pump-8' }],
  ['INVALID_FIELD:seq', { body: 'object', seq: '1.5' }],
  ['TOO_MANY_METRICS', { body: 'object', isCrowded: true }],
  ['METRIC_KEY_TOO_LONG', { body: 'object', longName: true }],
  ['METRIC_KEY_INVALID', { body: 'object', oddName: true }],
]

/** Both at once, or undefined: nothing can be in two states. */
function both(a: Situation, b: Situation): Situation | undefined {
  const fields = Object.entries(a) as [keyof Situation, unknown][]
  const clash = fields.some(([field, value]) => field in b && b[field] !== value)
  return clash ? undefined : { ...a, ...b }
}

function metricsOf({ isCrowded, longName, oddName }: Situation): string {
  const names = Array.from({ length: isCrowded === true ? 51 : 2 }, (_, i) => `m${i}`)
  if (longName === true) names[0] = 'n'.repeat(129)
  if (oddName === true) names[1] = 'a\tb'
  return JSON.stringify(Object.fromEntries(names.map((name) => [name, 1])))
}

async function reasonOf(situation: Situation): Promise<string | undefined> {
  const { body = 'object', padding = 0, userName = 'acme/pump-7' } = situation
  const { token = TOKEN, tokenHash = hash(TOKEN) } = situation
  const fakes = makeFakes()
  const device: DeviceAnswer = {
    ...DEVICE,
    siteId: situation.registrySite ?? 'north',
    status: situation.status ?? 'ACTIVE',
    subscription: situation.subscription,
    tokenHash: 'tokenHash' in situation ? situation.tokenHash : tokenHash,
  }
  const { registered = 'yes' } = situation
  fakes.reader.devicesByName.set('acme/pump-7', registered === 'yes' ? device : 'unregistered')
  if (registered === 'no_capacity') fakes.devices.put('acme/pump-7', 'no_capacity')
  const certificate = situation.certificate ?? listed('ACTIVE')
  fakes.reader.certificatesByFingerprint.set(publisher.fingerprint ?? '', certificate)
  const members = [
    ...(situation.hasSite === false ? [] : ['"site_id":"north"']),
    ...(situation.claims === undefined ? [] : [`"tenant_id":"${situation.claims}"`]),
    ...('token' in situation && situation.token === undefined
      ? []
      : [`"provision_token":"${token}"`]),
    `"seq":${situation.seq ?? '1'}`,
    `"metrics":${metricsOf(situation)}`,
    `"x":"${'x'.repeat(padding)}"`,
  ]
  const text = { broken: `{${members.join(',')}`, array: `["${'x'.repeat(padding)}"]` }
  const payload = body === 'object' ? `{${members.join(',')}}` : text[body]
  const telemetry = message(payload, {
    publisher: { ...publisher, userName },
    ...(situation.topic === undefined ? {} : { topic: situation.topic }),
  })
  const { hasTokens = true } = situation
  return judgeWith(telemetry, fakes, { hasTokens, hasMetricLimits: true })
}

test('there is a defect for every reason, in their order', () => {
  const late = new Set(['INVALID_FIELD:site_id', 'INVALID_FIELD:metrics'])
  // The three fields are looked at together, see decode.test.ts.
  assert.deepEqual(
    DEFECTS.map(([reason]) => reason),
    REASONS.filter((reason) => !late.has(reason)),
  )
})

test('a message without a defect is stored', async () => {
  assert.equal(await reasonOf({}), undefined)
})

test('each defect has its reason', async () => {
  for (const [reason, defect] of DEFECTS) assert.equal(await reasonOf(defect), reason)
})

test('of two defects the one that is asked for first gives the reason', async () => {
  let pairs = 0
  const impossible: string[] = []
  for (const [i, [reason, first]] of DEFECTS.entries()) {
    for (const [other, second] of DEFECTS.slice(i + 1)) {
      const situation = both(first, second)
      if (situation === undefined) {
        impossible.push(`${reason} ${other}`)
        continue
      }
      pairs++
      assert.equal(await reasonOf(situation), reason, `${reason} and ${other}`)
    }
  }
  // What is no object has no members, and whoever is not registered is in no state; beside those:
  assert.equal(pairs + impossible.length, (DEFECTS.length * (DEFECTS.length - 1)) / 2)
  assert.deepEqual(
    impossible.filter((pair) => !/^INVALID_(?:JSON|PAYLOAD)|CAPACITY|UNREGISTERED/u.test(pair)),
    [
      'SUBSCRIPTION_SUSPENDED SUBSCRIPTION_EXPIRED',
      'TOKEN_NOT_SET_IN_REGISTRY TOKEN_MISSING',
      'TOKEN_NOT_SET_IN_REGISTRY TOKEN_INVALID',
      'TOKEN_MISSING TOKEN_INVALID',
    ],
  )
})

test('the database is not asked about a message that fails before', async () => {
  const late = DEFECTS.findIndex(([reason]) => reason === 'NO_SUBSCRIPTION_CAPACITY')
  for (const [reason, defect] of DEFECTS.slice(0, late)) {
    if (defect.body !== 'object' && defect.body !== undefined) continue
    const fakes = makeFakes()
    const members = [
      ...(defect.hasSite === false ? [] : ['"site_id":"north"']),
      ...(defect.claims === undefined ? [] : [`"tenant_id":"${defect.claims}"`]),
      `"x":"${'x'.repeat(defect.padding ?? 0)}"`,
    ]
    const telemetry = message(
      `{${members.join(',')}}`,
      defect.topic === undefined ? {} : { topic: defect.topic },
    )
    const options = { hasTokens: defect.hasTokens ?? true }
    assert.equal(await judgeWith(telemetry, fakes, options), reason)
    assert.deepEqual(fakes.reader.asked, [], reason)
  }
})
