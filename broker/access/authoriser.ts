/**
 * May this client write, subscribe to, or receive this? Pure decisions over memory, closed by default.
 * Wills, retained and stored messages are asked for here like any other PUBLISH and delivery.
 *
 * | tenancy | client      | with an acl_file        | without                                 |
 * | ------- | ----------- | ----------------------- | --------------------------------------- |
 * | on      | device      | its prefix, and the acl | its prefix, and the table of devices    |
 * | on      | certificate | nothing                 | nothing                                 |
 * | on      | account     | the acl                 | everything, if `accountAccess` names it |
 * | on      | anonymous   | the acl                 | nothing                                 |
 * | off     | any         | the acl                 | everything, if `accountAccess` says so  |
 *
 * `user` sections of the acl_file belong to whoever has that user name: an account its own, a device
 * `tenant/device` and that of the account it came in by. Tenancy on, a certificate called like an account is no device, and gets nothing.
 */
import { isTopicFilter, isTopicName } from '../../core/names.ts'
import type { DeviceIdentity } from '../identity/identity.ts'
import type { Acl } from './acl.ts'
import type { Subject } from './acl-pattern.ts'
import { ALLOWED, DENIED, type Decision } from './decision.ts'
import { matches, sharedSubscription } from './topic-filter.ts'

export type { Subject } from './acl-pattern.ts'

/** What holds on the listener the client came in by. */
export interface AccessRules {
  readonly tenancy: boolean
  /** Undefined: no acl_file. */
  readonly acl: Acl | undefined
  /**
   * Asked only without an acl_file. A set: these accounts have everything, and whoever else is not a
   * device has nothing.
   */
  readonly accountAccess: 'everything' | ReadonlySet<string>
}

/**
 * May this client send a PUBLISH (or leave a Will) with this Topic Name? What a refusal does on the
 * wire is decided elsewhere: MQTT 3.1.1 §3.3.5 [MQTT-3.3.5-2] leaves two choices.
 */
export function mayPublish(subject: Subject, topic: string, rules: AccessRules): Decision {
  if (!isTopicName(topic)) return DENIED.invalid_topic
  if (isBrokerTopic(topic)) return DENIED.broker_topic
  return decide(subject, topic, 'write', rules)
}

/**
 * May this client have this subscription? Granting it promises nothing: as in Mosquitto, `read` is
 * asked for at each delivery, so an acl_file never refuses a SUBSCRIBE, and its changes act at once on
 * subscriptions that exist. A device is refused whatever does not begin with its own prefix, in
 * literal levels (SUBACK 0x80).
 */
export function maySubscribe(subject: Subject, filter: string, rules: AccessRules): Decision {
  if (!isTopicFilter(filter)) return DENIED.invalid_filter
  const shared = sharedSubscription(filter)
  if (shared === 'malformed') return DENIED.malformed_share
  const { identity } = subject
  if (identity.kind === 'device') {
    if (shared !== undefined) return DENIED.shared_subscription
    return filter.startsWith(identity.topicPrefix) ? ALLOWED : DENIED.outside_device
  }
  if (identity.kind === 'certificate' && rules.tenancy) return DENIED.not_a_device
  return rules.acl === undefined ? decideWithoutAcl(subject, rules) : ALLOWED
}

/**
 * May a message with this Topic Name be delivered to this client? Asked for every delivery, whichever
 * subscription, queue or retained message it comes from. The Topic Name was checked when it came in.
 */
export function mayReceive(subject: Subject, topic: string, rules: AccessRules): Decision {
  return decide(subject, topic, 'read', rules)
}

function decide(
  subject: Subject,
  topic: string,
  access: 'read' | 'write',
  rules: AccessRules,
): Decision {
  const { identity } = subject
  // Whatever `tenancy` says now: an identity with a prefix is bound by it.
  if (identity.kind === 'device' && !isBelow(identity, topic)) return DENIED.outside_device
  if (identity.kind === 'certificate' && rules.tenancy) return DENIED.not_a_device
  if (rules.acl !== undefined) return rules.acl.grants(subject, topic, access, rules.tenancy)
  if (identity.kind !== 'device') return decideWithoutAcl(subject, rules)
  const type = topic.slice(identity.topicPrefix.length)
  const isForDevices = access === 'write' ? isWritable(type) : isReadable(type)
  return isForDevices ? ALLOWED : DENIED.not_for_devices
}

/** Of everyone but devices. */
function decideWithoutAcl({ identity }: Subject, rules: AccessRules): Decision {
  // Anonymous clients of Mosquitto may do everything here; with tenants on the broker that would
  // be everything of every tenant.
  if (identity.kind === 'anonymous' && rules.tenancy) return DENIED.no_rights
  if (rules.accountAccess === 'everything') return ALLOWED
  if (identity.kind !== 'account') return DENIED.no_rights
  return rules.accountAccess.has(identity.userName) ? ALLOWED : DENIED.no_rights
}

function isBelow(device: DeviceIdentity, topic: string): boolean {
  return topic.startsWith(device.topicPrefix)
}

/**
 * `$` topics that no client writes. Prefixes of the text, not levels, as Mosquitto compares them; a
 * bridge reports its state to us as an ordinary client, if the acl_file lets it. Other `$` topics
 * are nobody's, and the acl_file decides.
 */
function isBrokerTopic(topic: string): boolean {
  if (!topic.startsWith('$')) return false
  if (topic.startsWith('$SYS')) return !matches('$SYS/broker/connection/+/state', topic)
  return topic.startsWith('$share') || topic.startsWith('$CONTROL')
}

/** Level 5 names that are not telemetry: the platform's side of the conversation. */
const RESERVED: ReadonlySet<string> = new Set(['shadow', 'commands', 'jobs', 'ota'])

const WRITABLE: ReadonlySet<string> = new Set(['shadow/reported', 'commands/ack', 'ota/status'])

const READABLE: ReadonlySet<string> = new Set(['shadow/desired', 'commands', 'jobs', 'ota'])

/** `type`: what follows the device's prefix. One level is a message type of the device's own choice. */
function isWritable(type: string): boolean {
  if (!type.includes('/')) return type !== '' && !RESERVED.has(type)
  return type.startsWith('telemetry/') || WRITABLE.has(type)
}

function isReadable(type: string): boolean {
  return READABLE.has(type) || type.startsWith('jobs/')
}
