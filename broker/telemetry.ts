/**
 * Which Topic Names are ingested: `tenant/{T}/device/{D}/{msg_type}`, and whatever stands below
 * `…/telemetry/`. Names the platform uses downwards are not telemetry.
 */
import { deviceId, isId, tenantId, type DeviceId, type TenantId } from '../core/names.ts'

export interface TelemetryTopic {
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  readonly msgType: string
}

/** Level 5 names with a meaning of their own. */
export const RESERVED_TYPES: ReadonlySet<string> = new Set(['shadow', 'commands', 'jobs', 'ota'])

/** Undefined: not ingested, an ordinary message. */
export function telemetryTopicOf(topic: string): TelemetryTopic | undefined {
  if (!topic.startsWith('tenant/')) return undefined
  const [, tenant = '', word, device = '', msgType = '', below] = topic.split('/', 6)
  if (word !== 'device' || msgType === '' || RESERVED_TYPES.has(msgType)) return undefined
  if (below !== undefined && msgType !== 'telemetry') return undefined
  if (!isId(tenant) || !isId(device)) return undefined
  return { tenantId: tenantId(tenant), deviceId: deviceId(device), msgType }
}
