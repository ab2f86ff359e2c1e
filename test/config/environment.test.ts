import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Environment } from '../../config/index.ts'
import { load, refusals, warnings } from './in-memory.ts'

const TEXT = 'listener 1883\nallow_anonymous true\n'

/** A variable, and the refusal. */
const WRONG: readonly (readonly [Environment, ...string[]])[] = [
  [{ MIDGE_TENANCY: 'yes' }, 'MIDGE_TENANCY is "yes", expected auto or on or off.'],
  [{ MIDGE_TENANCY: 'ON' }, 'MIDGE_TENANCY is "ON", expected auto or on or off.'],
  [{ MIDGE_TENANCY: ' on' }, 'MIDGE_TENANCY is " on", expected auto or on or off.'],
  [{ MIDGE_INGEST: '1' }, 'MIDGE_INGEST is "1", expected auto or on or off.'],
  [
    { MIDGE_LOG_LEVEL: 'INFO' },
    'MIDGE_LOG_LEVEL is "INFO", expected trace or debug or info or warn or error or silent.',
  ],
  [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL is "loud", expected DEBUG, INFO, WARNING, ERROR or CRITICAL.'],
  [
    { MIDGE_DENIED_PUBLISH: 'close' },
    'MIDGE_DENIED_PUBLISH is "close", expected drop or disconnect.',
  ],
  [{ MIDGE_CRL_MISSING: 'ignore' }, 'MIDGE_CRL_MISSING is "ignore", expected wait or open.'],
  [{ MIDGE_CRL_STALE: 'serve' }, 'MIDGE_CRL_STALE is "serve", expected serve-stale or refuse.'],
  [{ MIDGE_WITHOUT_CRL: 'no' }, 'MIDGE_WITHOUT_CRL is "no", expected auto or accept or refuse.'],
  [{ MIDGE_ACKNOWLEDGE: 'none' }, 'MIDGE_ACKNOWLEDGE is "none", expected commit or buffer.'],
  [
    { MIDGE_HTTP_PORT: '65536' },
    'MIDGE_HTTP_PORT is "65536", expected a port from 0 to 65535, or off.',
  ],
  [{ MIDGE_HTTP_PORT: '-1' }, 'MIDGE_HTTP_PORT is "-1", expected a port from 0 to 65535, or off.'],
  [
    { MIDGE_HTTP_PORT: 'tcp://10.0.0.1:8080' },
    'MIDGE_HTTP_PORT is "tcp://10.0.0.1:8080", expected a port from 0 to 65535, or off. Kubernetes sets it for a Service of that name: rename the Service, or set enableServiceLinks: false.',
  ],
  [
    { MIDGE_MAX_PACKET_BYTES: '19' },
    'MIDGE_MAX_PACKET_BYTES is "19", expected a whole number from 20 to 268435460.',
  ],
  [{ MIDGE_MAX_SESSIONS: '1e6' }, 'MIDGE_MAX_SESSIONS is "1e6", expected a whole number from 1.'],
  [{ MIDGE_MAX_SESSIONS: '0' }, 'MIDGE_MAX_SESSIONS is "0", expected a whole number from 1.'],
  [
    { MIDGE_MAX_QUEUED_BYTES: '8MiB' },
    'MIDGE_MAX_QUEUED_BYTES is "8MiB", expected a whole number from 1.',
  ],
  [
    { MIDGE_SYS_INTERVAL: '65536' },
    'MIDGE_SYS_INTERVAL is "65536", expected a whole number from 0 to 65535.',
  ],
  [{ CERT_AUTH_ENABLED: 'true' }, 'CERT_AUTH_ENABLED is "true", expected 1 or 0.'],
  [{ REQUIRE_TOKEN: 'no' }, 'REQUIRE_TOKEN is "no", expected 1 or 0.'],
  [{ AUTO_PROVISION: '2' }, 'AUTO_PROVISION is "2", expected 1 or 0.'],
  [{ BATCH_SIZE: '0' }, 'BATCH_SIZE is "0", expected a whole number from 1 to 100000.'],
  [
    { INGEST_QUEUE_SIZE: '999999999999999999' },
    'INGEST_QUEUE_SIZE is "999999999999999999", expected a whole number from 1.',
  ],
  [{ PG_PORT: '0', PG_PASS: 'x' }, 'PG_PORT is "0", expected a whole number from 1 to 65535.'],
  [{ PG_HOST: 'db' }, 'PG_PASS is not set, expected the password of PG_USER.'],
  [{ PG_USER: 'x' }, 'PG_PASS is not set, expected the password of PG_USER.'],
  [
    { DATABASE_URL: 'postgres://u@h/d', PG_POOL_MIN: '5', PG_POOL_MAX: '4' },
    'PG_POOL_MIN is 5, expected at most PG_POOL_MAX, which is 4.',
  ],
  [
    { DATABASE_URL: 'mysql://u:geheim@h/d' },
    'DATABASE_URL has a value (not shown), expected a postgres:// URL.',
  ],
  [
    { DATABASE_URL: 'postgres://geheim' + '@'.repeat(2) + ':x:y' },
    'DATABASE_URL has a value (not shown), expected a postgres:// URL.',
  ],
  [
    { MIDGE_TENANCY: 'a\nb\u001b[31m' },
    'MIDGE_TENANCY is "a\\x0ab\\x1b[31m", expected auto or on or off.',
  ],
]

test('a variable that is wrong is named with what was found and what was expected', () => {
  for (const [environment, ...messages] of WRONG) {
    assert.deepEqual(
      refusals(TEXT, { environment }),
      messages.map((message) => `environment: ${message}`),
    )
  }
})

test('errors of the environment come together with those of the file', () => {
  assert.deepEqual(refusals('foo', { environment: { MIDGE_INGEST: 'x', BATCH_SIZE: 'y' } }), [
    "1: Unknown configuration variable 'foo'.",
    'environment: MIDGE_INGEST is "x", expected auto or on or off.',
    'environment: BATCH_SIZE is "y", expected a whole number from 1 to 100000.',
  ])
})

test('the environment wins over the file, and the file over the default', () => {
  const text = `${TEXT}max_packet_size 1000\nsys_interval 3\nmidge_crl_stale refuse\nmidge_max_handshakes 7`
  const config = (environment: Environment) => load(text, { environment }).config
  assert.equal(config({}).limits.maxPacketBytes, 1000)
  assert.equal(config({}).sysInterval, 3)
  assert.equal(config({}).revocation.whenStale, 'refuse')
  assert.equal(load(TEXT).config.revocation.whenStale, 'serve-stale')
  const environment = {
    MIDGE_MAX_PACKET_BYTES: '2000',
    MIDGE_SYS_INTERVAL: '0',
    MIDGE_CRL_STALE: 'serve-stale',
  }
  assert.equal(config(environment).limits.maxPacketBytes, 2000)
  assert.equal(config(environment).sysInterval, 0)
  assert.equal(config(environment).revocation.whenStale, 'serve-stale')
})

test('an empty variable is an unset one', () => {
  const environment = { MIDGE_TENANCY: '', DATABASE_URL: '', PG_HOST: '', MIDGE_NONSENSE: '' }
  const { config, warnings } = load(TEXT, { environment })
  assert.equal(config.ingest, undefined)
  assert.deepEqual(warnings, [])
})

test('a misspelt name of ours is worth a warning, what Kubernetes sets is not', () => {
  const environment = {
    MIDGE_TENNANCY: 'on',
    MIDGE_HTPP_PORT: '8080',
    MIDGE_MQTT_PORT: '1884',
    MIDGE_SERVICE_HOST: '10.0.0.1',
    MIDGE_SERVICE_PORT_MQTT: '1883',
    MIDGE_PORT: 'tcp://10.0.0.1:1883',
    MIDGE_PORT_1883_TCP_ADDR: '10.0.0.1',
    PATH: '/bin',
  }
  assert.deepEqual(warnings(TEXT, { environment }), [
    'MIDGE_HTPP_PORT is not a setting and has no effect.',
    'MIDGE_MQTT_PORT has no effect with -c or -p.',
    'MIDGE_TENNANCY is not a setting and has no effect.',
  ])
})

/** Is anything stored, where, and what follows from it. */
const INGEST: readonly (readonly [Environment, string | undefined, boolean])[] = [
  [{}, undefined, false],
  [{ PG_POOL_MAX: '5' }, undefined, false],
  [{ MIDGE_TENANCY: 'on' }, undefined, true],
  [{ MIDGE_INGEST: 'off', DATABASE_URL: 'postgres://h/d' }, undefined, false],
  [{ DATABASE_URL: 'postgres://u:p@h/d' }, 'postgres://u:p@h/d', true],
  [{ DATABASE_URL: 'postgresql://h/d', PG_HOST: 'other' }, 'postgresql://h/d', true],
  [{ DATABASE_URL: 'postgres://h/d', MIDGE_TENANCY: 'off' }, 'postgres://h/d', false],
  [{ PG_PASS: 'p' }, 'iot@iot-postgres:5432/iotcloud', true],
  [{ PG_PASS: 'p', PG_HOST: 'h', PG_PORT: '1', PG_DB: 'd', PG_USER: 'u' }, 'u@h:1/d', true],
  [{ MIDGE_INGEST: 'on' }, 'embedded', true],
]

test('ingest is on when a database is configured, and tenancy with it', () => {
  for (const [environment, expected, tenancy] of INGEST) {
    const { config } = load(TEXT, { environment })
    const database = config.ingest?.database
    const found =
      typeof database === 'object'
        ? (database.connectionString ??
          `${database.user}@${database.host}:${database.port}/${database.database}`)
        : database
    assert.equal(found, expected, JSON.stringify(environment))
    assert.equal(config.tenancy, tenancy, JSON.stringify(environment))
  }
})

test('tables are made only on request, in a database that is not ours', () => {
  const migrate = (environment: Environment) => {
    const database = load(TEXT, { environment }).config.ingest?.database
    return typeof database === 'object' ? database.migrate : undefined
  }
  assert.equal(migrate({ DATABASE_URL: 'postgres://h/d' }), false)
  assert.equal(migrate({ DATABASE_URL: 'postgres://h/d', MIDGE_MIGRATE: 'on' }), true)
})

test('HTTP stays closed beside a mosquitto.conf until ingest or somebody asks for it', () => {
  const admin = (environment: Environment) => load(TEXT, { environment }).config.admin
  const here = { host: '127.0.0.1', port: 8080 }
  assert.equal(admin({}), undefined)
  assert.deepEqual(admin({ DATABASE_URL: 'postgres://h/d' }), here)
  assert.deepEqual(admin({ MIDGE_HTTP_PORT: '8080' }), here)
  assert.deepEqual(admin({ MIDGE_HTTP_HOST: '0.0.0.0' }), { ...here, host: '0.0.0.0' })
  assert.equal(admin({ MIDGE_HTTP_PORT: 'off', DATABASE_URL: 'postgres://h/d' }), undefined)
})

/** Without a crlfile anywhere a CA without a list is accepted; with one anywhere it is not. */
test('a CA that no CRL covers is refused as soon as a crlfile is configured', () => {
  const tls = `${TEXT}listener 8883\ncertfile c\nkeyfile k\ncafile a\nuse_identity_as_username true\n`
  const withoutCrl = (text: string, environment: Environment = {}) =>
    load(text, { environment }).config.revocation.withoutCrl
  assert.equal(withoutCrl(TEXT), 'accept')
  assert.equal(withoutCrl(tls), 'accept')
  assert.equal(withoutCrl(`${tls}crlfile r`), 'refuse')
  assert.equal(withoutCrl(`${tls}crlfile r`, { MIDGE_WITHOUT_CRL: 'accept' }), 'accept')
  assert.equal(withoutCrl(tls, { MIDGE_WITHOUT_CRL: 'refuse' }), 'refuse')
})

test('what the platform sets is kept', () => {
  const environment = {
    CERT_AUTH_ENABLED: '1',
    REQUIRE_TOKEN: '0',
    SETTINGS_POLL_SECONDS: '7',
    FLUSH_INTERVAL_MS: '500',
    INGEST_WORKER_COUNT: '8',
    INGEST_QUEUE_SIZE: '100000',
    DATABASE_URL: 'postgres://h/d',
    MQTT_HOST: 'ignored',
  }
  const { ingest, crlWriter } = load(TEXT, { environment }).config
  assert.equal(ingest?.registry?.certAuthEnabled, true)
  assert.equal(ingest?.registry?.requireToken, false)
  assert.equal(ingest?.registry?.settingsPollSeconds, 7)
  assert.equal(ingest?.maxWaitingRecords, 105_000)
  assert.equal(crlWriter, undefined)
  assert.deepEqual(load(TEXT, { environment }).warnings, [])
})

test('the CRL is written only on request, at the paths the platform gives', () => {
  const environment = { DATABASE_URL: 'postgres://h/d', MIDGE_WRITE_CRL: 'on' }
  assert.deepEqual(load(TEXT, { environment }).config.crlWriter, {
    caCertificate: '/mosquitto/certs/device-ca.crt',
    caKey: '/mosquitto/certs/device-ca.key',
    output: '/mosquitto/certs/device-crl.pem',
  })
  const named = { DEVICE_CA_KEY_PATH: '/ca.key', CRL_OUTPUT_PATH: '/crl.pem' }
  assert.deepEqual(load(TEXT, { environment: { ...environment, ...named } }).config.crlWriter, {
    caCertificate: '/mosquitto/certs/device-ca.crt',
    caKey: '/ca.key',
    output: '/crl.pem',
  })
  assert.throws(
    () => load(TEXT, { environment: { MIDGE_WRITE_CRL: 'on' } }),
    /MIDGE_WRITE_CRL is "on", expected off: without ingest there is no table of certificates/u,
  )
})

test('certificates expire in the table where nobody else sees to it, or on request', () => {
  const expires = (environment: Environment) =>
    load(TEXT, { environment: { DATABASE_URL: 'postgres://h/d', ...environment } }).config.ingest
      ?.expireCertificates
  assert.equal(expires({}), false)
  assert.equal(expires({ MIDGE_EXPIRE_CERTIFICATES: 'on' }), true)
  assert.equal(expires({ MIDGE_MIGRATE: 'on' }), true)
  assert.equal(expires({ MIDGE_MIGRATE: 'on', MIDGE_EXPIRE_CERTIFICATES: 'off' }), false)
})

test("Mosquitto's own variable wins over persistence_location", () => {
  const environment = { MOSQUITTO_PERSISTENCE_LOCATION: '/env' }
  const { persistence } = load('persistence_location /file', { environment }).config
  assert.equal(persistence?.location, '/env')
})

test('names from a prototype are no variables', () => {
  const environment = Object.create({ MIDGE_TENANCY: 'on' }) as Environment
  assert.equal(load(TEXT, { environment }).config.tenancy, false)
})
