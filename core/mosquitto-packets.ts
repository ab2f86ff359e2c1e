/** Packets as Mosquitto writes them with `log_type debug`: names, identifiers, sizes, never a payload. */
import { textOf, type LogRecord } from './log-record.ts'

/** Lines of a `packet.received`. The filters of a SUBSCRIBE follow, each when its turn comes. */
export function receivedLines(record: LogRecord): readonly string[] {
  const packet = textOf(record, 'packet')
  const received = `Received ${packet} from ${whoOf(record)}`
  const packetId = textOf(record, 'packetId')
  switch (packet) {
    // Told by `New client connected …`, or by what refused it.
    case 'CONNECT':
      return []
    case 'PUBLISH':
      return [`${received} ${publishOf(record)}`]
    case 'PUBACK':
    case 'PUBCOMP':
      return [`${received} (Mid: ${packetId}, RC:0)`]
    case 'PUBREC':
    case 'PUBREL':
      return [`${received} (Mid: ${packetId})`]
    default:
      return [received]
  }
}

/** The line of a `packet.sent`. */
export function sentLine(record: LogRecord): string {
  const packet = textOf(record, 'packet')
  const sending = `Sending ${packet} to ${whoOf(record)}`
  const packetId = textOf(record, 'packetId')
  switch (packet) {
    case 'CONNACK':
      return `${sending} (${bit(record, 'sessionPresent')}, ${textOf(record, 'returnCode')})`
    case 'PUBLISH':
      return `${sending} ${publishOf(record)}`
    case 'PUBACK':
    case 'PUBREC':
      return `${sending} (m${packetId}, rc0)`
    case 'PUBREL':
    case 'PUBCOMP':
      return `${sending} (m${packetId})`
    default:
      return sending
  }
}

/** The line of a `publish.denied`. */
export function deniedLine(record: LogRecord): string {
  return `Denied PUBLISH from ${whoOf(record)} ${publishOf(record)}`
}

/** What Mosquitto says of the Will of a client that has just connected. */
export function willLines(will: unknown): readonly string[] {
  if (!isRecord(will)) return ['No will message specified.']
  const flags = `(r${bit(will, 'retain')}, q${textOf(will, 'qos')})`
  const bytes = textOf(will, 'payloadBytes')
  return [`Will message specified (${bytes} bytes) ${flags}.`, `\t${textOf(will, 'topic')}`]
}

function publishOf(record: LogRecord): string {
  const flags = `d${bit(record, 'dup')}, q${textOf(record, 'qos')}, r${bit(record, 'retain')}`
  const size = `... (${textOf(record, 'payloadBytes')} bytes)`
  return `(${flags}, m${textOf(record, 'packetId')}, '${textOf(record, 'topic')}', ${size})`
}

/** The Client Identifier, or the address before there is one. */
function whoOf(record: LogRecord): string {
  return textOf(record, 'clientId') || textOf(record, 'peer')
}

function bit(record: LogRecord, key: string): 0 | 1 {
  return record[key] === true ? 1 : 0
}

function isRecord(value: unknown): value is LogRecord {
  return typeof value === 'object' && value !== null
}
