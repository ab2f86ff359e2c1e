import { isReserved, levelsOf, type TopicTrie, type TrieNode } from './topic-trie.ts'

/** One node on the way from the root to where the cursor stands. */
interface Place<V> {
  readonly node: TrieNode<V>
  /** Those not yet visited; undefined: the filter ends here. */
  readonly children: Iterator<readonly [string, TrieNode<V>]> | undefined
  /** `order` of the child visited last. */
  at: number
}

/**
 * Goes through the nodes of a tree of Topic Names that a Topic Filter matches, a few at a time, while
 * the tree changes. It keeps one place per level and copies nothing.
 *
 * Whatever has a value from the first step to the last is visited once. What is new since then may
 * be, or not. Parents come before their children, children in the order they were made, which is how
 * `hasPassed` knows.
 */
export class RetainedCursor<V> {
  readonly #trie: TopicTrie<V>
  readonly #levels: readonly string[]
  readonly #isOpenEnded: boolean
  readonly #path: Place<V>[]
  #current: TrieNode<V> | undefined

  constructor(trie: TopicTrie<V>, filter: string) {
    this.#trie = trie
    this.#levels = levelsOf(filter)
    this.#isOpenEnded = this.#levels.at(-1) === '#'
    this.#path = [this.#place(trie.root, 0)]
  }

  /** Where it stands: had a value when it came here. Undefined before the first and after the last. */
  get current(): TrieNode<V> | undefined {
    return this.#current
  }

  get isDone(): boolean {
    return this.#path.length === 0
  }

  /** Goes on to the next match, or as far as this many steps lead: then `current` is undefined. */
  advance(steps: number): void {
    this.#current = undefined
    for (let step = 0; step < steps; step++) {
      const place = this.#path.at(-1)
      if (place === undefined) return
      const next = place.children?.next()
      if (next === undefined || next.done === true) {
        this.#path.pop()
        continue
      }
      const [name, node] = next.value
      place.at = node.order
      const depth = this.#path.length
      if (depth === 1 && this.#isWildcard(0) && isReserved(name)) continue
      this.#path.push(this.#place(node, depth))
      if (node.value !== undefined && this.#isMatchAt(depth)) {
        this.#current = node
        return
      }
    }
  }

  /** Does the filter match this Topic Name? */
  matches(topic: readonly string[]): boolean {
    if (this.#isWildcard(0) && isReserved(topic[0] ?? '')) return false
    const literal = this.#isOpenEnded ? this.#levels.length - 1 : this.#levels.length
    if (this.#isOpenEnded ? topic.length < literal : topic.length !== literal) return false
    for (let i = 0; i < literal; i++) {
      if (this.#levels[i] !== '+' && this.#levels[i] !== topic[i]) return false
    }
    return true
  }

  /** Will it not come to this Topic Name any more? Only for one that matches and has had a value. */
  hasPassed(topic: readonly string[]): boolean {
    if (this.isDone) return true
    let node: TrieNode<V> | undefined = this.#trie.root
    for (let depth = 0; depth < topic.length; depth++) {
      node = node.children?.get(topic[depth] ?? '')
      const place = this.#path[depth]
      if (node === undefined || place === undefined) return true
      if (node.order !== place.at) return node.order < place.at
    }
    return node !== this.#current
  }

  #place(node: TrieNode<V>, depth: number): Place<V> {
    return { node, children: this.#childrenOf(node, depth), at: 0 }
  }

  #childrenOf(
    { children }: TrieNode<V>,
    depth: number,
  ): Iterator<readonly [string, TrieNode<V>]> | undefined {
    if (children === undefined) return undefined
    if (this.#isWildcard(depth)) return children.entries()
    const level = this.#levels[depth]
    const child = level === undefined ? undefined : children.get(level)
    return level === undefined || child === undefined
      ? undefined
      : [[level, child] as const].values()
  }

  #isWildcard(depth: number): boolean {
    const level = this.#levels[depth]
    return level === undefined ? this.#isOpenEnded : level === '+' || level === '#'
  }

  /** `sport/#` also matches `sport` (MQTT 3.1.1 §4.7.1.2). */
  #isMatchAt(depth: number): boolean {
    const { length } = this.#levels
    return depth === length || (this.#isOpenEnded && depth >= length - 1)
  }
}
