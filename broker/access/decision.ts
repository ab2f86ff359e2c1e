/** What access control answers, and every reason it refuses for. */

/** The acl_file line that decided. */
export interface RulePlace {
  readonly file: string
  readonly line: number
}

export type Decision =
  | { readonly allowed: true; readonly rule?: RulePlace }
  | { readonly allowed: false; readonly reason: DenyReason; readonly rule?: RulePlace }

export const ALLOWED: Decision = Object.freeze({ allowed: true })

const refuse = <R extends string>(reason: R) => Object.freeze({ allowed: false as const, reason })

/** One frozen answer for each reason: refusing allocates nothing. */
export const DENIED = Object.freeze({
  /** Not a Topic Name: empty, a wildcard, U+0000, too many levels. */
  invalid_topic: refuse('invalid_topic'),
  /** Not a Topic Filter. */
  invalid_filter: refuse('invalid_filter'),
  /** `$share` without a group, without a filter, or with a wildcard in the group. */
  malformed_share: refuse('malformed_share'),
  /** A device and `$share/…`: it has nobody to share with. */
  shared_subscription: refuse('shared_subscription'),
  /** A `$` topic only the broker writes. */
  broker_topic: refuse('broker_topic'),
  /** Not below the device's own prefix. */
  outside_device: refuse('outside_device'),
  /** Below the own prefix, without an acl_file, and not for devices to write or read. */
  not_for_devices: refuse('not_for_devices'),
  /** Tenancy is on and the certificate names no device. */
  not_a_device: refuse('not_a_device'),
  /** No acl_file, and the listener's accounts with rights do not include this client. */
  no_rights: refuse('no_rights'),
  /** A deny line matched. */
  acl_deny: refuse('acl_deny'),
  /** No line matched. */
  acl_no_match: refuse('acl_no_match'),
  /** The acl_file has patterns, and the user name or Client Identifier a wildcard. */
  unsafe_name: refuse('unsafe_name'),
})

/** Closed set: a label of metrics, a word in logs. */
export type DenyReason = keyof typeof DENIED

/** All of them, for the metrics and their documentation. */
export const DENY_REASONS: readonly string[] = Object.keys(DENIED)
