import type { QoS } from './message.ts'
import { RecentMatches } from './recent-matches.ts'
import { ShareGroup, type Subscriber } from './share-group.ts'
import { parseSubscriptionFilter } from './subscription-filter.ts'
import { NODE_BYTES, TopicTrie, isReserved, levelsOf, type TrieNode } from './topic-trie.ts'

/** Who subscribed to exactly one Topic Filter. */
class FilterEntry<S extends Subscriber> {
  readonly filter: string
  readonly subscribers = new Map<S, QoS>()
  groups: Map<string, ShareGroup<S>> | undefined

  constructor(filter: string) {
    this.filter = filter
  }

  get isEmpty(): boolean {
    return this.subscribers.size === 0 && this.groups === undefined
  }
}

interface Match<S extends Subscriber> {
  readonly subscribers: ReadonlyMap<S, QoS>
  readonly groups: readonly ShareGroup<S>[]
}

/** About 10 MB: an entry counts its subscribers and its text, so that neither can make it large. */
const CACHE_WEIGHT = 65_536
/** Of one subscription besides its nodes: a place in a Map here and in the Session. */
const SUBSCRIPTION_BYTES = 256

/**
 * Who gets what is published to a topic (MQTT 3.1.1 §4.7). Found once per topic and remembered until
 * any subscription changes; that nobody subscribes is remembered too.
 */
export class SubscriptionIndex<S extends Subscriber> {
  readonly #trie = new TopicTrie<FilterEntry<S>>()
  readonly #recent = new RecentMatches<Match<S>>(CACHE_WEIGHT, weightOf)
  readonly #nobody: Match<S> = { subscribers: new Map(), groups: [] }
  readonly #bound: { readonly maxBytes: number }
  #size = 0
  #shared = 0
  #textBytes = 0

  /** @param bound of all subscriptions, by estimate; beyond, `add` refuses new ones. May change */
  constructor(bound: { readonly maxBytes: number }) {
    this.#bound = bound
  }

  /** Subscriptions, shared ones included. */
  get size(): number {
    return this.#size
  }

  get shared(): number {
    return this.#shared
  }

  get bytes(): number {
    return this.#trie.nodes * NODE_BYTES + this.#size * SUBSCRIPTION_BYTES + this.#textBytes
  }

  /**
   * Puts a subscription in force, or gives an existing one another QoS [MQTT-3.8.4-3].
   *
   * @returns false when the filter is malformed or the index is full: nothing is in force then, or
   * what was before
   */
  add(text: string, subscriber: S, qos: QoS): boolean {
    const parsed = parseSubscriptionFilter(text)
    if (parsed === undefined) return false
    const levels = levelsOf(parsed.filter)
    const growth = this.#trie.missing(levels) * NODE_BYTES + SUBSCRIPTION_BYTES + text.length
    const known = this.#trie.find(levels)?.value
    const isKnown =
      parsed.group === undefined
        ? known?.subscribers.has(subscriber) === true
        : known?.groups?.get(parsed.group)?.has(subscriber) === true
    if (!isKnown && this.bytes + growth > this.#bound.maxBytes) return false
    this.#recent.clear()
    const node = this.#trie.ensure(levels)
    const entry = (node.value ??= new FilterEntry<S>(parsed.filter))
    if (parsed.group === undefined) {
      entry.subscribers.set(subscriber, qos)
    } else {
      entry.groups ??= new Map()
      const group = entry.groups.get(parsed.group) ?? new ShareGroup<S>()
      entry.groups.set(parsed.group, group)
      group.add(subscriber, qos)
    }
    if (!isKnown) this.#count(1, parsed.group !== undefined, text)
    return true
  }

  /** @returns false when there was no such subscription */
  remove(text: string, subscriber: S): boolean {
    const parsed = parseSubscriptionFilter(text)
    if (parsed === undefined) return false
    const levels = levelsOf(parsed.filter)
    const node = this.#trie.find(levels)
    const entry = node?.value
    if (node === undefined || entry === undefined) return false
    if (parsed.group === undefined) {
      if (!entry.subscribers.delete(subscriber)) return false
    } else {
      const group = entry.groups?.get(parsed.group)
      if (group?.remove(subscriber) !== true) return false
      if (group.size === 0) entry.groups?.delete(parsed.group)
      if (entry.groups?.size === 0) entry.groups = undefined
    }
    this.#recent.clear()
    this.#count(-1, parsed.group !== undefined, text)
    if (entry.isEmpty) {
      node.value = undefined
      this.#trie.prune(levels)
    }
    return true
  }

  /**
   * Each subscriber once, with the highest QoS among its matching filters [MQTT-3.3.5-1], and one
   * member of each shared subscription, whose turn this call uses up. Hot path. The Map is shared
   * and never changes.
   */
  match(topic: string): ReadonlyMap<S, QoS> {
    const found = this.#recent.get(topic) ?? this.#find(topic)
    if (found.groups.length === 0) return found.subscribers
    const chosen = new Map(found.subscribers)
    for (const group of found.groups) {
      const turn = group.take(topic)
      if (turn !== undefined) raise(chosen, turn.subscriber, turn.qos)
    }
    return chosen
  }

  /** Every subscription that matches, shared ones left out; those with `#` and `+` come first. */
  *entries(topic: string): Generator<{ readonly filter: string; subscriber: S; qos: QoS }> {
    for (const entry of this.#entriesFor(topic)) {
      for (const [subscriber, qos] of entry.subscribers) {
        yield { filter: entry.filter, subscriber, qos }
      }
    }
  }

  #find(topic: string): Match<S> {
    const entries = this.#entriesFor(topic)
    let found = this.#nobody
    if (entries.length > 0) {
      const subscribers = new Map<S, QoS>()
      const groups: ShareGroup<S>[] = []
      for (const entry of entries) {
        for (const [subscriber, qos] of entry.subscribers) raise(subscribers, subscriber, qos)
        if (entry.groups !== undefined) groups.push(...entry.groups.values())
      }
      found = { subscribers, groups }
    }
    this.#recent.set(topic, found)
    return found
  }

  #entriesFor(topic: string): FilterEntry<S>[] {
    const found: FilterEntry<S>[] = []
    const visit = (node: TrieNode<FilterEntry<S>> | undefined) => {
      if (node?.value !== undefined) found.push(node.value)
    }
    // All nodes that match the levels so far: never more than there are filters.
    let reached = [this.#trie.root]
    let wildcards = !isReserved(topic)
    for (const level of levelsOf(topic)) {
      const next: TrieNode<FilterEntry<S>>[] = []
      for (const { children } of reached) {
        if (children === undefined) continue
        if (wildcards) {
          visit(children.get('#'))
          const any = children.get('+')
          if (any !== undefined) next.push(any)
        }
        const same = children.get(level)
        if (same !== undefined) next.push(same)
      }
      if (next.length === 0) return found
      reached = next
      wildcards = true
    }
    for (const node of reached) {
      // `sport/#` also matches `sport` (MQTT 3.1.1 §4.7.1.2).
      visit(node.children?.get('#'))
      visit(node)
    }
    return found
  }

  #count(change: 1 | -1, isShared: boolean, text: string): void {
    this.#size += change
    if (isShared) this.#shared += change
    this.#textBytes += change * text.length
  }
}

function weightOf(topic: string, match: Match<Subscriber>): number {
  return 1 + match.subscribers.size + match.groups.length + (topic.length >> 6)
}

function raise<S>(subscribers: Map<S, QoS>, subscriber: S, qos: QoS): void {
  const before = subscribers.get(subscriber)
  if (before === undefined || before < qos) subscribers.set(subscriber, qos)
}
