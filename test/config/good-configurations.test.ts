import assert from 'node:assert/strict'
import { test } from 'node:test'
import { load, warnings } from './in-memory.ts'

/** What tells listeners apart, on one line each. */
function summary(text: string): readonly string[] {
  return load(text).config.listeners.map((listener) => {
    const { name, protocol, tls, allowAnonymous, passwordFile, aclFile } = listener
    return [
      name,
      protocol,
      tls === undefined ? 'plain' : tls.requireCertificate ? 'mutual' : 'tls',
      tls?.useIdentityAsUsername === true ? 'identity' : '',
      tls?.crlfile ?? '',
      allowAnonymous ? 'anonymous' : '',
      passwordFile ?? '',
      aclFile ?? '',
    ]
      .filter((word) => word !== '')
      .join(' ')
  })
}

test('two plain listeners with a password file serve accounts only', () => {
  const text = `
# Services inside
listener 1883

listener 9001
protocol websockets

allow_anonymous false
password_file /mosquitto/passwd/passwd
`
  assert.deepEqual(summary(text), [
    '1883 mqtt plain /mosquitto/passwd/passwd',
    '9001 websockets plain /mosquitto/passwd/passwd',
  ])
  assert.deepEqual(warnings(text), [])
})

test('TLS with the server certificate only asks nobody for a certificate', () => {
  const text = `
listener 1883
listener 8883
cafile /mosquitto/certs/ca.crt
certfile /mosquitto/certs/server.crt
keyfile /mosquitto/certs/server.key
require_certificate false
tls_version tlsv1.2
listener 9001
protocol websockets
allow_anonymous false
password_file /p
acl_file /acl
`
  assert.deepEqual(summary(text), [
    '1883 mqtt plain /p /acl',
    '8883 mqtt tls /p /acl',
    '9001 websockets plain /p /acl',
  ])
  assert.equal(load(text).config.listeners[1]?.tls?.minVersion, 'TLSv1.2')
})

const MUTUAL = `
listener 8883
cafile /mosquitto/certs/combined-ca.crt
certfile /mosquitto/certs/server.crt
keyfile /mosquitto/certs/server.key
crlfile /mosquitto/certs/device-crl.pem
require_certificate true
use_identity_as_username true
`

test('mutual TLS on 8883 beside passwords on 1883 and 9001', () => {
  const text = `${MUTUAL}
listener 1883
listener 9001
protocol websockets
password_file /p
persistence true
persistence_location /mosquitto/data/
log_dest stdout
`
  assert.deepEqual(summary(text), [
    '8883 mqtt mutual identity /mosquitto/certs/device-crl.pem /p',
    '1883 mqtt plain /p',
    '9001 websockets plain /p',
  ])
  const { config } = load(text)
  assert.equal(config.revocation.withoutCrl, 'refuse')
  assert.equal(config.log.destination, 'stdout')
  assert.equal(config.persistence?.location, '/mosquitto/data/')
  assert.equal(config.listeners[0]?.tls?.cafile, '/mosquitto/certs/combined-ca.crt')
  const inMemory =
    'is ignored: sessions, queued and retained messages live in memory for now and end with the process.'
  assert.deepEqual(warnings(text), [
    `14: The 'persistence' option ${inMemory}`,
    `15: The 'persistence_location' option ${inMemory}`,
  ])
})

test('per_listener_settings: the acl_file after the last listener belongs to that one only', () => {
  const tls = 'certfile /s.crt\nkeyfile /s.key'
  const text = `per_listener_settings true
${MUTUAL}
listener 1883
${tls}
password_file /p
listener 9001
protocol websockets
${tls}
password_file /p
acl_file /acl
`
  assert.deepEqual(summary(text), [
    '8883 mqtt mutual identity /mosquitto/certs/device-crl.pem',
    '1883 mqtt tls /p',
    '9001 websockets tls /p /acl',
  ])
  const lacking =
    'has no acl_file: with per_listener_settings true each listener needs its own, and this file gives one to 9001.'
  assert.deepEqual(warnings(text), [`3: Listener 8883 ${lacking}`, `11: Listener 1883 ${lacking}`])
})

