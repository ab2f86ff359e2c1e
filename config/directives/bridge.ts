import { boolean, empty, integer, invalid, text, word, words, wordsOf } from '../values.ts'
import type { ValueKind } from '../values.ts'
import { directive, PENDING, WITH_ITS_BLOCK } from './directive.ts'
import type { Directive } from './directive.ts'

const count = integer({ min: 1, raise: true })
const notNegative = integer({ min: 0, raise: true })

const bounded = (max: number, problem: string): ValueKind =>
  integer({ min: 0, max, outside: () => problem })

const tcpKeepalive: ValueKind = {
  description: 'idle, interval, count',
  parse(label, { rest }) {
    const names = ['idle', 'interval', 'counter']
    const given = wordsOf(rest)
    for (const [i, name] of names.entries()) {
      const parsed = integer().parse(`${label}_${name}`, { rest: given[i] ?? '', malformed: false })
      if ('problem' in parsed) return parsed
      if (parsed.value.kind === 'integer' && parsed.value.integer <= 0) {
        return { problem: `invalid TCP keepalive ${name} value.` }
      }
    }
    return { value: { kind: 'words', words: given.slice(0, 3) } }
  },
}

const receiveMaximum = integer({
  min: 1,
  max: 65_535,
  outside: (label, value) =>
    value <= 0 ? `${label} must be greater than 0.` : `${label} must be lower than 65535.`,
})

const sessionExpiry = integer({ min: 0, outside: (label) => `${label} must not be negative.` })

const startType: ValueKind = {
  description: '`automatic`, `lazy`, `once`',
  parse(label, given) {
    if (wordsOf(given.rest)[0] === 'manual') return { problem: 'Manual start_type not supported.' }
    return word('automatic', 'lazy', 'once').parse(label, given)
  },
}

const restartTimeout: ValueKind = {
  description: 'constant, or base and cap, or base, cap and stable seconds',
  parse(label, { rest }) {
    const given = wordsOf(rest).slice(0, 3)
    if (given.length === 0) return { problem: empty(label) }
    const stranger = given.find((word) => !/^-?[0-9]{1,9}$/u.test(word))
    if (stranger !== undefined) return { problem: invalid(label, stranger) }
    const [base = 0, cap = base, stable = 0] = given.map(Number)
    if (cap < base) return { problem: 'backoff cap is lower than the base in restart_timeout.' }
    if (stable < 0) return { problem: 'stable connection period cannot be negative.' }
    return { value: { kind: 'words', words: given } }
  },
}

const inBridge = (name: string, value: ValueKind, options?: { key?: string; label?: string }) =>
  directive(name, 'bridge', value, WITH_ITS_BLOCK, options)

const either = (names: readonly [string, string], value: ValueKind, label?: string) =>
  names.map((name) => inBridge(name, value, { key: names[0], label: label ?? name }))

/**
 * A `connection` block: an upstream broker. Blocks are read and checked in full, so that a file is
 * known to be right before it is needed, and then refused at the line that opens them.
 */
export const BRIDGE: readonly Directive[] = [
  directive('connection', 'opening', words, PENDING),
  ...['address', 'addresses'].map((name) =>
    directive(name, 'bridge', words, WITH_ITS_BLOCK, { key: 'address', repeat: 'each' }),
  ),
  directive('topic', 'bridge', text(), WITH_ITS_BLOCK, { repeat: 'each' }),
  inBridge('bridge_attempt_unsubscribe', boolean),
  inBridge('bridge_bind_address', text()),
  inBridge('bridge_max_packet_size', notNegative),
  inBridge(
    'bridge_max_topic_alias',
    bounded(65_535, 'bridge_max_topic_alias must be > 0 and <= 65535.'),
  ),
  inBridge('bridge_outgoing_retain', boolean),
  inBridge('bridge_protocol_version', word('mqttv31', 'mqttv311', 'mqttv50')),
  inBridge('bridge_receive_maximum', receiveMaximum),
  inBridge('bridge_reload_type', word('lazy', 'immediate')),
  inBridge('bridge_session_expiry_interval', sessionExpiry),
  inBridge('bridge_tcp_keepalive', tcpKeepalive),
  inBridge(
    'bridge_tcp_user_timeout',
    integer({ min: 0, outside: () => 'invalid TCP user timeout value.' }),
  ),
  inBridge('cleansession', boolean),
  inBridge('local_cleansession', boolean),
  ...either(['remote_clientid', 'clientid'], text(), 'bridge remote clientid'),
  inBridge('local_clientid', text(), { label: 'bridge local clientd' }),
  ...either(['remote_username', 'username'], text(), 'bridge remote_username'),
  ...either(['remote_password', 'password'], text(), 'bridge remote_password'),
  inBridge('local_username', text(), { label: 'bridge local_username' }),
  inBridge('local_password', text(), { label: 'bridge local_password' }),
  inBridge(
    'keepalive_interval',
    integer({
      min: 5,
      raise: true,
      max: 65_535,
      outside: () => 'Bridge keepalive value too high.',
    }),
  ),
  inBridge('idle_timeout', count),
  inBridge('threshold', count),
  inBridge('notifications', boolean),
  inBridge('notifications_local_only', boolean),
  inBridge('notification_topic', text()),
  inBridge('restart_timeout', restartTimeout),
  inBridge('round_robin', boolean),
  inBridge('start_type', startType),
  inBridge('try_private', boolean),
  inBridge('bridge_cafile', text()),
  inBridge('bridge_capath', text()),
  inBridge('bridge_tls_use_os_certs', boolean),
  inBridge('bridge_certfile', text()),
  directive('bridge_keyfile', 'bridge', text(), WITH_ITS_BLOCK, { repeat: 'last' }),
  inBridge('bridge_insecure', boolean),
  inBridge('bridge_tls_version', word('tlsv1.2', 'tlsv1.3')),
  inBridge('bridge_alpn', text()),
  inBridge('bridge_ciphers', text()),
  inBridge('bridge_ciphers_tls1.3', text()),
  inBridge('bridge_identity', text()),
  inBridge('bridge_psk', text()),
  inBridge('bridge_require_ocsp', boolean),
]
