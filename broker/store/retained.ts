import type { LimitsConfig } from '../../config/types.ts'
import { FairShare, tenantOfTopic, type ShareLimits, type Tenant } from './fair-share.ts'
import { ownPayload, type Message } from './message.ts'
import { RetainedCursor } from './retained-cursor.ts'
import { NODE_BYTES, TopicTrie, isReserved, levelsOf, type TrieNode } from './topic-trie.ts'

export type RetainedLimits = Pick<LimitsConfig, 'maxRetainedMessages' | 'maxRetainedBytes'> &
  ShareLimits

export interface RetainedEntry {
  readonly message: Message
  /** Counts up with each message stored: tells what is newer than a subscription. */
  readonly sequence: number
}

/** The last retained message of each Topic Name (MQTT 3.1.1 §3.3.1.3). */
export class RetainedMessages {
  readonly #limits: RetainedLimits
  readonly #trie = new TopicTrie<RetainedEntry>()
  readonly #countShares: FairShare
  readonly #byteShares: FairShare
  #size = 0
  #messageBytes = 0
  #sequence = 0

  /** @param limits asked at each call; a message is of the tenant its topic names */
  constructor(limits: RetainedLimits) {
    this.#limits = limits
    this.#countShares = new FairShare(limits)
    this.#byteShares = new FairShare(limits)
  }

  get size(): number {
    return this.#size
  }

  /** Of the messages and of the tree they are found by. */
  get bytes(): number {
    return this.#messageBytes + this.#trie.nodes * NODE_BYTES
  }

  /**
   * Keeps the message for its topic in place of an older one; without payload only removes that
   * [MQTT-3.3.1-10].
   *
   * @returns false at a bound: the message is not kept, and neither is the one it was to replace,
   * for that is no longer true [MQTT-3.3.1-7]
   */
  store(message: Message): boolean {
    const levels = levelsOf(message.topic)
    const previous = this.#trie.find(levels)?.value?.message
    if (message.payload.length === 0) {
      if (previous !== undefined) this.#remove(levels, previous)
      return true
    }
    if (!this.#hasRoomFor(message, previous, levels)) {
      if (previous !== undefined) this.#remove(levels, previous)
      return false
    }
    ownPayload(message)
    this.#trie.ensure(levels).value = { message, sequence: ++this.#sequence }
    this.#messageBytes += message.bytes - (previous?.bytes ?? 0)
    if (previous === undefined) this.#size++
    const tenant = tenantOfTopic(message.topic)
    if (previous !== undefined) this.#count(tenant, previous, levels, -1)
    this.#count(tenant, message, levels, 1)
    return true
  }

  /** Of the message stored last; 0 before the first. */
  get sequence(): number {
    return this.#sequence
  }

  entryOf(levels: readonly string[]): RetainedEntry | undefined {
    return this.#trie.find(levels)?.value
  }

  /** For a walk in portions, while messages come and go. `$share/` as at `match`. */
  cursor(filter: string): RetainedCursor<RetainedEntry> {
    return new RetainedCursor(this.#trie, filter)
  }

  /**
   * The messages whose topic matches the filter (MQTT 3.1.1 §4.7), in no particular order. Visits
   * only the part of the tree that the filter leaves open. A `$share/` filter is the caller's to
   * take apart.
   */
  match(filter: string): Message[] {
    let reached: TrieNode<RetainedEntry>[] = [this.#trie.root]
    let depth = 0
    for (const level of levelsOf(filter)) {
      const next: TrieNode<RetainedEntry>[] = []
      const isWildcard = level === '+' || level === '#'
      for (const { children } of reached) {
        if (children === undefined) continue
        if (!isWildcard) {
          const same = children.get(level)
          if (same !== undefined) next.push(same)
          continue
        }
        for (const [name, child] of children) {
          if (depth > 0 || !isReserved(name)) next.push(child)
        }
      }
      // `sport/#` also matches `sport` (MQTT 3.1.1 §4.7.1.2).
      if (level === '#') return messagesOf([...reached, ...below(next)])
      if (next.length === 0) return []
      reached = next
      depth++
    }
    return messagesOf(reached)
  }

  #remove(levels: readonly string[], message: Message): void {
    const node = this.#trie.find(levels)
    if (node === undefined) return
    node.value = undefined
    this.#trie.prune(levels)
    this.#messageBytes -= message.bytes
    this.#size--
    this.#count(tenantOfTopic(message.topic), message, levels, -1)
  }

  #hasRoomFor(message: Message, previous: Message | undefined, levels: readonly string[]): boolean {
    const { maxRetainedMessages, maxRetainedBytes } = this.#limits
    const tenant = tenantOfTopic(message.topic)
    const growth = message.bytes - (previous?.bytes ?? 0)
    const freeBytes =
      maxRetainedBytes - this.bytes - growth - this.#trie.missing(levels) * NODE_BYTES
    if (freeBytes < 0) return false
    const own = previous === undefined ? shareOf(message, levels) : growth
    if (!this.#byteShares.mayTake(tenant, own, freeBytes)) return false
    if (previous !== undefined) return true
    const free = maxRetainedMessages - this.#size - 1
    return free >= 0 && this.#countShares.mayTake(tenant, 1, free)
  }

  #count(tenant: Tenant, message: Message, levels: readonly string[], sign: 1 | -1): void {
    this.#countShares.take(tenant, sign)
    this.#byteShares.take(tenant, sign * shareOf(message, levels))
  }
}

/** What it counts for at its tenant: as if no other topic had levels in common with it. */
function shareOf(message: Message, levels: readonly string[]): number {
  return message.bytes + levels.length * NODE_BYTES
}

/** These nodes and all under them, without recursion. */
function below<V>(nodes: readonly TrieNode<V>[]): TrieNode<V>[] {
  const found = [...nodes]
  for (let i = 0; i < found.length; i++) {
    const children = found[i]?.children
    if (children !== undefined) for (const child of children.values()) found.push(child)
  }
  return found
}

function messagesOf(nodes: readonly TrieNode<RetainedEntry>[]): Message[] {
  const messages: Message[] = []
  for (const { value } of nodes) if (value !== undefined) messages.push(value.message)
  return messages
}