test("Debian's own file loads, with warnings for what does nothing", () => {
  const text = `# Place your local configuration in /etc/mosquitto/conf.d/
#
# A full description of the configuration file is at
# /usr/share/doc/mosquitto/examples/mosquitto.conf.example

pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
`
  const others = {
    '/etc/mosquitto/conf.d/README': 'foo',
    '/etc/mosquitto/conf.d/local.conf': 'listener 1883\nallow_anonymous true\n',
  }
  const { config, warnings, included } = load(text, { others })
  assert.deepEqual(
    config.listeners.map(({ name, allowAnonymous }) => [name, allowAnonymous]),
    [['1883', true]],
  )
  assert.equal(config.log.mosquitto?.file, '/var/log/mosquitto/mosquitto.log')
  assert.equal(config.pidFile, '/run/mosquitto/mosquitto.pid')
  assert.deepEqual(included, ['/etc/mosquitto/conf.d/local.conf'])
  assert.deepEqual(
    warnings.map(({ problem }) => problem.split(':')[0]),
    ["The 'persistence' option is ignored", "The 'persistence_location' option is ignored"],
  )
})

test('an old file with port and bind_address opens the default listener', () => {
  const text = 'port 8883\nbind_address 10.0.0.1\ncertfile /c\nkeyfile /k\npassword_file /p\n'
  assert.deepEqual(summary(text), ['10.0.0.1:8883 mqtt tls /p'])
  assert.deepEqual(summary('bind_address ::1\nallow_anonymous true'), [
    '[::1]:1883 mqtt plain anonymous',
  ])
})

test('max_connections before any listener belongs to the default one, which opens beside others', () => {
  const text = 'max_connections 10\nlistener 1884\nallow_anonymous true'
  const { config } = load(text)
  assert.deepEqual(
    config.listeners.map(({ name, maxConnections }) => [name, maxConnections]),
    [
      ['1883', 10],
      ['1884', -1],
    ],
  )
  assert.deepEqual(warnings(text), [
    "1: Creating default listener due to 'max_connections' option.",
  ])
})

test('without a listener only this machine is served, and three warnings say so', () => {
  const local = [
    ['127.0.0.1:1883', false],
    ['[::1]:1883', true],
  ]
  const { config } = load('sys_interval 5\n')
  assert.deepEqual(
    config.listeners.map(({ name, optional }) => [name, optional]),
    local,
  )
  assert.deepEqual(warnings('sys_interval 5\n').length, 3)
  assert.ok(config.listeners.every(({ allowAnonymous }) => allowAnonymous))
  const closed = load('allow_anonymous false\npassword_file /p').config.listeners
  assert.ok(
    closed.every(({ allowAnonymous, passwordFile }) => !allowAnonymous && passwordFile === '/p'),
  )
})

test('ports of the command line count in local-only mode, and not beside a listener', () => {
  const names = (text: string): readonly string[] =>
    load(text, { ports: [1884, 1885] }).config.listeners.map(({ name }) => name)
  assert.deepEqual(names(''), ['127.0.0.1:1884', '[::1]:1884', '127.0.0.1:1885', '[::1]:1885'])
  assert.deepEqual(names('listener 1883'), ['1883'])
})

/** allow_anonymous, listener_allow_anonymous, per_listener_settings: may somebody be anonymous? */
const ANONYMOUS: readonly (readonly [text: string, ...byListener: boolean[]])[] = [
  ['listener 1', false],
  ['listener 1\npassword_file p', false],
  ['allow_anonymous false\nlistener 1', false],
  ['listener 1\nlistener_allow_anonymous false\nallow_anonymous true', false],
  ['per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2', true, false],
  ['per_listener_settings true\nlistener 1\nlistener 2\nallow_anonymous true', false, true],
  ['listener 1\nlistener 2\nallow_anonymous true', true, true],
  ['allow_anonymous false\nlistener 1\nlistener_allow_anonymous true\nlistener 2', true, false],
  ['allow_anonymous false\nallow_anonymous true\nlistener 1', true],
  ['allow_anonymous 1\nlistener 1\npassword_file p', true],
]

test('nobody is anonymous on a configured listener unless it says so', () => {
  for (const [text, ...expected] of ANONYMOUS) {
    const found = load(text).config.listeners.map(({ allowAnonymous }) => allowAnonymous)
    assert.deepEqual(found, expected, text)
  }
})

