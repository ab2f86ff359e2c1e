/** Topic Filters against Topic Names and against one another: MQTT 3.1.1 §4.7. */

const SLASH = 0x2f
const PLUS = 0x2b
const HASH = 0x23
const DOLLAR = 0x24

/**
 * Does this Topic Filter match this Topic Name? Allocation-free, linear: made for the hot path.
 *
 * `a/#` matches `a` [MQTT-4.7.1-2]; an empty level is a level; a Topic Name that begins with `$` is
 * matched only by filters that begin with `$`, so neither `#` nor `+/…` reaches `$SYS`
 * [MQTT-4.7.2-1]. A wildcard that does not fill its level is taken literally, and an empty filter
 * matches nothing.
 */
export function matches(filter: string, topic: string): boolean {
  const filterEnd = filter.length
  const topicEnd = topic.length
  if (filterEnd === 0 || topicEnd === 0) return false
  if (topic.charCodeAt(0) === DOLLAR && filter.charCodeAt(0) !== DOLLAR) return false
  let f = 0
  let t = 0
  for (;;) {
    const first = f < filterEnd ? filter.charCodeAt(f) : SLASH
    if (first === HASH && f + 1 === filterEnd) return true
    if (first === PLUS && (f + 1 === filterEnd || filter.charCodeAt(f + 1) === SLASH)) {
      f++
      while (t < topicEnd && topic.charCodeAt(t) !== SLASH) t++
    } else {
      while (f < filterEnd && filter.charCodeAt(f) !== SLASH) {
        if (t === topicEnd || filter.charCodeAt(f) !== topic.charCodeAt(t)) return false
        f++
        t++
      }
      if (t < topicEnd && topic.charCodeAt(t) !== SLASH) return false
    }
    if (f === filterEnd) return t === topicEnd
    if (t === topicEnd) return f + 2 === filterEnd && filter.charCodeAt(f + 1) === HASH
    f++
    t++
  }
}

/**
 * Does every Topic Name that `inner` matches match `outer` too? Exact for valid filters; false
 * for an invalid one.
 */
export function filterWithin(inner: string, outer: string): boolean {
  if (inner.length === 0 || outer.length === 0) return false
  // The parent that `/#` would match as well, and `#` at the very top, is an empty text: no Topic Name.
  const hasNoParent = inner === '#' || inner === '/#'
  const innerLevels = (hasNoParent ? `${inner.slice(0, -1)}+/#` : inner).split('/')
  const outerLevels = outer.split('/')
  const startsWithWildcard = outerLevels[0] === '+' || outerLevels[0] === '#'
  if (startsWithWildcard && inner.startsWith('$')) return false
  for (const [i, level] of outerLevels.entries()) {
    if (level === '#') return i === outerLevels.length - 1
    const ours = innerLevels[i]
    if (ours === undefined || ours === '#') return false
    if (level !== '+' && level !== ours) return false
  }
  return innerLevels.length === outerLevels.length
}

/** `$share/{group}/{filter}`, taken apart. */
export interface SharedSubscription {
  readonly group: string
  readonly filter: string
}

const SHARE = '$share/'

/**
 * Undefined for an ordinary filter; `malformed` for `$share` without a group and a filter, and for a
 * group with a wildcard (MQTT 5 §4.8.2, which Mosquitto and others apply to MQTT 3.1.1 too).
 */
export function sharedSubscription(filter: string): SharedSubscription | 'malformed' | undefined {
  if (filter === '$share') return 'malformed'
  if (!filter.startsWith(SHARE)) return undefined
  const end = filter.indexOf('/', SHARE.length)
  if (end === -1) return 'malformed'
  const group = filter.slice(SHARE.length, end)
  const inner = filter.slice(end + 1)
  if (group === '' || /[+#]/u.test(group) || inner === '') return 'malformed'
  // A share of a share would hide its real filter from whoever decides on it.
  if (inner === '$share' || inner.startsWith(SHARE)) return 'malformed'
  return { group, filter: inner }
}
