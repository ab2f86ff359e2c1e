/** Who has proved what: every setting, every state of the certificate, every state of the token. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { CertificateRecord, UnlistedCertificate } from '../../ingest/registry/records.ts'
import type { Publisher } from '../../ingest/telemetry.ts'
import { RememberingLog } from '../helpers/log.ts'
import { message, publisher } from './messages.ts'
import { DEVICE, UNLISTED, judgeWith, listed, makeFakes } from './registry/fakes.ts'

const TOKEN = 'tok-1'
const HASH = createHash('sha256').update(TOKEN).digest('hex')
const ACCOUNT: Publisher = {
  kind: 'account',
  userName: 'service_pulse',
  clientId: 'gateway',
  fingerprint: undefined,
}

/** Fingerprint presented, and what the table has for it. */
const CERTIFICATES = {
  active: listed('ACTIVE'),
  'active, past its notAfter': { ...listed('ACTIVE', 0), deviceNotAfter: Infinity },
  revoked: { ...listed('REVOKED'), deviceNotAfter: Infinity },
  expired: { ...listed('EXPIRED'), deviceNotAfter: Infinity },
  "another device's": { ...listed('other'), deviceNotAfter: Infinity },
  'no row': UNLISTED,
  'no row, another one active': { ...UNLISTED, deviceNotAfter: Infinity },
  'no row, another one past its notAfter': { ...UNLISTED, deviceNotAfter: 0 },
} satisfies Record<string, CertificateRecord>
type CertificateState = keyof typeof CERTIFICATES

/** Members of the payload and hash of the registry. */
const TOKENS = [
  ['ok', `,"provision_token":"${TOKEN}"`, HASH, undefined],
  ['absent', '', HASH, 'TOKEN_MISSING'],
  ['null', ',"provision_token":null', HASH, 'TOKEN_MISSING'],
  ['empty', ',"provision_token":""', HASH, 'TOKEN_MISSING'],
  ['wrong', ',"provision_token":"tok-2"', HASH, 'TOKEN_INVALID'],
  ['longer', `,"provision_token":"${TOKEN} "`, HASH, 'TOKEN_INVALID'],
  ['an object', ',"provision_token":{"a":1}', HASH, 'TOKEN_INVALID'],
  ['half a surrogate', String.raw`,"provision_token":"\ud800"`, HASH, 'TOKEN_INVALID'],
  ['the hash itself', `,"provision_token":"${HASH}"`, HASH, 'TOKEN_INVALID'],
  ['ok, hash cut off', `,"provision_token":"${TOKEN}"`, HASH.slice(0, 63), 'TOKEN_INVALID'],
  ['ok, hash empty', `,"provision_token":"${TOKEN}"`, '', 'TOKEN_INVALID'],
  ['sent, none set', `,"provision_token":"${TOKEN}"`, undefined, 'TOKEN_NOT_SET_IN_REGISTRY'],
  ['absent, none set', '', undefined, 'TOKEN_NOT_SET_IN_REGISTRY'],
] as const

const tokenPath: readonly CertificateState[] = [
  'active, past its notAfter',
  'revoked',
  'expired',
  "another device's",
  'no row',
  'no row, another one active',
  'no row, another one past its notAfter',
]

interface Case {
  readonly certAuthEnabled: boolean
  readonly requireToken: boolean
  readonly unlisted?: UnlistedCertificate
  readonly from?: Publisher
  readonly certificates: readonly CertificateState[]
  readonly expected: 'token' | 'accepted'
}

const ALL: readonly CertificateState[] = ['active', ...tokenPath]
const CASES: readonly Case[] = [
  // Refusals first: whatever the certificate is, the token decides.
  { certAuthEnabled: false, requireToken: true, certificates: ALL, expected: 'token' },
  { certAuthEnabled: true, requireToken: true, certificates: tokenPath, expected: 'token' },
  {
    certAuthEnabled: true,
    requireToken: true,
    from: ACCOUNT,
    certificates: ALL,
    expected: 'token',
  },
  {
    certAuthEnabled: true,
    requireToken: true,
    from: { ...ACCOUNT, userName: 'acme/pump-7' },
    certificates: ALL,
    expected: 'token',
  },
  {
    certAuthEnabled: true,
    requireToken: true,
    from: { ...ACCOUNT, kind: 'anonymous', userName: undefined },
    certificates: ALL,
    expected: 'token',
  },
  {
    // Tenancy off: a certificate of another name may publish here, and proves nothing about it.
    certAuthEnabled: true,
    requireToken: true,
    from: { ...publisher, kind: 'certificate', userName: 'gateway' },
    certificates: ALL,
    expected: 'token',
  },
  ...(['token', 'strict'] as const).map((unlisted) => ({
    certAuthEnabled: true,
    requireToken: true,
    unlisted,
    certificates: tokenPath,
    expected: 'token' as const,
  })),
  {
    certAuthEnabled: true,
    requireToken: true,
    unlisted: 'device',
    certificates: tokenPath.filter((state) => state !== 'no row, another one active'),
    expected: 'token',
  },
  {
    certAuthEnabled: true,
    requireToken: true,
    unlisted: 'ca',
    certificates: tokenPath.filter((state) => !state.startsWith('no row')),
    expected: 'token',
  },
  // Acceptances: the token is not looked at, not even a wrong one.
  { certAuthEnabled: true, requireToken: true, certificates: ['active'], expected: 'accepted' },
  {
    certAuthEnabled: true,
    requireToken: true,
    from: { ...publisher, kind: 'certificate' },
    certificates: ['active'],
    expected: 'accepted',
  },
  {
    certAuthEnabled: true,
    requireToken: true,
    unlisted: 'device',
    certificates: ['no row, another one active'],
    expected: 'accepted',
  },
  {
    certAuthEnabled: true,
    requireToken: true,
    unlisted: 'ca',
    certificates: tokenPath.filter((state) => state.startsWith('no row')),
    expected: 'accepted',
  },
  { certAuthEnabled: true, requireToken: false, certificates: ALL, expected: 'accepted' },
  { certAuthEnabled: false, requireToken: false, certificates: ALL, expected: 'accepted' },
  {
    certAuthEnabled: true,
    requireToken: false,
    from: ACCOUNT,
    certificates: ALL,
    expected: 'accepted',
  },
]