test('per_listener_settings stays on once it is on', () => {
  const text = `per_listener_settings true
listener 1
password_file p
per_listener_settings false
listener 2
password_file q`
  assert.deepEqual(summary(text), ['1 mqtt plain p', '2 mqtt plain q'])
})

test('a listener that lets nobody in is worth a warning', () => {
  assert.deepEqual(warnings('listener 1883'), [
    '1: Nobody can connect to listener 1883: there is no password_file and allow_anonymous is false.',
  ])
  assert.deepEqual(warnings(MUTUAL), [])
})

test('values as C reads them: hexadecimal and octal', () => {
  assert.deepEqual(summary('listener 0x75B\nlistener 010\nallow_anonymous true'), [
    '1883 mqtt plain anonymous',
    '8 mqtt plain anonymous',
  ])
  const { limits } = load('max_packet_size 0X1000\nmax_inflight_messages 012').config
  assert.deepEqual([limits.maxPacketBytes, limits.maxInflightMessages], [4096, 10])
})

test('what follows a word is not looked at, and what follows a path belongs to it', () => {
  const text =
    'listener 1883 127.0.0.1 # inside\nallow_anonymous false # no\npassword_file  /a b #c \t'
  assert.deepEqual(summary(text), ['127.0.0.1:1883 mqtt plain /a b #c'])
  assert.deepEqual(summary('listener 1883 # every interface\nallow_anonymous true'), [
    '1883 mqtt plain anonymous',
  ])
})

test('0 and -1 take a bound away in Mosquitto; here the bound above it stays', () => {
  const text = `max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
global_max_connections -1
global_max_clients -1`
  const { limits } = load(text).config
  assert.equal(limits.maxInflightMessages, 65_535)
  assert.equal(limits.maxQueuedMessages, Number.MAX_SAFE_INTEGER)
  assert.equal(limits.maxQueuedBytes, limits.maxQueuedBytesTotal)
  assert.equal(limits.maxConnections, 100_000)
  assert.equal(limits.maxSessions, 200_000)
  const bounded = load('max_queued_messages 5\nglobal_max_clients 7\nmax_queued_bytes -3').config
  assert.deepEqual([bounded.limits.maxQueuedMessages, bounded.limits.maxSessions], [5, 7])
})

/** log_type and log_dest lines, and the level they come to. */
const LEVELS: readonly (readonly [string, string])[] = [
  ['', 'info'],
  ['log_type all', 'debug'],
  ['log_type error', 'error'],
  ['log_type warning\nlog_type error', 'warn'],
  ['log_type error\nlog_type notice', 'info'],
  ['log_type subscribe', 'debug'],
  ['log_type none', 'silent'],
  ['log_type all\nlog_type none', 'silent'],
  ['log_type none\nlog_type error', 'error'],
  ['log_dest none', 'silent'],
  ['log_dest none\nlog_dest stderr', 'info'],
]

/** log lines of a file, and where Mosquitto's lines go and which; undefined: JSON. */
const MOSQUITTO_LOGS: readonly (readonly [string, string | undefined])[] = [
  ['', undefined],
  ['log_timestamp false', undefined],
  ['log_type none', 'stderr: '],
  ['log_type debug\nlog_type subscribe', 'stderr: debug subscribe'],
  ['log_type error\nlog_type websockets', 'stderr: error websockets'],
  ['log_dest none', ': error warning notice information'],
  ['log_dest topic\nlog_dest stdout', 'topic stdout: error warning notice information'],
  ['log_dest stdout\nlog_dest none\nlog_dest file /l\nlog_type error', 'file /l: error'],
  ['log_dest syslog', 'stderr: error warning notice information'],
]

