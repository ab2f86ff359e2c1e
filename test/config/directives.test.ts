import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collect } from '../../config/collect.ts'
import { DIRECTIVES } from '../../config/directives.ts'
import { SettingValues } from '../../config/environment.ts'
import { ConfigErrors } from '../../config/index.ts'
import { listenersOf } from '../../config/listeners.ts'
import { readConf } from '../../config/mosquitto-conf.ts'
import { mqttOf } from '../../config/mqtt.ts'
import { Problems } from '../../config/problems.ts'
import { FILE, inMemory, load } from './in-memory.ts'

/** The assembled parts, whatever was refused on the way. */
function assembled(text: string) {
  const problems = new Problems()
  const { lines } = readConf(FILE, inMemory({ [FILE]: text }), problems)
  const blocks = collect(FILE, lines, problems)
  const values = new SettingValues({}, new Map(), problems)
  return { mqtt: mqttOf(blocks), listener: listenersOf(blocks, [], values, problems)[0] }
}

/** A directive that came after its field, and that field. */
const FIELDS: readonly (readonly [
  string,
  (found: ReturnType<typeof assembled>) => unknown,
  unknown,
])[] = [
  ['check_retain_source false', ({ mqtt }) => mqtt.checkRetainSource, false],
  ['clientid_prefixes a-', ({ mqtt }) => mqtt.clientIdPrefix, 'a-'],
  ['max_inflight_bytes 7', ({ mqtt }) => mqtt.maxInflightBytes, 7],
  ['max_keepalive 60', ({ mqtt }) => mqtt.maxKeepAlive, 60],
  ['message_size_limit 9', ({ mqtt }) => mqtt.maxPayloadBytes, 9],
  ['queue_qos0_messages true', ({ mqtt }) => mqtt.queueQos0, true],
  ['retain_available false', ({ mqtt }) => mqtt.retainAvailable, false],
  ['upgrade_outgoing_qos true', ({ mqtt }) => mqtt.upgradeOutgoingQos, true],
  ['allow_zero_length_clientid false', ({ listener }) => listener?.allowZeroLengthClientId, false],
  ['auto_id_prefix x-', ({ listener }) => listener?.autoIdPrefix, 'x-'],
  ['listener_auto_id_prefix y-', ({ listener }) => listener?.autoIdPrefix, 'y-'],
  ['accept_protocol_versions 5,4', ({ listener }) => listener?.protocolLevels, [4, 5]],
  ['bind_interface eth0', ({ listener }) => listener?.bindInterface, 'eth0'],
  ['enable_proxy_protocol 1', ({ listener }) => listener?.proxyProtocol?.version, 1],
  [
    'enable_proxy_protocol 2\nproxy_protocol_v2_require_tls true',
    ({ listener }) => listener?.proxyProtocol,
    { version: 2, requireTls: true },
  ],
  ['max_qos 0', ({ listener }) => listener?.maxQos, 0],
  ['maximum_qos 1', ({ listener }) => listener?.maxQos, 1],
  ['mount_point site/', ({ listener }) => listener?.mountPoint, 'site/'],
  ['socket_domain ipv6', ({ listener }) => listener?.family, 'ipv6'],
  ['use_username_as_clientid true', ({ listener }) => listener?.useUsernameAsClientId, true],
  [
    'websockets_origin a\nwebsockets_origin b',
    ({ listener }) => listener?.websocketOrigins,
    ['a', 'b'],
  ],
  ['capath /ca\ncertfile c\nkeyfile k', ({ listener }) => listener?.tls?.capath, '/ca'],
  ['dhparamfile /dh\ncertfile c\nkeyfile k', ({ listener }) => listener?.tls?.dhparamfile, '/dh'],
  [
    'capath /ca\nrequire_certificate true\ncertfile c\nkeyfile k',
    ({ listener }) => listener?.tls?.requireCertificate,
    true,
  ],
  [
    'disable_client_cert_date_checks true\ncertfile c\nkeyfile k',
    ({ listener }) => listener?.tls?.ignoreCertificateDates,
    true,
  ],
  [
    'use_subject_as_username true\ncertfile c\nkeyfile k\ncafile a',
    ({ listener }) => listener?.tls?.useSubjectAsUsername,
    true,
  ],
  [
    'psk_hint h\npsk_file f\nuse_identity_as_username true\nciphers PSK',
    ({ listener }) => listener?.psk,
    {
      hint: 'h',
      file: 'f',
      useIdentityAsUsername: true,
      ciphers: 'PSK',
      handshakeTimeoutMs: 20_000,
      maxHandshakes: 500,
      maxHandshakesPerAddress: 50,
    },
  ],
]

test('each directive is in its field, also one that is not supported yet', () => {
  for (const [text, field, expected] of FIELDS) {
    assert.deepEqual(field(assembled(`listener 1\n${text}`)), expected, text)
  }
  assert.equal(assembled('listener 0 /s').listener?.socketPath, '/s')
  const tried = new Set(
    FIELDS.flatMap(([text]) => text.split('\n').map((line) => line.split(' ')[0])),
  )
  const pending = DIRECTIVES.filter(({ status }) => status.is === 'pending').map(({ name }) => name)
  const missing = pending.filter((name) => !tried.has(name))
  assert.deepEqual(missing, ['connection'])
})

const CONTEXTS = [
  '',
  'listener 1\n',
  'per_listener_settings true\nlistener 1\n',
  'connection b\naddress h\ntopic #\n',
  'plugin_load p mosquitto_acl_file.so\n',
]

const VALUES = [
  '',
  ' ',
  'true',
  '0',
  '1',
  '-1',
  '99999999999999999999',
  '0x',
  '1 2 3 4 5 6',
  '#',
  '# #',
  '"',
  '""',
  '" "',
  '+/#',
  '\t',
  '\u0000',
  '\ud800',
  '\uffff',
  'file',
  'ß\u0301',
  '__proto__',
  'constructor',
  ':',
  '::1',
  'h:0',
  'x'.repeat(70_000),
]

test('no value of any directive, in any block, does more than be refused', () => {
  for (const { name } of DIRECTIVES) {
    for (const context of CONTEXTS) {
      for (const value of VALUES) {
        try {
          load(`${context}${name} ${value}`)
        } catch (err) {
          if (!(err instanceof ConfigErrors)) throw err
          assert.ok(err.errors.length > 0)
        }
      }
    }
  }
})

test('bytes of any kind do no more than be refused', () => {
  let seed = 1
  const next = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16
  for (let i = 0; i < 300; i++) {
    const bytes = Uint8Array.from({ length: next() % 400 }, () => next() % 256)
    try {
      load(bytes)
    } catch (err) {
      if (!(err instanceof ConfigErrors)) throw err
    }
  }
})
