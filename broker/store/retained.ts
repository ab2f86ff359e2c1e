import type { LimitsConfig } from '../../config/types.ts'
import { ownPayload, type Message } from './message.ts'
import { NODE_BYTES, TopicTrie, isReserved, levelsOf, type TrieNode } from './topic-trie.ts'

export type RetainedLimits = Pick<LimitsConfig, 'maxRetainedMessages' | 'maxRetainedBytes'>

/** The last retained message of each Topic Name (MQTT 3.1.1 §3.3.1.3). */
export class RetainedMessages {
  readonly #limits: RetainedLimits
  readonly #trie = new TopicTrie<Message>()
  #size = 0
  #messageBytes = 0

  constructor(limits: RetainedLimits) {
    this.#limits = limits
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
    const previous = this.#trie.find(levels)?.value
    if (message.payload.length === 0) {
      if (previous !== undefined) this.#remove(levels, previous)
      return true
    }
    const growth = message.bytes - (previous?.bytes ?? 0) + this.#trie.missing(levels) * NODE_BYTES
    const { maxRetainedMessages, maxRetainedBytes } = this.#limits
    const isTooMany = previous === undefined && this.#size >= maxRetainedMessages
    if (isTooMany || this.bytes + growth > maxRetainedBytes) {
      if (previous !== undefined) this.#remove(levels, previous)
      return false
    }
    ownPayload(message)
    this.#trie.ensure(levels).value = message
    this.#messageBytes += message.bytes - (previous?.bytes ?? 0)
    if (previous === undefined) this.#size++
    return true
  }

  /**
   * The messages whose topic matches the filter (MQTT 3.1.1 §4.7), in no particular order. Visits
   * only the part of the tree that the filter leaves open. A `$share/` filter is the caller's to
   * take apart.
   */
  match(filter: string): Message[] {
    let reached: TrieNode<Message>[] = [this.#trie.root]
    let depth = 0
    for (const level of levelsOf(filter)) {
      const next: TrieNode<Message>[] = []
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
  }
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

function messagesOf(nodes: readonly TrieNode<Message>[]): Message[] {
  const messages: Message[] = []
  for (const { value } of nodes) if (value !== undefined) messages.push(value)
  return messages
}
