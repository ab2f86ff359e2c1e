/**
 * What a device says of its shadow or of a command, read from the payload. JSON is cut out of it, not
 * parsed and written again: what is stored is what was sent, digit by digit.
 */
import { isUtf8 } from 'node:buffer'
import type { DeviceId, TenantId } from '../../core/names.ts'
import {
  ESCAPED,
  JsonScanner,
  TOO_DEEP,
  UNSTORABLE_NUMBER,
  UNSTORABLE_TEXT,
} from '../json-scanner.ts'
import type { Publisher } from '../telemetry.ts'

/** A PUBLISH on `…/shadow/reported` or `…/commands/ack`, sent by the device the topic names. */
export interface DeviceReport {
  readonly kind: 'shadow_reported' | 'command_ack'
  /** Of the connection. */
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  readonly topic: string
  /** Kept until the report settles. */
  readonly payload: Buffer
  /** 0: the sender will not send it again, so that a report turned away is lost and counted. */
  readonly qos: 0 | 1 | 2
  /** Milliseconds since 1970. */
  readonly receivedAt: number
  readonly publisher: Publisher
}

/** A new `reported_state`, whole. */
export interface ShadowReport {
  readonly kind: 'shadow_reported'
  readonly tenantId: string
  readonly deviceId: string
  /** JSON text of an object. */
  readonly reported: string
  /** Within int32. */
  readonly version: number
}

export interface CommandAck {
  readonly kind: 'command_ack'
  readonly tenantId: string
  readonly deviceId: string
  readonly commandId: string
  /** JSON text: `{"status": …, "details": …}`. */
  readonly ackDetails: string
}

/** Reasons of the quarantine for what is no JSON object, else the warning that is logged. */
export type InvalidReport =
  | 'INVALID_JSON'
  | 'INVALID_PAYLOAD'
  | 'PAYLOAD_TOO_LARGE'
  | 'shadow_reported_invalid_payload'
  | 'command_ack_missing_id'
  | 'command_ack_invalid_details'

/** Bytes of a report. The platform had no bound but that of its broker; ours is a default packet. */
export const MAX_REPORT_BYTES = 262_144

const NAMES = ['reported', 'version', 'command_id', 'status', 'details'] as const
type Name = (typeof NAMES)[number]
const UNSTORABLE = UNSTORABLE_TEXT | UNSTORABLE_NUMBER | TOO_DEEP
const INT32_MAX = 2 ** 31 - 1

const scanner = new JsonScanner(NAMES.map((name) => Buffer.from(name)))

/** Runs on the event loop, linear in the payload's length. */
export function decodeReport(report: DeviceReport): ShadowReport | CommandAck | InvalidReport {
  const { payload } = report
  if (payload.length > MAX_REPORT_BYTES) return 'PAYLOAD_TOO_LARGE'
  if (!isUtf8(payload)) return 'INVALID_JSON'
  const outermost = scanner.scan(payload)
  if (outermost !== 'object') return outermost === 'invalid' ? 'INVALID_JSON' : 'INVALID_PAYLOAD'
  return report.kind === 'shadow_reported' ? shadowOf(report) : ackOf(report)
}

function shadowOf({ tenantId, deviceId, payload }: DeviceReport): ShadowReport | InvalidReport {
  const member = memberOf(payload, 'reported')
  if (member !== undefined && !isObject(member)) return 'shadow_reported_invalid_payload'
  const reported = member?.text ?? '{}'
  const version = versionOf(memberOf(payload, 'version')?.text)
  return { kind: 'shadow_reported', tenantId, deviceId, reported, version }
}

function ackOf({ tenantId, deviceId, payload }: DeviceReport): CommandAck | InvalidReport {
  const id = memberOf(payload, 'command_id')
  if (id === undefined || !id.isStorable || !id.text.startsWith('"') || id.text === '""') {
    return 'command_ack_missing_id'
  }
  const details = memberOf(payload, 'details')
  if (details !== undefined && details.text !== 'null' && !isObject(details)) {
    return 'command_ack_invalid_details'
  }
  const status = memberOf(payload, 'status')
  if (status?.isStorable === false) return 'command_ack_invalid_details'
  const commandId = id.escaped ? String(JSON.parse(id.text)) : id.text.slice(1, -1)
  const ackDetails = ackDetailsOf(status?.text, details?.text)
  return { kind: 'command_ack', tenantId, deviceId, commandId, ackDetails }
}

/** Both are JSON texts; without a status it is `"ok"`. */
export function ackDetailsOf(status: string | undefined, details: string | undefined): string {
  return `{"status":${status ?? '"ok"'},"details":${details ?? 'null'}}`
}

/**
 * `reported_version` is an int32. What is no integer is converted as far as it says one (`"7"`,
 * `7.9`), and is 0 otherwise.
 *
 * @param text JSON of the member, undefined when absent
 */
export function versionOf(text: string | undefined): number {
  if (text === undefined) return 0
  if (text === 'true') return 1
  const digits = text.startsWith('"') ? integerText(text) : text
  if (digits === undefined) return 0
  const value = Math.trunc(Number(digits))
  if (!Number.isFinite(value)) return 0
  return Math.max(-INT32_MAX - 1, Math.min(INT32_MAX, value)) + 0
}

/** In a string only an integer counts, blanks around it do not. */
function integerText(quoted: string): string | undefined {
  const text = String(JSON.parse(quoted)).trim()
  return text.length <= 64 && /^[+-]?\d+$/u.test(text) ? text : undefined
}

interface Member {
  readonly text: string
  readonly escaped: boolean
  readonly isStorable: boolean
}

function memberOf(payload: Buffer, name: Name): Member | undefined {
  const place = NAMES.indexOf(name)
  const start = scanner.start[place] ?? -1
  if (start === -1) return undefined
  const flags = scanner.flags[place] ?? 0
  return {
    text: payload.toString('utf8', start, scanner.end[place]),
    escaped: (flags & ESCAPED) !== 0,
    isStorable: (flags & UNSTORABLE) === 0,
  }
}

function isObject({ text, isStorable }: Member): boolean {
  return isStorable && text.startsWith('{')
}
