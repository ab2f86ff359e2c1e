/** Settings about whose certificates stand for devices, and about lists of revoked ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenersWithTls } from '../../app/certificates.ts'
import { ConfigErrors, difference, newcomerConfig } from '../../config/index.ts'
import { load } from './in-memory.ts'

const TEXT = `listener 8883
certfile /c
keyfile /k
cafile /a
crlfile /l
use_identity_as_username true
listener 8884
certfile /c
keyfile /k
`

test('by default a CRL needs no number, CAs above need no CRL, and nobody is pinned', () => {
  const { revocation, deviceTrust, listeners } = load(TEXT).config
  assert.deepEqual(revocation, {
    whenMissing: 'wait',
    whenStale: 'serve-stale',
    withoutCrl: 'refuse',
    intermediatesWithoutCrl: 'accept',
    requireCrlNumber: false,
  })
  assert.deepEqual(deviceTrust, {})
  assert.equal(listeners.length, 2)
})

const ENVIRONMENT = {
  MIDGE_INTERMEDIATES_WITHOUT_CRL: 'refuse',
  MIDGE_REQUIRE_CRL_NUMBER: 'on',
  MIDGE_DEVICE_CA: '/device-ca.crt',
  MIDGE_PINNED_CERTIFICATES: '/pins',
}
const DIRECTIVES = Object.entries(ENVIRONMENT)
  .map(([name, value]) => `${name.toLowerCase()} ${value}\n`)
  .join('')

for (const [where, config] of [
  ['the environment', load(TEXT, { environment: ENVIRONMENT }).config],
  ['the file', load(DIRECTIVES + TEXT).config],
  [
    'the environment of a start without a file',
    newcomerConfig({ dataDirectory: '/data', environment: ENVIRONMENT }),
  ],
] as const) {
  test(`each can be set in ${where}, and the device CA holds for every listener with TLS`, () => {
    const { intermediatesWithoutCrl, requireCrlNumber } = config.revocation
    assert.deepEqual([intermediatesWithoutCrl, requireCrlNumber], ['refuse', true])
    assert.equal(config.deviceTrust?.pinnedCertificates, '/pins')
    const cas = listenersWithTls(config).map(({ tls }) => tls.deviceCafile)
    assert.deepEqual(new Set(cas), new Set(['/device-ca.crt']))
  })
}

const WRONG: readonly (readonly [string, string])[] = [
  ['MIDGE_REQUIRE_CRL_NUMBER', '1'],
  ['MIDGE_INTERMEDIATES_WITHOUT_CRL', 'serve-stale'],
]

for (const [variable, value] of WRONG) {
  test(`refused: ${variable}=${value}`, () => {
    assert.throws(() => load(TEXT, { environment: { [variable]: value } }), ConfigErrors)
  })
}

test('a reload takes the policies, and leaves whom to trust to a restart', () => {
  const { live, restart } = difference(load(TEXT).config, load(DIRECTIVES + TEXT).config)
  assert.deepEqual(
    live.map(({ setting }) => setting),
    ['revocation.intermediatesWithoutCrl', 'revocation.requireCrlNumber'],
  )
  assert.deepEqual(
    restart.map(({ setting }) => setting),
    ['deviceTrust.deviceCafile', 'deviceTrust.pinnedCertificates'],
  )
})