test("log_dest and log_type ask for Mosquitto's lines", () => {
  for (const [text, expected] of MOSQUITTO_LOGS) {
    const log = load(text).config.log.mosquitto
    const where = log?.destinations.map((to) => (to === 'file' ? `file ${log.file}` : to))
    const found = log === undefined ? undefined : `${where?.join(' ')}: ${log.types.join(' ')}`
    assert.equal(found, expected, text)
  }
  const log = (text: string, options = {}) => load(text, options).config.log.mosquitto
  assert.deepEqual(log('log_dest stderr', { verbosity: 'quiet' })?.destinations, [])
  assert.equal(log('log_type error', { verbosity: 'verbose' })?.types.length, 8)
  const environment = { MIDGE_LOG_LEVEL: 'warn' }
  assert.deepEqual(log('log_type all', { environment })?.types, ['error', 'warning'])
  const timed = log('log_type all\nlog_timestamp false\nlog_timestamp_format %F')
  assert.deepEqual([timed?.timestamp, timed?.timestampFormat], [false, '%F'])
})

test('log types come to the lowest level that has one of them', () => {
  for (const [text, level] of LEVELS) assert.equal(load(text).config.log.level, level, text)
})

test('-q wins over -v and both over file and environment', () => {
  const environment = { MIDGE_LOG_LEVEL: 'warn', LOG_LEVEL: 'ERROR' }
  const level = (text: string, options = {}) => load(text, options).config.log.level
  assert.equal(level('log_type error', { environment, verbosity: 'verbose' }), 'trace')
  assert.equal(level('log_type all', { environment, verbosity: 'quiet' }), 'silent')
  assert.equal(level('log_type all', { environment }), 'warn')
  assert.equal(level('log_type all', { environment: { LOG_LEVEL: 'ERROR' } }), 'error')
})

test('plugins that only hold what was built in are served by the same code', () => {
  const text = `listener 1883
listener 1884
global_plugin /usr/lib/mosquitto_password_file.so
plugin_opt_password_file /p
plugin_load acl C:\\mosquitto\\mosquitto_acl_file.dll
plugin_opt_acl_file /acl
listener 1885
plugin_use acl
`
  assert.deepEqual(summary(text), [
    '1883 mqtt plain /p',
    '1884 mqtt plain /p',
    '1885 mqtt plain /p /acl',
  ])
})

test('directives that ask for what happens anyway are neither warned about nor refused', () => {
  const text = `check_retain_source true
retain_available true
queue_qos0_messages false
upgrade_outgoing_qos false
message_size_limit 0
max_keepalive 65535
allow_duplicate_messages true
connection_messages true
set_tcp_nodelay false
enable_control_api false
listener 1883
allow_anonymous true
allow_zero_length_clientid true
accept_protocol_versions 5, 4,3
max_qos 2
tls_keyform pem
use_username_as_clientid false
`
  assert.deepEqual(warnings(text), [])
})

test('an ignored directive is warned about once, however often it stands there', () => {
  const text = 'listener 1\nmax_topic_alias 5\nlistener 2\nmax_topic_alias 5\nallow_anonymous true'
  assert.deepEqual(warnings(text), [
    "2: The 'max_topic_alias' option is ignored: a topic alias is MQTT 5, which is not spoken here yet.",
  ])
})

test('ciphers of one kind leave the other kind as it is', () => {
  const ciphers = (lines: string): string =>
    load(`listener 1\ncertfile c\nkeyfile k\n${lines}`).config.listeners[0]?.tls?.ciphers ?? ''
  assert.match(
    ciphers('ciphers ECDHE-RSA-AES128-GCM-SHA256'),
    /^TLS_[^:]+:.*:ECDHE-RSA-AES128-GCM-SHA256$/u,
  )
  assert.match(
    ciphers('ciphers_tls1.3 TLS_AES_128_GCM_SHA256'),
    /^TLS_AES_128_GCM_SHA256:ECDHE[^_]*/u,
  )
  assert.equal(ciphers('ciphers A\nciphers_tls1.3 TLS_B'), 'TLS_B:A')
  assert.equal(ciphers(''), '')
})

test('a user directive is taken as it stands: the start changes to it', () => {
  assert.equal(load('user mosquitto').config.user, 'mosquitto')
  assert.equal(load('').config.user, undefined)
})

test('a Config cannot be changed, not even deep inside', () => {
  const { config } = load(MUTUAL)
  assert.ok(Object.isFrozen(config.listeners) && Object.isFrozen(config.listeners[0]?.tls))
  assert.throws(() => Object.assign(config.limits, { maxSessions: 1 }), TypeError)
})
