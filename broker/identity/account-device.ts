import { createHash } from 'node:crypto'
import { deviceNamesOf } from './device-name.ts'
import type { DeviceIdentity } from './identity.ts'

/** With tenancy: an account of a device, and of nothing else. */
export function isDeviceAccount(userName: string): boolean {
  return userName.startsWith('device_')
}

/** Lower-case hex, as the registry has it. */
export function tokenHashOf(password: Buffer): string {
  return createHash('sha256').update(password).digest('hex')
}

/**
 * The device that an account stands for, bound by the same prefix as one with a certificate. Undefined:
 * these two are no names of levels of a topic.
 */
export function accountDeviceOf(
  accountName: string,
  { tenantId, deviceId }: { readonly tenantId: string; readonly deviceId: string },
): DeviceIdentity | undefined {
  const names = deviceNamesOf(`${tenantId}/${deviceId}`)
  if (typeof names === 'string') return undefined
  return Object.freeze({ kind: 'device', ...names, certificate: undefined, accountName })
}
