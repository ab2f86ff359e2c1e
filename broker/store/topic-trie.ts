/**
 * A tree over the levels of Topic Names or Topic Filters (MQTT 3.1.1 §4.7.1.1). Levels are whatever
 * stands between slashes, empty ones included. No walk over it is recursive, so depth costs memory
 * but never the stack.
 */

/**
 * What one node takes (measured on Node 20: 190 to 225 bytes, mostly its Map), so that bounds can
 * count a message of one byte under a topic of 200 levels as what it is.
 */
export const NODE_BYTES = 256

export class TrieNode<V> {
  /** Counts up as nodes are made: the children of a node stand in this order. */
  readonly order: number
  value: V | undefined = undefined
  /** Keyed by outside text; absent at leaves, which are most nodes. */
  children: Map<string, TrieNode<V>> | undefined = undefined

  constructor(order: number) {
    this.order = order
  }
}

export function levelsOf(topic: string): string[] {
  return topic.split('/')
}

/** Topic Filters that begin with a wildcard leave out Topic Names that begin with this [MQTT-4.7.2-1]. */
export function isReserved(topic: string): boolean {
  return topic.charCodeAt(0) === 36
}

export class TopicTrie<V> {
  readonly root = new TrieNode<V>(0)
  #nodes = 0
  #made = 0

  /** Without the root. */
  get nodes(): number {
    return this.#nodes
  }

  find(levels: readonly string[]): TrieNode<V> | undefined {
    let node: TrieNode<V> | undefined = this.root
    for (const level of levels) {
      node = node.children?.get(level)
      if (node === undefined) return undefined
    }
    return node
  }

  /** How many nodes `ensure` would make. */
  missing(levels: readonly string[]): number {
    let node: TrieNode<V> | undefined = this.root
    for (let depth = 0; depth < levels.length; depth++) {
      node = node.children?.get(levels[depth] ?? '')
      if (node === undefined) return levels.length - depth
    }
    return 0
  }

  ensure(levels: readonly string[]): TrieNode<V> {
    let node = this.root
    for (const level of levels) {
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = new TrieNode(++this.#made)
        node.children.set(unsliced(level), child)
        this.#nodes++
      }
      node = child
    }
    return node
  }

  /** Takes away the nodes at the end of this path that hold nothing any more. */
  prune(levels: readonly string[]): void {
    const path = [this.root]
    for (const level of levels) {
      const next = path.at(-1)?.children?.get(level)
      if (next === undefined) return
      path.push(next)
    }
    for (let depth = levels.length; depth > 0; depth--) {
      const node = path[depth]
      const parent = path[depth - 1]
      if (node === undefined || parent === undefined) return
      if (node.value !== undefined || node.children !== undefined) return
      parent.children?.delete(levels[depth - 1] ?? '')
      if (parent.children?.size === 0) parent.children = undefined
      this.#nodes--
    }
  }
}

/**
 * V8 keeps a part of 13 characters or more as a view of the text it was split from. A node outlives
 * the filter that made it, so its key must not hold on to 64 KiB of that filter.
 */
function unsliced(level: string): string {
  return level.length < 13 ? level : Buffer.from(level, 'utf16le').toString('utf16le')
}
