import { createHash } from 'node:crypto'
import type { Telemetry } from './telemetry.ts'

/**
 * Of a message and every repetition of it, as the text of a uuid: SHA-256, cut to 128 bits, of tenant,
 * device, type and the payload's very bytes, which have `ts` and `seq` in them. MQTT has nothing
 * better: a device that has restarted sends again under another Packet Identifier, without DUP.
 *
 * Only for a message with a time of its own: the time of receipt is another one for the repetition,
 * and two heartbeats that say nothing else are two.
 */
export function messageKey({ tenantId, deviceId, msgType, payload }: Telemetry): string {
  const hash = createHash('sha256').update(`${tenantId}/${deviceId}/${msgType}/`).update(payload)
  const hex = hash.digest('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join('-')
}
