import assert from 'node:assert/strict'
import { test } from 'node:test'
import { difference, withLivePart } from '../../config/index.ts'
import { DIRECTIVES } from '../../config/directives.ts'
import { load } from './in-memory.ts'
import type { Load } from './in-memory.ts'

const BASE = `listener 1883
password_file /p
listener 8883
certfile /c
keyfile /k
cafile /a
use_identity_as_username true
`

function changes(before: string, after: string, options: readonly [Load, Load] = [{}, {}]) {
  const { live, restart } = difference(
    load(before, options[0]).config,
    load(after, options[1]).config,
  )
  return {
    live: live.map(({ setting }) => setting),
    restart: restart.map(({ setting }) => setting),
  }
}

test('nothing changed: nothing to do', () => {
  assert.deepEqual(changes(BASE, `# another comment\n${BASE}`), { live: [], restart: [] })
})

/** What is added to the file, or put in place of a line, and what needs a restart. */
const RESTART: readonly (readonly [string, string, readonly string[]])[] = [
  ['listener 1883\n', 'listener 1884\n', ['listener 1883', 'listener 1884']],
  ['use_identity_as_username true\n', '', ['listener 8883: tls.useIdentityAsUsername']],
  ['', 'protocol websockets', ['listener 8883: protocol']],
  ['', 'require_certificate true', ['listener 8883: tls.requireCertificate']],
  ['', 'tls_version tlsv1.3', ['listener 8883: tls.minVersion']],
  ['', 'max_connections 5', ['listener 8883: maxConnections']],
  ['', 'max_qos 1', ['listener 8883: maxQos']],
  ['', 'mount_point a/', ['listener 8883: mountPoint']],
  ['/c', '/d', ['listener 8883: tls.certfile']],
  ['/k', '/l', ['listener 8883: tls.keyfile']],
  ['/a', '/b', ['listener 8883: tls.cafile']],
  ['', 'check_retain_source false', ['mqtt.checkRetainSource']],
  ['', 'midge_max_queued_bytes_total 5', ['limits.maxQueuedBytesTotal']],
  ['', 'midge_http_port 1', ['admin.host', 'admin.port']],
  [
    '',
    'midge_tenancy on',
    [
      'tenancy',
      'limits.tenantSharePercent',
      'listener 1883: accountAccess',
      'listener 8883: accountAccess',
    ],
  ],
  ['', 'user nobody', ['user']],
  ['', 'pid_file /run/p', ['pidFile']],
  ['', 'listener 9001', ['listener 9001']],
]

test('what is built into open sockets, files and queues needs a restart', () => {
  for (const [from, to, restart] of RESTART) {
    const after = from === '' ? `${BASE}${to}\n` : BASE.replace(from, to)
    const found = changes(BASE, after)
    assert.deepEqual(found.restart, restart, to)
    assert.deepEqual(found.live, [], to)
  }
})

const LOG = ['destinations', 'types', 'timestamp'].map((name) => `log.mosquitto.${name}`)
const ON_BOTH = (field: string) => [`listener 1883: ${field}`, `listener 8883: ${field}`]

const LIVE: readonly (readonly [string, string, readonly string[]])[] = [
  ['/p', '/q', ON_BOTH('passwordFile')],
  ['password_file /p\n', '', ON_BOTH('passwordFile')],
  ['', 'acl_file /x', ON_BOTH('aclFile')],
  ['', 'allow_anonymous true', ON_BOTH('allowAnonymous')],
  ['', 'listener_allow_anonymous true', ['listener 8883: allowAnonymous']],
  ['', 'allow_zero_length_clientid false', ON_BOTH('allowZeroLengthClientId')],
  ['', 'auto_id_prefix x-', ON_BOTH('autoIdPrefix')],
  ['', 'listener_auto_id_prefix y-', ['listener 8883: autoIdPrefix']],
  ['', 'log_type all', ['log.level', ...LOG]],
  ['', 'log_dest stdout', ['log.destination', ...LOG]],
  ['', 'clientid_prefixes p', ['mqtt.clientIdPrefix']],
  ['', 'connection_messages false', ['mqtt.connectionMessages']],
  ['', 'global_max_clients 5', ['limits.maxSessions']],
  ['', 'global_max_connections 5', ['limits.maxConnections']],
  ['', 'max_inflight_bytes 5', ['mqtt.maxInflightBytes']],
  ['', 'max_inflight_messages 5', ['limits.maxInflightMessages']],
  ['', 'max_keepalive 5', ['mqtt.maxKeepAlive']],
  ['', 'max_packet_size 5000', ['limits.maxPacketBytes']],
  ['', 'max_queued_bytes 5', ['limits.maxQueuedBytes']],
  ['', 'max_queued_messages 5', ['limits.maxQueuedMessages']],
  ['', 'message_size_limit 5', ['mqtt.maxPayloadBytes']],
  ['', 'persistent_client_expiration 5d', ['mqtt.sessionExpirySeconds']],
  ['', 'queue_qos0_messages true', ['mqtt.queueQos0']],
  ['', 'retain_available false', ['mqtt.retainAvailable']],
  ['', 'set_tcp_nodelay false', ['mqtt.tcpNoDelay']],
  ['', 'sys_interval 1', ['sysInterval']],
  ['', 'upgrade_outgoing_qos true', ['mqtt.upgradeOutgoingQos']],
  ['', 'midge_crl_missing open', ['revocation.whenMissing']],
  ['', 'midge_crl_stale refuse', ['revocation.whenStale']],
  ['', 'midge_without_crl refuse', ['revocation.withoutCrl']],
  ['', 'midge_denied_publish disconnect', ['deniedPublish']],
]

