/**
 * Payload bytes to a Message: what the checks look at and what a Row is made of. Runs for every
 * message on the event loop, a few microseconds for the usual payload, linear in its length.
 */
import { isUtf8 } from 'node:buffer'
import type { TimestampConfig } from '../config/types.ts'
import {
  ESCAPED,
  FIELD,
  JsonScanner,
  TOO_DEEP,
  UNSTORABLE_NUMBER,
  UNSTORABLE_TEXT,
  type Field,
} from './json-scanner.ts'
import { messageKey } from './message-key.ts'
import { clamped, numericTimestamp } from './numeric-timestamp.ts'
import { deviceKey } from './registry/device-key.ts'
import type { Reason } from './reasons.ts'
import type { Location, Row, Telemetry } from './telemetry.ts'
import { parseTimestamp, type Timestamp } from './timestamp.ts'

/** A payload that is a JSON object, with its members read and not yet judged. */
export interface Message {
  readonly telemetry: Telemetry
  /** The device of the topic, `{tenant}/{device}`; the publisher's own user name when it is that. */
  readonly device: string
  /** The publisher's user name is that of the device. */
  readonly isOwn: boolean
  /** Payload member `tenant_id` as text; undefined when absent or empty. `false`: of no text at all. */
  readonly claimedTenant: string | undefined | false
  /** Undefined when absent or empty. */
  readonly siteId: string | undefined
  /** The first member that the table cannot take. */
  readonly invalidField: 'site_id' | 'seq' | 'metrics' | undefined
  /** `ts`, or else the time of receipt. */
  readonly time: Timestamp
  /** `time` is what the payload says, not the time of receipt. */
  readonly hasOwnTime: boolean
  readonly seq: Row['seq']
  readonly metrics: Uint8Array
  /** Member `provision_token`; undefined when absent or empty. `false`: of no text at all. */
  readonly token: string | undefined | false
  /** Both coordinates, from the top level. */
  readonly location: Location | undefined
}

const EMPTY_METRICS = Buffer.from('{}')
const UNSTORABLE = UNSTORABLE_TEXT | UNSTORABLE_NUMBER | TOO_DEEP
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

const scanner = new JsonScanner()

const AS_WRITTEN: TimestampConfig = { numeric: 'ignore', clamp: false }

/** INVALID_JSON for bytes that are not UTF-8 or not JSON, INVALID_PAYLOAD for JSON but no object. */
export function decode(
  telemetry: Telemetry,
  times: TimestampConfig = AS_WRITTEN,
): Message | Reason {
  const { payload } = telemetry
  if (!isUtf8(payload)) return 'INVALID_JSON'
  const device = deviceKey(telemetry)
  const kind = scanner.scan(payload)
  if (kind !== 'object') return kind === 'invalid' ? 'INVALID_JSON' : 'INVALID_PAYLOAD'

  const site = textOf(payload, FIELD.siteId)
  const tenant = textOf(payload, FIELD.tenantId)
  const seq = seqOf(payload)
  const metrics = metricsOf(payload)
  const token = textOf(payload, FIELD.provisionToken)
  const sent = sentAt(payload, times)
  const time = timeOfReceiptOr(sent, telemetry.receivedAt, times)
  let invalidField: Message['invalidField']
  if (site === UNFIT) invalidField = 'site_id'
  else if (seq === UNFIT) invalidField = 'seq'
  else if (metrics === UNFIT) invalidField = 'metrics'
  return {
    telemetry,
    device,
    isOwn: device === telemetry.publisher.userName,
    claimedTenant: tenant === UNFIT ? false : tenant,
    siteId: site === UNFIT ? '' : site,
    invalidField,
    time,
    hasOwnTime: sent !== undefined && time.ms === sent.ms && time.us === sent.us,
    seq: seq === UNFIT ? null : seq,
    metrics: metrics === UNFIT ? EMPTY_METRICS : metrics,
    token: token === UNFIT ? false : token,
    location: locationOf(payload),
  }
}

/** Only for a Message that passed every check. `keyed`: with a message key, where it may have one. */
export function rowOf(message: Message, keyed = false): Row {
  const { telemetry } = message
  return {
    tenantId: telemetry.tenantId,
    deviceId: telemetry.deviceId,
    siteId: message.siteId ?? '',
    msgType: telemetry.msgType,
    time: message.time,
    seq: message.seq,
    metrics: message.metrics,
    publisher: telemetry.publisher,
    ...(keyed && message.hasOwnTime ? { messageKey: messageKey(telemetry) } : {}),
  }
}

/** The `ts` of a payload that may be anything, for the quarantine. */
export function eventTimeOf(payload: Buffer): Timestamp | undefined {
  return isUtf8(payload) && scanner.scan(payload) === 'object' ? timeOf(payload) : undefined
}

/** `site_id` and `version` as text, of a payload that may be anything, for the quarantine. */
export function labelsOf(payload: Buffer): {
  readonly siteId: string | undefined
  readonly version: string
} {
  if (!isUtf8(payload) || scanner.scan(payload) !== 'object') {
    return { siteId: undefined, version: '1' }
  }
  const site = textOf(payload, FIELD.siteId)
  const version = textOf(payload, FIELD.version)
  return {
    siteId: site === UNFIT ? undefined : site,
    version: version === undefined || version === UNFIT ? '1' : version,
  }
}

const UNFIT = Symbol('unfit')

/** Where a member's value begins; -1 when it is absent, null, false, 0, "", [] or {}. */
function startOf(payload: Buffer, field: Field): number {
  const start = scanner.start[field] ?? -1
  if (start === -1) return -1
  const end = scanner.end[field] ?? start
  switch (payload[start]) {
    case 0x22:
      return end - start === 2 ? -1 : start
    case 0x7b:
    case 0x5b:
      return isBlank(payload, start + 1, end - 1) ? -1 : start
    case 0x6e:
    case 0x66:
      return -1
    case 0x74:
      return start
    default:
      return Number(payload.toString('latin1', start, end)) === 0 ? -1 : start
  }
}

