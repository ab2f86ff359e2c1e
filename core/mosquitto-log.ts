/**
 * Log events as Mosquitto 2.1 would write them. What people, fail2ban and dashboards match (connects,
 * disconnects, listeners) has Mosquitto's words; every other event is its own sentence behind
 * `Error:` or `Warning:`.
 */
import type { LogLevel } from './log.ts'
import { textOf as of, type LogRecord } from './log-record.ts'
import { deniedLine, receivedLines, sentLine, willLines } from './mosquitto-packets.ts'
import { disconnectReason } from './mosquitto-reasons.ts'

export type { LogRecord } from './log-record.ts'

/** `log_type`, without `none` and `all`. */
export type MosquittoLogType =
  | 'error'
  | 'warning'
  | 'notice'
  | 'information'
  | 'debug'
  | 'subscribe'
  | 'unsubscribe'
  | 'websockets'

/** Last level of `$SYS/broker/log/…`; debug lines are not published. */
export const LOG_TOPICS: ReadonlyMap<MosquittoLogType, string> = new Map([
  ['error', 'E'],
  ['warning', 'W'],
  ['notice', 'N'],
  ['information', 'I'],
  ['subscribe', 'M/subscribe'],
  ['unsubscribe', 'M/unsubscribe'],
  ['websockets', 'WS'],
])

/** The finest level of our lines from which lines of these types are made. */
export function finestLevelOf(types: readonly MosquittoLogType[]): LogLevel {
  if (types.includes('debug')) return 'trace'
  // Who came and went, and what it subscribed to.
  const ofDebug = ['notice', 'subscribe', 'unsubscribe'] as const
  if (ofDebug.some((type) => types.includes(type))) return 'debug'
  return types.length === 0 ? 'silent' : 'info'
}

export interface MosquittoLine {
  readonly type: MosquittoLogType
  readonly text: string
}

type Lines = (record: LogRecord) => readonly MosquittoLine[]

const line = (type: MosquittoLogType, text: string): readonly MosquittoLine[] => [{ type, text }]

const debug = (texts: readonly string[]): readonly MosquittoLine[] =>
  texts.map((text) => ({ type: 'debug', text }))

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
  ['packet.received', (record) => debug(receivedLines(record))],
  ['packet.sent', (record) => debug([sentLine(record)])],
  ['publish.denied', (record) => debug([deniedLine(record)])],
  ['connection.closed', connectionClosed],
  ['peer.refused', peerRefused],
  // The line of its connection.closed says it, once for each connection.
  ['connect.refused', () => []],
  // `… running` says it.
  ['midge.started', () => []],
  // Below the line of their SUBSCRIBE or UNSUBSCRIBE, each filter before what became of it.
  ['subscription.refused', (record) => debug([wantedFilter(record)])],
  [
    'subscription.granted',
    (record) => [...debug([wantedFilter(record)]), ...line('subscribe', grantOf(record))],
  ],
  [
    'subscription.ended',
    (record) => [
      ...debug([`\t${of(record, 'filter')}`]),
      ...line('unsubscribe', `${of(record, 'clientId')} ${of(record, 'filter')}`),
    ],
  ],
])

function wantedFilter(record: LogRecord): string {
  return `\t${of(record, 'filter')} (QoS ${of(record, 'qos')})`
}

function grantOf(record: LogRecord): string {
  return `${of(record, 'clientId')} ${of(record, 'qos')} ${of(record, 'filter')}`
}

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
    (typeof err === 'object' && err !== null ? of({ ...err }, 'message') : '')
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
  const user = of(record, 'user')
  const named = user === '' ? '' : `, u'${user}'`
  const facts = `p${of(record, 'protocolLevel')}, c${record['clean'] === true ? 1 : 0}, k${of(record, 'keepAlive')}`
  return [
    ...line(
      'notice',
      `New client connected from ${placeOf(record)} as ${of(record, 'clientId')} (${facts}${named}).`,
    ),
    ...debug(willLines(record['will'])),
  ]
}

function connectionClosed(record: LogRecord): readonly MosquittoLine[] {
  const place = placeOf(record)
  const id = of(record, 'clientId') || of(record, 'peer')
  const client = `Client ${id} [${place}] disconnected`
  const reason = of(record, 'reason')
  if (reason === 'client_disconnected') return line('notice', `${client}.`)
  const why = disconnectReason(reason, of(record, 'detail'), of(record, 'refusal'))
  return line('notice', `${client}: ${why}.`)
}

function peerRefused(record: LogRecord): readonly MosquittoLine[] {
  const peer = of(record, 'peer')
  const detail = of(record, 'detail')
  switch (record['reason']) {
    case 'max_connections':
      return line('notice', `Client connection from ${peer} denied: max_connections exceeded.`)
    case 'proxy_header':
    case 'proxy_header_timeout':
      return line('notice', 'Connection rejected, corrupt PROXY header.')
    case 'proxy_no_tls':
    case 'proxy_no_certificate': {
      // `192.0.2.1:51234 did not connect using TLS`
      const [client = peer, ...words] = detail.split(' ')
      return line('notice', `Connection from ${client} rejected, client ${words.join(' ')}.`)
    }
    case 'foreign_origin':
      return line('notice', `Client ${peer} disconnected: non-matching http origin.`)
    case 'unknown_path':
    case 'unknown_subprotocol':
      return line('websockets', `Client connection from ${peer} failed: ${detail}.`)
    default:
      return line('notice', `Client connection from ${peer} failed: ${detail}.`)
  }
}

function placeOf(record: LogRecord): string {
  return `${of(record, 'peer')}:${of(record, 'peerPort')}`
}