test('certificate and token decide together whether a message is authenticated', async () => {
  for (const { certificates, expected, from = publisher, unlisted, ...rules } of CASES) {
    for (const state of certificates) {
      for (const [token, member, tokenHash, refusal] of TOKENS) {
        const fakes = makeFakes({
          ...rules,
          ...(unlisted === undefined ? {} : { unlistedCertificate: unlisted }),
        })
        fakes.reader.devicesByName.set('acme/pump-7', { ...DEVICE, tokenHash })
        fakes.reader.certificatesByFingerprint.set(publisher.fingerprint ?? '', CERTIFICATES[state])
        const telemetry = message(`{"site_id":"north"${member}}`, { publisher: from })
        const text = JSON.stringify({ ...rules, unlisted, from: from.kind, state, token })
        const outcome = expected === 'token' ? refusal : undefined
        assert.equal(await judgeWith(telemetry, fakes), outcome, text)
        // Once more, from memory.
        assert.equal(await judgeWith(telemetry, fakes), outcome, text)
      }
    }
  }
})

/** Access control turns these away before; whatever they bring, they do not get past this either. */
test('the identity of a device proves nothing about another, whatever the message brings', async () => {
  for (const userName of [
    'acme/pump-8',
    'other/pump-7',
    'acme',
    'acme/pump-77',
    'acm/epump-7',
    '',
  ]) {
    for (const requireToken of [true, false]) {
      for (const unlistedCertificate of ['token', 'device', 'ca'] as const) {
        const fakes = makeFakes({ requireToken, unlistedCertificate })
        fakes.reader.devicesByName.set('acme/pump-7', { ...DEVICE, tokenHash: HASH })
        fakes.reader.certificatesByFingerprint.set(publisher.fingerprint ?? '', listed('ACTIVE'))
        const telemetry = message(`{"site_id":"north","provision_token":"${TOKEN}"}`, {
          publisher: { ...publisher, userName },
        })
        assert.equal(await judgeWith(telemetry, fakes), 'AUTH_FAILED', userName)
      }
    }
  }
})

test('a device past its subscription, revoked or elsewhere is refused whatever it proves', async () => {
  const cases = [
    [{ subscription: 'SUSPENDED' }, 'SUBSCRIPTION_SUSPENDED'],
    [{ subscription: 'EXPIRED' }, 'SUBSCRIPTION_EXPIRED'],
    [{ status: 'REVOKED' }, 'DEVICE_REVOKED'],
    [{ status: 'INACTIVE' }, 'DEVICE_REVOKED'],
    [{ status: 'SUSPENDED' }, 'DEVICE_REVOKED'],
    [{ status: 'active' }, 'DEVICE_REVOKED'],
    [{ status: '' }, 'DEVICE_REVOKED'],
    [{ siteId: 'North' }, 'SITE_MISMATCH_REGISTRY_VS_PAYLOAD'],
    [{ siteId: '' }, 'SITE_MISMATCH_REGISTRY_VS_PAYLOAD'],
    [{ subscription: 'TRIAL' }, undefined],
    [{ subscription: 'ACTIVE' }, undefined],
    [{ subscription: 'GRACE' }, undefined],
    [{ subscription: 'CANCELLED' }, undefined],
    [{ subscription: undefined }, undefined],
  ] as const
  for (const [change, expected] of cases) {
    const fakes = makeFakes()
    fakes.reader.devicesByName.set('acme/pump-7', { ...DEVICE, ...change })
    fakes.reader.certificatesByFingerprint.set(publisher.fingerprint ?? '', listed('ACTIVE'))
    const telemetry = message('{"site_id":"north"}')
    assert.equal(await judgeWith(telemetry, fakes), expected, JSON.stringify(change))
  }
})

test('an authentication by certificate is logged at debug, without the token', async () => {
  const remembering = new RememberingLog()
  const fakes = makeFakes({}, { log: remembering.log })
  fakes.reader.devicesByName.set('acme/pump-7', DEVICE)
  fakes.reader.certificatesByFingerprint.set(publisher.fingerprint ?? '', listed('ACTIVE'))
  await judgeWith(message('{"site_id":"north","provision_token":"tok-secret"}'), fakes)
  const line = remembering.last('cert_auth_accepted')
  assert.equal(line?.['level'], 'debug')
  assert.equal(line?.['tenant_id'], 'acme')
  assert.equal(line?.['device_id'], 'pump-7')
  assert.ok(!JSON.stringify(remembering.lines).includes('tok-secret'))
})
