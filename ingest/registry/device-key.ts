import type { Telemetry } from '../telemetry.ts'

/** Is this text exactly `{tenant}/{device}`? Runs for every message: no call is cheaper than a loop. */
export function namesDevice(
  text: string | undefined,
  tenantId: string,
  deviceId: string,
): text is string {
  const slash = tenantId.length
  if (text === undefined || text.length !== slash + 1 + deviceId.length) return false
  if (text.charCodeAt(slash) !== 0x2f) return false
  for (let i = 0; i < slash; i++) if (text.charCodeAt(i) !== tenantId.charCodeAt(i)) return false
  for (let i = 0; i < deviceId.length; i++) {
    if (text.charCodeAt(slash + 1 + i) !== deviceId.charCodeAt(i)) return false
  }
  return true
}

/**
 * The device of the topic as one text, `{tenant}/{device}`; neither part holds a slash. A device that
 * speaks for itself is called so already, and that text keeps its hash from message to message.
 */
export function deviceKey({ publisher: { userName }, tenantId, deviceId }: Telemetry): string {
  return namesDevice(userName, tenantId, deviceId) ? userName : `${tenantId}/${deviceId}`
}
