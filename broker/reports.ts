/**
 * Which messages of a device are about its shadow and its commands: `…/shadow/reported` and
 * `…/commands/ack`, exactly six levels.
 *
 * Only a device speaks for itself here. Whoever else may publish on these topics (`service_pulse`, a
 * gateway's account) is heard by subscribers as ever, but changes no shadow and delivers no command:
 * telemetry of such a client has a provision token to vouch for it, a report has nothing.
 */
import type { Identity } from './identity/index.ts'
import type { DeviceReport } from './ports.ts'

const KINDS: ReadonlyMap<string, DeviceReport['kind']> = new Map([
  ['shadow/reported', 'shadow_reported'],
  ['commands/ack', 'command_ack'],
])

export type ReportTopic = Pick<DeviceReport, 'kind' | 'tenantId' | 'deviceId'>

/** Undefined: no report, an ordinary message. */
export function reportTopicOf(identity: Identity, topic: string): ReportTopic | undefined {
  if (identity.kind !== 'device' || !topic.startsWith(identity.topicPrefix)) return undefined
  const kind = KINDS.get(topic.slice(identity.topicPrefix.length))
  if (kind === undefined) return undefined
  return { kind, tenantId: identity.tenantId, deviceId: identity.deviceId }
}
