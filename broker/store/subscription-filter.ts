import { isTopicFilter } from '../../core/names.ts'

const SHARE = '$share/'

export interface SubscriptionFilter {
  /** Of a shared subscription, otherwise undefined. */
  readonly group: string | undefined
  /** What Topic Names are compared with: for `$share/{group}/{filter}` the last part. */
  readonly filter: string
}

/**
 * Takes a filter from SUBSCRIBE apart. Undefined when it is none: malformed (MQTT 3.1.1 §4.7.1), more
 * than 200 levels, or `$share/` without a plain group name and a filter behind it. MQTT 3.1.1 has no
 * shared subscriptions; their form is that of MQTT 5 §4.8.2, which Mosquitto accepts at any level.
 */
export function parseSubscriptionFilter(text: string): SubscriptionFilter | undefined {
  if (!isTopicFilter(text)) return undefined
  if (!text.startsWith(SHARE)) return { group: undefined, filter: text }
  const slash = text.indexOf('/', SHARE.length)
  if (slash <= SHARE.length || slash === text.length - 1) return undefined
  const group = text.slice(SHARE.length, slash)
  if (group === '+' || group === '#') return undefined
  return { group, filter: text.slice(slash + 1) }
}
