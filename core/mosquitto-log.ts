/**
 * Log events as Mosquitto 2.1 would write them. What people, fail2ban and dashboards match (connects,
 * disconnects, listeners) has Mosquitto's words; every other event is its own sentence behind
 * `Error:` or `Warning:`.
 */

/** `log_type`, without `none` and `all`. */
export type MosquittoLogType =
  | 'error'
  | 'warning'
  | 'notice'
  | 'information'
  | 'debug'
  | 'subscribe'
  | 'unsubscribe'

/** Last level of `$SYS/broker/log/…`; debug lines are not published. */
export const LOG_TOPICS: ReadonlyMap<MosquittoLogType, string> = new Map([
  ['error', 'E'],
  ['warning', 'W'],
  ['notice', 'N'],
  ['information', 'I'],
  ['subscribe', 'M/subscribe'],
  ['unsubscribe', 'M/unsubscribe'],
])

export interface MosquittoLine {
  readonly type: MosquittoLogType
  readonly text: string
}

/** One line of our log, parsed. */
export type LogRecord = Readonly<Record<string, unknown>>

type Lines = (record: LogRecord) => readonly MosquittoLine[]

const line = (type: MosquittoLogType, text: string): readonly MosquittoLine[] => [{ type, text }]

const EVENTS: ReadonlyMap<string, Lines> = new Map<string, Lines>([
  ['listener.opened', listenerOpened],
  [
    'connection.opened',
    (record) =>
      line(
        'notice',
        `New connection from ${placeOf(record)} on port ${of(record, 'listenerPort')}.`,
      ),
  ],
  ['session.opened', sessionOpened],
  ['connection.closed', connectionClosed],
  ['peer.refused', peerRefused],
  // The line of its connection.closed says it, once for each connection.
  ['connect.refused', () => []],
  // `… running` says it.
  ['midge.started', () => []],
  [
    'subscription.granted',
    (record) =>
      line('subscribe', `${of(record, 'clientId')} ${of(record, 'qos')} ${of(record, 'filter')}`),
  ],
  [
    'subscription.ended',
    (record) => line('unsubscribe', `${of(record, 'clientId')} ${of(record, 'filter')}`),
  ],
])

/** None for an event that Mosquitto has no line for. */
export function mosquittoLines(record: LogRecord): readonly MosquittoLine[] {
  const known = EVENTS.get(of(record, 'event'))
  return known === undefined ? plainLine(record) : known(record)
}

function plainLine(record: LogRecord): readonly MosquittoLine[] {
  const message = of(record, 'msg')
  const { err } = record
  const why =
    of(record, 'problem') ||
    (typeof err === 'object' && err !== null && 'message' in err ? String(err.message) : '')
  const text = why === '' || message.includes(why) ? message : `${message}: ${why}`
  switch (record['level']) {
    case 'error':
    case 'fatal':
      return line('error', `Error: ${text}`)
    case 'warn':
      return line('warning', `Warning: ${text}`)
    case 'info':
      return line('information', text)
    default:
      return line('debug', text)
  }
}

function listenerOpened(record: LogRecord): readonly MosquittoLine[] {
  const socketPath = of(record, 'socketPath')
  if (socketPath !== '') {
    return line('information', `Opening unix listen socket on path ${socketPath}.`)
  }
  const port = of(record, 'port')
  if (record['protocol'] === 'websockets') {
    return line('information', `Opening websockets listen socket on port ${port}.`)
  }
  const address = of(record, 'address')
  const families =
    record['family'] === 'ipv4' || record['family'] === 'ipv6'
      ? [record['family']]
      : address === ''
        ? ['ipv4', 'ipv6']
        : [address.includes(':') ? 'ipv6' : 'ipv4']
  return families.flatMap((family) =>
    line('information', `Opening ${family} listen socket on port ${port}.`),
  )
}

function sessionOpened(record: LogRecord): readonly MosquittoLine[] {
  const version = record['protocolLevel'] === 3 ? 1 : 2
  const user = of(record, 'user')
  const named = user === '' ? '' : `, u'${user}'`
  const facts = `p${version}, c${record['clean'] === true ? 1 : 0}, k${of(record, 'keepAlive')}`
  return line(
    'notice',
    `New client connected from ${placeOf(record)} as ${of(record, 'clientId')} (${facts}${named}).`,
  )
}

/** Of close-reason.ts; `connect_refused` is told by what refused it. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ['connection_lost', 'connection closed by client'],
  ['connect_timeout', 'exceeded timeout'],
  ['keep_alive_timeout', 'exceeded timeout'],
  ['malformed_packet', 'malformed packet'],
  ['protocol_error', 'protocol error'],
  ['packet_too_large', 'oversize packet'],
  ['session_taken_over', 'session taken over'],
  ['publish_denied', 'not authorised'],
  ['not_authorised', 'not authorised'],
  ['not_stored', 'server unavailable'],
  ['too_slow', 'quota exceeded'],
  ['certificate_revoked', 'administrative action'],
  ['certificate_expired', 'administrative action'],
  ['certificate_untrusted', 'administrative action'],
  ['stopping', 'administrative action'],
])

const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['client_id', 'client identifier not valid'],
  ['protocol_level', 'protocol error'],
  ['authentication_busy', 'server busy'],
  ['bad_credentials', 'not authorised'],
])

function connectionClosed(record: LogRecord): readonly MosquittoLine[] {
  const place = placeOf(record)
  const id = of(record, 'clientId') || of(record, 'peer')
  const client = `Client ${id} [${place}] disconnected`
  const reason = of(record, 'reason')
  if (reason === 'client_disconnected') return line('notice', `${client}.`)
  if (reason === 'connect_refused') {
    const why = REFUSALS.get(of(record, 'refusal')) ?? 'not authorised'
    return line('notice', `${client}: ${why}.`)
  }
  const why = REASONS.get(reason) ?? 'unspecified error'
  return line('notice', `${client}: ${why}.`)
}

function peerRefused(record: LogRecord): readonly MosquittoLine[] {
  const peer = of(record, 'peer')
  const detail = of(record, 'detail')
  switch (record['reason']) {
    case 'max_connections':
      return line('notice', `Client connection from ${peer} denied: max_connections exceeded.`)
    case 'proxy_header':
      return line('notice', 'Connection rejected, corrupt PROXY header.')
    case 'proxy_no_tls':
    case 'proxy_no_certificate': {
      // `192.0.2.1:51234 did not connect using TLS`
      const [client = peer, ...words] = detail.split(' ')
      return line('notice', `Connection from ${client} rejected, client ${words.join(' ')}.`)
    }
    case 'foreign_origin':
      return line('notice', `Client ${peer} disconnected: non-matching http origin.`)
    default:
      return line('notice', `Client connection from ${peer} failed: ${detail}.`)
  }
}

function placeOf(record: LogRecord): string {
  return `${of(record, 'peer')}:${of(record, 'peerPort')}`
}

/** As text on one line: what a client chose must not begin another. */
function of(record: LogRecord, key: string): string {
  const value = record[key]
  const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu, '?')
}
