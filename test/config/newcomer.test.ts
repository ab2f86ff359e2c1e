import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigErrors, newcomerConfig, newcomerWarnings } from '../../config/index.ts'
import type { Environment } from '../../config/index.ts'

const start = (environment: Environment = {}, dataDirectory: string | undefined = '/data') =>
  newcomerConfig({ dataDirectory, environment })

function sockets(environment: Environment): readonly string[] {
  return start(environment).listeners.map(
    ({ name, address, port }) => `${name} ${address ?? '*'} ${port}`,
  )
}

test('a start without a file opens 8883 to devices, and 1883 and 9001 to this machine', () => {
  assert.deepEqual(sockets({}), [
    '8883 * 8883',
    '1883 127.0.0.1 1883',
    '[::1]:1883 ::1 1883',
    '9001 127.0.0.1 9001',
    '[::1]:9001 ::1 9001',
  ])
  const optional = start().listeners.filter((listener) => listener.optional === true)
  assert.deepEqual(
    optional.map(({ address }) => address),
    ['::1', '::1'],
  )
})

test('8883 wants a certificate of the device CA that no CRL lists, and no password', () => {
  const listener = start().listeners[0]
  const { tls } = listener ?? {}
  assert.deepEqual(
    [tls?.certfile, tls?.keyfile, tls?.cafile, tls?.crlfile],
    ['server.crt', 'server.key', 'device-ca.crt', 'device-crl.pem'].map((f) => `/data/certs/${f}`),
  )
  assert.equal(tls?.requireCertificate, true)
  assert.equal(tls?.useIdentityAsUsername, true)
  assert.equal(listener?.passwordFile, undefined)
})

test('nobody is anonymous, and only one account may do everything', () => {
  for (const { allowAnonymous, accountAccess, tls, passwordFile } of start().listeners) {
    assert.equal(allowAnonymous, false)
    assert.deepEqual(accountAccess, ['service_pulse'])
    assert.equal(passwordFile, tls === undefined ? '/data/passwd' : undefined)
  }
})

test('tenancy and ingest are on, into the embedded database unless another is configured', () => {
  const { tenancy, ingest, admin, revocation, deniedPublish } = start()
  assert.equal(tenancy, true)
  assert.equal(ingest?.database, 'embedded')
  assert.equal(ingest.maxWaitingRecords, 55_000)
  assert.deepEqual(admin, { host: '127.0.0.1', port: 8080 })
  assert.deepEqual(revocation, {
    whenMissing: 'wait',
    whenStale: 'serve-stale',
    withoutCrl: 'refuse',
    intermediatesWithoutCrl: 'accept',
    requireCrlNumber: false,
  })
  assert.equal(deniedPublish, 'drop')
  const database = start({ DATABASE_URL: 'postgres://h/d' }).ingest?.database
  assert.equal(typeof database === 'object' && database.connectionString, 'postgres://h/d')
  assert.equal(start({ MIDGE_INGEST: 'off' }).ingest, undefined)
  assert.equal(start({ MIDGE_INGEST: 'off' }).tenancy, false)
})

test('ports and addresses come from the environment; 0 is any free port, off is none', () => {
  const environment = {
    MIDGE_MQTTS_PORT: '0',
    MIDGE_MQTT_PORT: '0',
    MIDGE_WS_PORT: 'off',
    MIDGE_HTTP_PORT: '0',
  }
  assert.deepEqual(sockets(environment), ['mqtts * 0', 'mqtt 127.0.0.1 0'])
  assert.equal(start(environment).admin?.port, 0)
  assert.deepEqual(sockets({ MIDGE_LISTEN: 'all', MIDGE_MQTTS_LISTEN: '10.1.2.3' }), [
    '8883 10.1.2.3 8883',
    '1883 * 1883',
    '9001 * 9001',
  ])
  assert.deepEqual(sockets({ MIDGE_LISTEN: '::1', MIDGE_MQTTS_LISTEN: 'loopback' }).slice(0, 3), [
    '8883 127.0.0.1 8883',
    '[::1]:8883 ::1 8883',
    '1883 ::1 1883',
  ])
})

test('names of listeners are unique whatever the ports', () => {
  for (const environment of [
    {},
    { MIDGE_MQTT_PORT: '0', MIDGE_WS_PORT: '0', MIDGE_MQTTS_PORT: '0' },
  ]) {
    const names = start(environment).listeners.map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
  }
})

test('the data directory comes from the command line, the environment, or is data', () => {
  const environment = { MIDGE_DATA: '/env' }
  const directory = (given: string | undefined, env: Environment) =>
    newcomerConfig({ dataDirectory: given, environment: env }).dataDirectory
  assert.equal(directory('/line', environment), '/line')
  assert.equal(directory(undefined, environment), '/env')
  assert.equal(directory(undefined, {}), 'data')
})

test('files the platform names are read in place of our own', () => {
  const { listeners } = start({
    MQTT_PASSWD_FILE: '/m/passwd',
    DEVICE_CA_CERT_PATH: '/m/ca.crt',
    CRL_OUTPUT_PATH: '/m/crl.pem',
  })
  assert.equal(listeners[0]?.tls?.cafile, '/m/ca.crt')
  assert.equal(listeners[0].tls.crlfile, '/m/crl.pem')
  assert.equal(listeners[1]?.passwordFile, '/m/passwd')
})

test('every variable that is wrong is named at once', () => {
  const environment = { MIDGE_LISTEN: 'localhost', MIDGE_MQTT_PORT: 'x', MIDGE_INGEST: 'maybe' }
  assert.throws(
    () => start(environment),
    (err: unknown) => {
      assert.ok(err instanceof ConfigErrors)
      assert.deepEqual(
        err.errors.map(({ message }) => message),
        [
          'environment: MIDGE_MQTT_PORT is "x", expected a port from 0 to 65535, or off.',
          'environment: MIDGE_LISTEN is "localhost", expected loopback, all, or an IP address.',
          'environment: MIDGE_INGEST is "maybe", expected auto or on or off.',
        ],
      )
      return true
    },
  )
})

test('misspelt names are worth a warning', () => {
  const warnings = newcomerWarnings({ MIDGE_MQTT_PORT: '1', MIDGE_MQTT_PROT: '1' })
  assert.deepEqual(
    warnings.map(({ problem }) => problem),
    ['MIDGE_MQTT_PROT is not a setting and has no effect.'],
  )
})
