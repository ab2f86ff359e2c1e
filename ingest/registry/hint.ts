/**
 * What a notification on `midge_registry` says: where to look again, never what is there. Anybody who
 * may log in to the database can send one, so the worst that any text can do is a look.
 */
import { isId } from '../../core/names.ts'
import type { DeviceName } from './records.ts'

export const CHANNEL = 'midge_registry'

export type Hint = DeviceName | 'everything'

/** A text of our own (any process of ours), sent to see whether it comes back. */
export interface Probe {
  readonly probe: string
}

/**
 * Never throws. Whatever names no device by `tenant_id` and `device_id` means every device: somebody
 * wanted something read again, and it costs less to look than to miss it.
 */
export function readNotification(payload: string | undefined): Hint | Probe {
  const value = parsed(payload ?? '')
  if (typeof value !== 'object' || value === null) return 'everything'
  if ('probe' in value && typeof value.probe === 'string') return { probe: value.probe }
  if (!('tenant_id' in value) || !('device_id' in value)) return 'everything'
  const { tenant_id: tenantId, device_id: deviceId } = value
  if (typeof tenantId !== 'string' || typeof deviceId !== 'string') return 'everything'
  // Other names no connection can have; and some of them no query can hold.
  return isId(tenantId) && isId(deviceId) ? { tenantId, deviceId } : 'everything'
}

export function probeText(nonce: string): string {
  return JSON.stringify({ probe: nonce })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
