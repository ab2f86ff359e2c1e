import type { Message } from '../decode.ts'
import type { DeviceAnswer, DeviceRecord } from '../registry/records.ts'
import type { Reason } from '../reasons.ts'

/**
 * NO_SUBSCRIPTION_CAPACITY, UNREGISTERED_DEVICE, SUBSCRIPTION_SUSPENDED, SUBSCRIPTION_EXPIRED,
 * DEVICE_REVOKED, SITE_MISMATCH_REGISTRY_VS_PAYLOAD, in this order. A subscription in any other state
 * (TRIAL, GRACE, CANCELLED), or none at all, stops nothing.
 *
 * @returns the record when the message may go on to be authenticated
 */
export function registeredDevice(
  { siteId }: Pick<Message, 'siteId'>,
  device: DeviceAnswer,
): DeviceRecord | Reason {
  if (device === 'no_capacity') return 'NO_SUBSCRIPTION_CAPACITY'
  if (device === 'unregistered') return 'UNREGISTERED_DEVICE'
  if (device.subscription === 'SUSPENDED') return 'SUBSCRIPTION_SUSPENDED'
  if (device.subscription === 'EXPIRED') return 'SUBSCRIPTION_EXPIRED'
  if (device.status !== 'ACTIVE') return 'DEVICE_REVOKED'
  if (device.siteId !== siteId) return 'SITE_MISMATCH_REGISTRY_VS_PAYLOAD'
  return device
}
