import { anything, boolean, empty, integer, invalid, text, word, wordsOf } from '../values.ts'
import type { ValueKind } from '../values.ts'
import { directive, HONOURED, ignored, refused } from './directive.ts'
import type { Directive } from './directive.ts'

const logType = word(
  'debug',
  'error',
  'warning',
  'notice',
  'information',
  'subscribe',
  'unsubscribe',
  'websockets',
  'internal',
  'none',
  'all',
)

const LOG_DESTINATIONS = ['stdout', 'stderr', 'syslog', 'topic', 'none', 'dlt', 'android']

const logDestination: ValueKind = {
  description: `${LOG_DESTINATIONS.map((to) => `\`${to}\``).join(', ')}, \`file PATH\``,
  parse(label, given) {
    const to = wordsOf(given.rest)[0]
    if (to === undefined) return { problem: empty(label) }
    if (LOG_DESTINATIONS.includes(to)) return { value: { kind: 'text', text: to } }
    if (to !== 'file') return { problem: invalid(label, to) }
    const path = text().parse(label, { ...given, rest: given.rest.replace(/^ *file/u, '') })
    if ('problem' in path) {
      const missing = path.problem === empty(label)
      return missing ? { problem: 'Empty "log_dest file" value in configuration.' } : path
    }
    return path.value.kind === 'text'
      ? { value: { kind: 'text', text: `file ${path.value.text}` } }
      : path
  },
}

const UNITS = new Map([
  ['s', 1],
  ['h', 3600],
  ['d', 86_400],
  ['w', 604_800],
  ['m', 2_592_000],
  ['y', 31_536_000],
])

const duration: ValueKind = {
  description: 'number and `s`, `h`, `d`, `w`, `m` or `y`',
  parse(label, { rest }) {
    const given = wordsOf(rest)[0]
    if (given === undefined) return { problem: empty(label) }
    const [, digits = '', unit = ''] = /^([0-9]{1,9})([shdwmy])$/u.exec(given) ?? []
    const seconds = Number(digits) * (UNITS.get(unit) ?? 0)
    if (seconds === 0) {
      return { problem: `Invalid '${label}' duration in configuration.` }
    }
    return { value: { kind: 'integer', integer: seconds } }
  },
}

const IN_MEMORY = ignored(
  'sessions, queued and retained messages live in memory for now and end with the process',
)
const RELOAD = { reload: 'yes' } as const
const AS_OF_0 = { min: 0, raise: true } as const
const BUFFER = integer({
  min: 0,
  max: 65_535,
  outside: () => 'Packet buffer size must be between 0 and 65535 inclusive.',
})
const BUFFERS = ignored('buffers grow and shrink by themselves, below the limits of this broker')

/** Directives that belong to no block; they may stand anywhere. */
export const GLOBAL: readonly Directive[] = [
  directive('allow_duplicate_messages', 'global', boolean, ignored('Mosquitto deprecated it'), {
    neutral: ['true'],
  }),
  directive('autosave_interval', 'global', integer(AS_OF_0), IN_MEMORY),
  directive('autosave_on_changes', 'global', boolean, IN_MEMORY, { neutral: ['false'] }),
  directive('check_retain_source', 'global', boolean, HONOURED),
  directive('clientid_prefixes', 'global', text(), HONOURED, RELOAD),
  directive('connection_messages', 'global', boolean, HONOURED, RELOAD),
  directive(
    'enable_control_api',
    'global',
    boolean,
    refused(
      'nothing answers on $CONTROL here, and an ACL written for it would open it to everybody; change the file and reload instead',
    ),
    { neutral: ['false'] },
  ),
  directive('global_max_clients', 'global', integer(), HONOURED, RELOAD),
  directive('global_max_connections', 'global', integer(), HONOURED, RELOAD),
  directive('log_dest', 'global', logDestination, HONOURED, { repeat: 'each', reload: 'yes' }),
  directive(
    'log_facility',
    'global',
    integer({ min: 0, max: 7 }),
    ignored('there is no syslog output'),
  ),
  directive('log_timestamp', 'global', boolean, HONOURED, { reload: 'yes' }),
  directive('log_timestamp_format', 'global', text(), HONOURED, { reload: 'yes' }),
  directive('log_type', 'global', logType, HONOURED, { repeat: 'each', reload: 'yes' }),
  directive('max_inflight_bytes', 'global', integer(AS_OF_0), HONOURED, RELOAD),
  directive(
    'max_inflight_messages',
    'global',
    integer({
      ...AS_OF_0,
      max: 65_535,
      outside: () => "'max_inflight_messages' must be <= 65535.",
    }),
    HONOURED,
    RELOAD,
  ),
  directive('max_keepalive', 'global', integer({ min: 0, max: 65_535 }), HONOURED, RELOAD),
  directive(
    'max_packet_size',
    'global',
    integer({ min: 20, outside: () => "'max_packet_size' must be >= 20." }),
    HONOURED,
    RELOAD,
  ),
  directive('max_queued_bytes', 'global', integer(AS_OF_0), HONOURED, RELOAD),
  directive('max_queued_messages', 'global', integer(AS_OF_0), HONOURED, RELOAD),
  directive(
    'memory_limit',
    'global',
    integer({ min: 0, wide: true }),
    ignored('sessions, queues, retained messages and packets have bounds of their own'),
  ),
  directive(
    'message_size_limit',
    'global',
    integer({ min: 0, max: 268_435_455 }),
    HONOURED,
    RELOAD,
  ),
  directive('packet_buffer_size', 'global', BUFFER, BUFFERS),
  directive('websockets_headers_size', 'global', BUFFER, BUFFERS, { key: 'packet_buffer_size' }),
  directive('persistence', 'global', boolean, IN_MEMORY, { neutral: ['false'] }),
  directive('retained_persistence', 'global', boolean, IN_MEMORY, {
    key: 'persistence',
    neutral: ['false'],
  }),
  directive('persistence_file', 'global', text(), IN_MEMORY),
  directive('persistence_location', 'global', text(), IN_MEMORY),
  directive('persistent_client_expiration', 'global', duration, HONOURED, RELOAD),
  directive('pid_file', 'global', text(), HONOURED),
  directive('queue_qos0_messages', 'global', boolean, HONOURED, RELOAD),
  directive('retain_available', 'global', boolean, HONOURED, RELOAD),
  directive(
    'retain_expiry_interval',
    'global',
    integer({ min: 1, outside: () => 'retain_expiry_interval must be >= 1.' }),
    ignored('only MQTT 5 lets a retained message expire, and MQTT 5 is not spoken here yet'),
  ),
  directive(
    'retry_interval',
    'global',
    anything,
    ignored('messages are sent again when a client comes back, as MQTT 3.1.1 asks'),
  ),
  directive('set_tcp_nodelay', 'global', boolean, HONOURED, RELOAD),
  directive('sys_interval', 'global', integer({ min: 0, max: 65_535 }), HONOURED, RELOAD),
  directive('upgrade_outgoing_qos', 'global', boolean, HONOURED, RELOAD),
  directive('user', 'global', text(), HONOURED, { repeat: 'last' }),
  directive(
    'websockets_log_level',
    'global',
    integer(),
    ignored('it belongs to a library that is not used here'),
  ),
]
