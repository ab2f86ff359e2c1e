import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigErrors, loadConfig, newcomerConfig } from '../../config/index.ts'
import { parseDuration, parseGoBoolean, parseHostAndPort } from '../../config/settings/go-values.ts'

const DURATIONS: readonly (readonly [string, number | undefined])[] = [
  ['5', undefined],
  ['', undefined],
  ['-5s', undefined],
  ['5 s', undefined],
  ['5sec', undefined],
  ['1d', undefined],
  ['s', undefined],
  ['.s', undefined],
  ['1e3s', undefined],
  ['5s ', undefined],
  ['5S', undefined],
  ['1:30', undefined],
  ['0', 0],
  ['0s', 0],
  ['5s', 5000],
  ['1m30s', 90_000],
  ['500ms', 500],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['1.s', 1000],
  ['+2s', 2000],
  ['0.1s0.2s', 300],
  ['1h1h', 7_200_000],
  ['100us', 1],
  ['1500µs', 2],
  ['1ns', 1],
]

test('durations are read as Go reads them, and rounded up to milliseconds', () => {
  for (const [text, expected] of DURATIONS) assert.equal(parseDuration(text), expected, text)
})

test('booleans are read as Go reads them', () => {
  for (const text of ['yes', 'on', 'tRUE', '', '2']) assert.equal(parseGoBoolean(text), undefined)
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True'])
    assert.equal(parseGoBoolean(text), true)
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) {
    assert.equal(parseGoBoolean(text), false)
  }
})

test('addresses are read as Go dials them', () => {
  for (const text of [
    'host',
    'host:',
    'host:0',
    'host:65536',
    '::1:8883',
    'a b:1',
    'u@h:1',
    'h:1x',
  ]) {
    assert.equal(parseHostAndPort(text), undefined, text)
  }
  assert.deepEqual(parseHostAndPort('mosquitto:8883'), { host: 'mosquitto', port: 8883 })
  assert.deepEqual(parseHostAndPort('[::1]:8883'), { host: '::1', port: 8883 })
  assert.deepEqual(parseHostAndPort(':8883'), { host: '127.0.0.1', port: 8883 })
})

const newcomer = (environment: Record<string, string>) =>
  newcomerConfig({ dataDirectory: '/data', environment })

test('with none of the names set the window is short', () => {
  assert.deepEqual(newcomer({}).rotation, {
    checkIntervalMs: 5000,
    stabilityWindowMs: 1000,
    cooldownMs: 5000,
    expiryWarnDays: 14,
    swap: true,
    probe: { upstream: undefined, servername: undefined, timeoutMs: 5000 },
  })
})

test('any of the names brings the window of ten seconds, unless it is given', () => {
  const window = (environment: Record<string, string>) =>
    newcomer(environment).rotation?.stabilityWindowMs
  assert.equal(window({ CERT_DIR: '/certs' }), 10_000)
  assert.equal(window({ ENABLE_METRICS: 'true' }), 10_000)
  assert.equal(window({ CERT_DIR: '/certs', STABILITY_WINDOW: '3s' }), 3000)
  assert.equal(window({ STABILITY_WINDOW: '250ms' }), 250)
})

test('every name is honoured', () => {
  const environment = {
    CHECK_INTERVAL: '1m30s',
    STABILITY_WINDOW: '0',
    RESTART_COOLDOWN: '1h',
    EXPIRY_WARN_DAYS: '0',
    ENABLE_TLS_PROBE: 'T',
    UPSTREAM_ADDR: 'lb.example:8883',
    TLS_SNI: 'mqtt.example',
    TLS_TIMEOUT: '500ms',
    ENABLE_RESTART: 'false',
  }
  assert.deepEqual(newcomer(environment).rotation, {
    checkIntervalMs: 90_000,
    stabilityWindowMs: 0,
    cooldownMs: 3_600_000,
    expiryWarnDays: 0,
    swap: false,
    probe: {
      upstream: { host: 'lb.example', port: 8883 },
      servername: 'mqtt.example',
      timeoutMs: 500,
    },
  })
  assert.equal(newcomer({ ENABLE_TLS_PROBE: 'false' }).rotation?.probe, undefined)
})

test('CERT_DIR holds certificate and key, and the device CA stays where it is', () => {
  const [mqtts] = newcomer({ CERT_DIR: '/certs' }).listeners
  const { certfile, keyfile, cafile, crlfile } = mqtts?.tls ?? {}
  assert.deepEqual(
    [certfile, keyfile, cafile, crlfile],
    [
      '/certs/server.crt',
      '/certs/server.key',
      '/data/certs/device-ca.crt',
      '/data/certs/device-crl.pem',
    ],
  )
})

test('METRICS_PORT is a second port, the only one, or none', () => {
  const admin = (environment: Record<string, string>) => newcomer(environment).admin
  const host = '127.0.0.1'
  assert.deepEqual(admin({ METRICS_PORT: '9100' }), { host, port: 8080, metricsPort: 9100 })
  assert.deepEqual(admin({ METRICS_PORT: '8080' }), { host, port: 8080 })
  assert.deepEqual(admin({ METRICS_PORT: '9100', ENABLE_METRICS: 'false' }), { host, port: 8080 })
  const off = { MIDGE_HTTP_PORT: 'off' }
  assert.deepEqual(admin({ ...off, METRICS_PORT: '9100' }), { host, port: 9100 })
  assert.equal(admin({ ...off }), undefined)
})

test('what is no value stops the start, each with what was expected', () => {
  const environment = {
    CHECK_INTERVAL: '5',
    STABILITY_WINDOW: 'long',
    RESTART_COOLDOWN: '25h',
    ENABLE_RESTART: 'yes',
    UPSTREAM_ADDR: 'lb.example',
    TLS_SNI: '10.0.0.1',
    METRICS_PORT: 'off',
  }
  const duration = (from: string) => `a duration from ${from} to 24h, such as 5s, 1m30s or 500ms`
  assert.throws(
    () => newcomer(environment),
    (err) => {
      assert.ok(err instanceof ConfigErrors)
      assert.deepEqual(
        err.errors.map(({ message }) => message.replace(/^environment: /u, '')).sort(),
        [
          'METRICS_PORT is "off", expected a port from 0 to 65535.',
          `CHECK_INTERVAL is "5", expected ${duration('10ms')}.`,
          `RESTART_COOLDOWN is "25h", expected ${duration('0s')}.`,
          `STABILITY_WINDOW is "long", expected ${duration('0s')}.`,
          'UPSTREAM_ADDR is "lb.example", expected host:port.',
          'TLS_SNI is "10.0.0.1", expected a host name.',
          'ENABLE_RESTART is "yes", expected true or false.',
        ].sort(),
      )
      return true
    },
  )
})

test('with a configuration file a CERT_DIR elsewhere is warned of', () => {
  const text = 'listener 8883\ncertfile /etc/tls/server.crt\nkeyfile /etc/tls/server.key\n'
  const files = { read: () => Buffer.from(text), list: () => [] }
  const warnings = (certDir: string) =>
    loadConfig({ file: '/m.conf', ports: [], environment: { CERT_DIR: certDir }, files })
      .warnings.map(({ problem }) => problem)
      .filter((problem) => problem.includes('CERT_DIR'))
  assert.deepEqual(warnings('/etc/tls/'), [])
  assert.deepEqual(warnings('/certs'), [
    'CERT_DIR is /certs, but listener 8883 names /etc/tls/server.crt: that file is followed.',
  ])
})