/** Nothing but white space: the inside of an empty object or array. */
function isBlank(payload: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if ((payload[i] ?? 0) > 0x20) return false
  return true
}

function has(field: Field, bits: number): boolean {
  return ((scanner.flags[field] ?? 0) & bits) !== 0
}

/** A string, or a number as it was written; an object, array or true is UNFIT, as is U+0000. */
function textOf(payload: Buffer, field: Field): string | undefined | typeof UNFIT {
  const start = startOf(payload, field)
  if (start === -1) return undefined
  const first = payload[start]
  if (first === 0x22) return has(field, UNSTORABLE_TEXT) ? UNFIT : stringAt(payload, start, field)
  if (first === 0x7b || first === 0x5b || first === 0x74) return UNFIT
  return payload.toString('latin1', start, scanner.end[field])
}

function stringAt(payload: Buffer, start: number, field: Field): string {
  const end = scanner.end[field] ?? start
  if (has(field, ESCAPED)) return String(JSON.parse(payload.toString('utf8', start, end)))
  return payload.toString('utf8', start + 1, end - 1)
}

function timeOf(payload: Buffer): Timestamp | undefined {
  const start = scanner.start[FIELD.ts] ?? -1
  if (start === -1 || payload[start] !== 0x22) return undefined
  return parseTimestamp(stringAt(payload, start, FIELD.ts))
}

function sentAt(payload: Buffer, { numeric }: TimestampConfig): Timestamp | undefined {
  const text = timeOf(payload)
  if (text !== undefined || numeric === 'ignore') return text
  const number = numberAt(payload, FIELD.ts)
  return number === undefined ? undefined : numericTimestamp(number)
}

function timeOfReceiptOr(
  sent: Timestamp | undefined,
  receivedAt: number,
  { clamp }: TimestampConfig,
): Timestamp {
  if (sent === undefined) return { ms: receivedAt, us: 0 }
  return clamp ? clamped(sent, receivedAt) : sent
}

/** A member that is a JSON number; undefined for anything else. */
function numberAt(payload: Buffer, field: Field): number | undefined {
  const start = scanner.start[field] ?? -1
  const first = payload[start] ?? 0
  if (start === -1 || !(first === 0x2d || (first >= 0x30 && first <= 0x39))) return undefined
  return Number(payload.toString('latin1', start, scanner.end[field]))
}

function locationOf(payload: Buffer): Location | undefined {
  const latitude = coordinateOf(payload, FIELD.lat, FIELD.latitude)
  if (latitude === undefined) return undefined
  const longitude = coordinateOf(payload, FIELD.lng, FIELD.longitude)
  return longitude === undefined ? undefined : { latitude, longitude }
}

/** A number, or text that is one, of the short name or, where that is absent or null, of the long. */
function coordinateOf(payload: Buffer, short: Field, long: Field): number | undefined {
  let field = short
  let start = scanner.start[field] ?? -1
  if (start === -1 || payload[start] === 0x6e) {
    field = long
    start = scanner.start[field] ?? -1
  }
  if (start === -1) return undefined
  if (payload[start] !== 0x22) return finite(numberAt(payload, field))
  const text = stringAt(payload, start, field).trim()
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/iu.test(text) ? finite(Number(text)) : undefined
}

function finite(number: number | undefined): number | undefined {
  return Number.isFinite(number) ? number : undefined
}

function metricsOf(payload: Buffer): Uint8Array | typeof UNFIT {
  const start = startOf(payload, FIELD.metrics)
  if (start === -1) return EMPTY_METRICS
  if (payload[start] !== 0x7b || has(FIELD.metrics, UNSTORABLE)) return UNFIT
  return payload.subarray(start, scanner.end[FIELD.metrics])
}

function seqOf(payload: Buffer): Row['seq'] | typeof UNFIT {
  const start = scanner.start[FIELD.seq] ?? -1
  if (start === -1) return 0
  const end = scanner.end[FIELD.seq] ?? start
  const first = payload[start]
  if (first === 0x6e) return null
  if (end - start <= 15) {
    let value = 0
    let i = start
    for (; i < end; i++) {
      const digit = (payload[i] ?? 0) - 48
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (i === end) return value
  }
  const text = first === 0x22 ? stringAt(payload, start, FIELD.seq) : undefined
  if (text !== undefined && !/^[+-]?\d+$/u.test(text)) return UNFIT
  const exact = integerOf(text ?? payload.toString('latin1', start, end))
  if (exact === undefined || exact < INT64_MIN || exact > INT64_MAX) return UNFIT
  const double = Number(exact)
  return Number.isSafeInteger(double) ? double : exact
}

/**
 * The integer that a decimal text means (`7.0`, `1.5e1`), without a double in between; undefined when
 * it means none, or one far beyond int64.
 */
function integerOf(text: string): bigint | undefined {
  // Also keeps the expressions below from going over a long run of zeros again and again.
  if (text.length > 64) return undefined
  const match = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/u.exec(text)
  if (match === null) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const significant = `${whole}${fraction}`.replace(/^0+/u, '')
  const stripped = significant.replace(/0+$/u, '')
  if (stripped === '') return 0n
  const zeros = significant.length - stripped.length - fraction.length + Number(exponent)
  if (zeros < 0 || stripped.length + zeros > 20) return undefined
  const magnitude = BigInt(stripped + '0'.repeat(zeros))
  return sign === '-' ? -magnitude : magnitude
}
