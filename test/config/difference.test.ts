import assert from 'node:assert/strict'
import { test } from 'node:test'
import { difference } from '../../config/index.ts'
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
  ['', 'max_packet_size 5000', ['limits.maxPacketBytes']],
  ['', 'sys_interval 1', ['sysInterval']],
  ['', 'midge_http_port 1', ['admin.host', 'admin.port']],
  ['', 'midge_tenancy on', ['tenancy']],
  ['', 'user nobody', ['user']],
  ['', 'listener 9001', ['listener 9001']],
]

test('what is built into open sockets and queues needs a restart', () => {
  for (const [from, to, restart] of RESTART) {
    const after = from === '' ? `${BASE}${to}\n` : BASE.replace(from, to)
    assert.deepEqual(changes(BASE, after), { live: [], restart }, to)
  }
})

const LOG = ['destinations', 'types', 'timestamp'].map((name) => `log.mosquitto.${name}`)

const LIVE: readonly (readonly [string, string, readonly string[]])[] = [
  ['/p', '/q', ['listener 1883: passwordFile', 'listener 8883: passwordFile']],
  ['/c', '/d', ['listener 8883: tls.certfile']],
  ['/k', '/l', ['listener 8883: tls.keyfile']],
  ['/a', '/b', ['listener 8883: tls.cafile']],
  ['', 'crlfile /r', ['revocation.withoutCrl', 'listener 8883: tls.crlfile']],
  ['', 'acl_file /x', ['listener 1883: aclFile', 'listener 8883: aclFile']],
  ['', 'allow_anonymous true', ['listener 1883: allowAnonymous', 'listener 8883: allowAnonymous']],
  ['', 'listener_allow_anonymous true', ['listener 8883: allowAnonymous']],
  ['', 'log_type all', ['log.level', ...LOG]],
  ['', 'log_dest stdout', ['log.destination', ...LOG]],
  ['', 'midge_crl_stale refuse', ['revocation.whenStale']],
  ['', 'midge_denied_publish disconnect', ['deniedPublish']],
]

test('who may connect and do what, certificates, lists and the log level change live', () => {
  for (const [from, to, live] of LIVE) {
    const after = from === '' ? `${BASE}${to}\n` : BASE.replace(from, to)
    assert.deepEqual(changes(BASE, after), { live, restart: [] }, to)
  }
})

test('another psk_file is read live', () => {
  const text = 'listener 1\npsk_hint h\npsk_file /a\n'
  const expected = { live: ['listener 1: psk.file'], restart: [] }
  assert.deepEqual(changes(text, text.replace('/a', '/b')), expected)
})

/** Without log_dest or log_type they say nothing. */
const ONLY_WITH_OTHERS = ['log_timestamp', 'log_timestamp_format']

test('the table says reload of exactly the directives that change live', () => {
  const reload = DIRECTIVES.filter((directive) => directive.reload).map(({ name }) => name)
  const tried = LIVE.map(([from, to]) => (from === '' ? (to.split(' ')[0] ?? '') : ''))
  const byFile = ['password_file', 'certfile', 'keyfile', 'cafile', 'psk_file', ...ONLY_WITH_OTHERS]
  assert.deepEqual(
    reload.toSorted(),
    [...tried.filter((name) => name !== '' && !name.startsWith('midge_')), ...byFile].toSorted(),
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
