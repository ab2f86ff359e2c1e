import type { Telemetry } from '../telemetry.ts'

/** Is this user name exactly `{tenant}/{device}`? */
export function namesDevice(
  userName: string | undefined,
  tenantId: string,
  deviceId: string,
): userName is string {
  return (
    userName !== undefined &&
    userName.length === tenantId.length + 1 + deviceId.length &&
    userName.startsWith(tenantId) &&
    userName.charCodeAt(tenantId.length) === 0x2f &&
    userName.endsWith(deviceId)
  )
}

/**
 * The device of the topic as one text, `{tenant}/{device}`; neither part holds a slash. A device that
 * speaks for itself is called so already, and that text keeps its hash from message to message.
 */
export function deviceKey({ publisher: { userName }, tenantId, deviceId }: Telemetry): string {
  return namesDevice(userName, tenantId, deviceId) ? userName : `${tenantId}/${deviceId}`
}
