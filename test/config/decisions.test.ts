/** Every policy that somebody may want otherwise: its default, its setting, its directive. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newcomerConfig, type Environment } from '../../config/index.ts'
import { SETTINGS } from '../../config/settings.ts'
import type { Config } from '../../config/types.ts'
import { load } from './in-memory.ts'

const DATABASE = { DATABASE_URL: 'postgres://h/d' }

/** Variable, what Config says, and then each value with what it says. The first is the default. */
const POLICIES: readonly (readonly [
  variable: string,
  read: (config: Config) => unknown,
  values: readonly (readonly [text: string, expected: unknown])[],
])[] = [
  [
    'MIDGE_UNLISTED_CERTIFICATE',
    ({ ingest }) => ingest?.registry?.unlistedCertificate,
    [
      ['token', 'token'],
      ['strict', 'strict'],
      ['device', 'device'],
      ['ca', 'ca'],
    ],
  ],
  [
    'MIDGE_ACKNOWLEDGE',
    ({ ingest }) => ingest?.acknowledge,
    [
      ['commit', 'commit'],
      ['buffer', 'buffer'],
    ],
  ],
  [
    'MIDGE_CRL_STALE',
    ({ revocation }) => revocation.whenStale,
    [
      ['serve-stale', 'serve-stale'],
      ['refuse', 'refuse'],
    ],
  ],
  [
    'MIDGE_DENIED_PUBLISH',
    ({ deniedPublish }) => deniedPublish,
    [
      ['drop', 'drop'],
      ['disconnect', 'disconnect'],
    ],
  ],
  [
    'MIDGE_NUMERIC_TS',
    ({ ingest }) => ingest?.timestamps?.numeric,
    [
      ['ignore', 'ignore'],
      ['accept', 'accept'],
    ],
  ],
  [
    'MIDGE_CLAMP_TS',
    ({ ingest }) => ingest?.timestamps?.clamp,
    [
      ['0', false],
      ['1', true],
    ],
  ],
  [
    'MIDGE_DEVICE_RETAIN',
    ({ deviceRetain }) => deviceRetain,
    [
      ['honour', 'honour'],
      ['clear', 'clear'],
    ],
  ],
  [
    'MIDGE_METRIC_LIMITS',
    ({ ingest }) => ingest?.metricLimits,
    [
      ['off', false],
      ['on', true],
    ],
  ],
]

test('each policy has its default, and is set by a variable and by a directive', () => {
  for (const [variable, read, values] of POLICIES) {
    const setting = SETTINGS.find((each) => each.variable === variable)
    assert.equal(read(load('', { environment: DATABASE }).config), values[0]?.[1], variable)
    for (const [text, expected] of values) {
      const environment = { ...DATABASE, [variable]: text }
      assert.equal(read(load('', { environment }).config), expected, `${variable}=${text}`)
      const line = `${setting?.directive} ${text}`
      assert.equal(read(load(line, { environment: DATABASE }).config), expected, line)
    }
  }
})

test('without a configuration file the CRL is written into the data directory', () => {
  const crlWriterIn = (environment: Environment) =>
    newcomerConfig({ dataDirectory: '/d', environment }).crlWriter
  assert.equal(crlWriterIn({}), undefined)
  assert.deepEqual(crlWriterIn({ MIDGE_WRITE_CRL: 'on' }), {
    caCertificate: '/d/certs/device-ca.crt',
    caKey: '/d/certs/device-ca.key',
    output: '/d/certs/device-crl.pem',
  })
  const elsewhere = { MIDGE_WRITE_CRL: 'on', CRL_OUTPUT_PATH: '/certs/device-crl.pem' }
  assert.equal(crlWriterIn(elsewhere)?.output, '/certs/device-crl.pem')
})
