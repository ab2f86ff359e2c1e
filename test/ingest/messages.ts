/** Messages for the tests of ingest. */
import { deviceId, tenantId } from '../../core/names.ts'
import { runChecks, type Check } from '../../ingest/checks/check.ts'
import { checksOf } from '../../ingest/checks/index.ts'
import { decode, rowOf } from '../../ingest/decode.ts'
import type { Reason } from '../../ingest/reasons.ts'
import type { Publisher, Row, Telemetry } from '../../ingest/telemetry.ts'

export const MAX_PAYLOAD = 8192
export const RECEIVED_AT = Date.parse('2026-03-01T06:30:07.125Z')

export const publisher: Publisher = {
  kind: 'device',
  userName: 'acme/pump-7',
  clientId: 'pump-7',
  fingerprint: 'ab'.repeat(32),
}

export interface MessageChanges {
  readonly tenant?: string
  readonly device?: string
  readonly type?: string
  readonly topic?: string
  readonly publisher?: Publisher
  readonly qos?: 0 | 1 | 2
}

export function message(payload: string | Buffer, changes: MessageChanges = {}): Telemetry {
  const { tenant = 'acme', device = 'pump-7', type = 'telemetry' } = changes
  return {
    tenantId: tenantId(tenant),
    deviceId: deviceId(device),
    msgType: type,
    topic: changes.topic ?? `tenant/${tenant}/device/${device}/${type}`,
    payload: Buffer.from(payload),
    qos: changes.qos ?? 1,
    receivedAt: RECEIVED_AT,
    publisher: changes.publisher ?? publisher,
  }
}

/** A message that passes, told apart by its number. */
export function numbered(seq: number, changes: MessageChanges = {}): Telemetry {
  return message(`{"site_id":"north","seq":${seq},"metrics":{"n":${seq}}}`, changes)
}

/** Decoded and checked, as the pipeline does it; every check of this step answers at once. */
export function judge(
  telemetry: Telemetry,
  checks: readonly Check[] = checksOf({ maxPayloadBytes: MAX_PAYLOAD }),
): Row | Reason {
  const decoded = decode(telemetry)
  if (typeof decoded === 'string') return decoded
  const answer = runChecks(checks, decoded)
  if (answer instanceof Promise) throw new Error('a check did not answer at once')
  return answer ?? rowOf(decoded)
}