test('who may connect and do what, bounds, policies and the log change live', () => {
  for (const [from, to, live] of LIVE) {
    const after = from === '' ? `${BASE}${to}\n` : BASE.replace(from, to)
    assert.deepEqual(changes(BASE, after), { live, restart: [] }, to)
  }
})

test('the live part in force is all that was live, and nothing that waits', () => {
  for (const [from, to] of [...LIVE, ...RESTART]) {
    const after = from === '' ? `${BASE}${to}\n` : BASE.replace(from, to)
    const [{ config: before }, { config: wanted }] = [load(BASE), load(after)]
    const { live, restart } = difference(before, wanted)
    const inForce = withLivePart(before, wanted)
    assert.deepEqual(difference(before, inForce), { live, restart: [] }, to)
    // A later reload still finds what waits.
    assert.deepEqual(difference(inForce, wanted), { live: [], restart }, to)
  }
})

test('a mixed file: the live part is in force, of the listeners that are open too', () => {
  const before = load(BASE).config
  const text = `${BASE.replace('/c', '/d')}acl_file /x\nlistener 9001\nmax_connections 5\n`
  const wanted = load(text).config
  const inForce = withLivePart(before, wanted)
  assert.deepEqual(
    inForce.listeners.map(({ name, aclFile }) => [name, aclFile]),
    [
      ['1883', '/x'],
      ['8883', '/x'],
    ],
  )
  assert.equal(inForce.listeners[1]?.tls?.certfile, '/c')
})

test('what the lack of a CRL means waits with the crlfile it follows from', () => {
  const withCrl = `${BASE}crlfile /r\n`
  const names = ['revocation.withoutCrl', 'listener 8883: tls.crlfile']
  assert.deepEqual(changes(BASE, withCrl), { live: [], restart: names })
  assert.deepEqual(changes(withCrl, BASE), { live: [], restart: names })
  const [without, having] = [load(BASE).config, load(withCrl).config]
  assert.equal(withLivePart(without, having).revocation.withoutCrl, 'accept')
  assert.equal(withLivePart(having, without).revocation.withoutCrl, 'refuse')
})

test('another psk_file is read live, where pre-shared keys are asked for', () => {
  const text = 'listener 1\npsk_hint h\npsk_file /a\n'
  const expected = { live: ['listener 1: psk.file'], restart: [] }
  assert.deepEqual(changes(text, text.replace('/a', '/b')), expected)
  assert.deepEqual(changes(text, 'listener 1\npsk_hint h\n'), expected)
  const { config: before } = load(text)
  const { config: wanted } = load(text.replace('/a', '/b'))
  assert.equal(withLivePart(before, wanted).listeners[0]?.psk?.file, '/b')
  const hinted = changes('listener 1\n', text)
  assert.deepEqual(hinted.live, [])
  assert.equal(hinted.restart.includes('listener 1: psk.file'), true)
})

/** Without log_dest or log_type they say nothing. */
const ONLY_WITH_OTHERS = ['log_timestamp', 'log_timestamp_format']
/** Where what follows belongs to, not a setting by itself. */
const STRUCTURE = ['per_listener_settings']

test('the table says reload of exactly the directives that change live', () => {
  const reload = DIRECTIVES.filter((directive) => directive.reload === 'yes')
  const tried = LIVE.map(([from, to]) => (from === '' ? (to.split(' ')[0] ?? '') : ''))
  const others = ['password_file', 'psk_file', ...ONLY_WITH_OTHERS, ...STRUCTURE]
  assert.deepEqual(
    reload.map(({ name }) => name).toSorted(),
    [...tried.filter((name) => name !== '' && !name.startsWith('midge_')), ...others].toSorted(),
  )
})

test('a CA where there was none needs a restart: whether one is asked for is fixed at start', () => {
  const without = 'listener 1\ncertfile c\nkeyfile k\npassword_file p\n'
  assert.deepEqual(changes(without, `${without}cafile a`).restart, ['listener 1: tls.cafile'])
})

test('the order of listeners does not matter', () => {
  const one = 'listener 1\nlistener 2\nallow_anonymous true'
  const other = 'listener 2\nlistener 1\nallow_anonymous true'
  assert.deepEqual(changes(one, other), { live: [], restart: [] })
})

test('secrets are told to have changed, and not shown', () => {
  const url = (password: string) => ({
    environment: { DATABASE_URL: `postgres://u:${password}@h/d` },
  })
  const { config: before } = load(BASE, url('eins'))
  const { config: after } = load(BASE, url('zwei'))
  const found = difference(before, after)
  assert.deepEqual(found.restart, [
    { setting: 'ingest.database.connectionString', from: '(not shown)', to: '(not shown)' },
  ])
  const pg = (password: string) => ({ environment: { PG_PASS: password } })
  const other = difference(load(BASE, pg('eins')).config, load(BASE, pg('zwei')).config)
  assert.deepEqual(other.restart, [
    { setting: 'ingest.database.password', from: '(not shown)', to: '(not shown)' },
  ])
})
