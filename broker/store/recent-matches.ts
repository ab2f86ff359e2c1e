/**
 * Remembers what was found for the topics asked for lately. Two generations instead of a list by
 * age: when the younger is full it becomes the older, and what nobody asked for meanwhile is gone.
 */
export class RecentMatches<V> {
  readonly #maxWeight: number
  readonly #weigh: (topic: string, value: V) => number
  #young = new Map<string, V>()
  #old = new Map<string, V>()
  #weight = 0

  /** @param maxWeight of each generation, exceeded by at most one entry */
  constructor(maxWeight: number, weigh: (topic: string, value: V) => number) {
    this.#maxWeight = maxWeight
    this.#weigh = weigh
  }

  /** Topics remembered; one in both generations counts twice. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  /** Hot path. */
  get(topic: string): V | undefined {
    const value = this.#young.get(topic)
    return value === undefined ? this.#revive(topic) : value
  }

  set(topic: string, value: V): void {
    if (this.#weight >= this.#maxWeight) {
      this.#old = this.#young
      this.#young = new Map()
      this.#weight = 0
    }
    this.#young.set(topic, value)
    this.#weight += this.#weigh(topic, value)
  }

  clear(): void {
    if (this.size === 0) return
    this.#young = new Map()
    this.#old = new Map()
    this.#weight = 0
  }

  #revive(topic: string): V | undefined {
    const value = this.#old.get(topic)
    if (value !== undefined) this.set(topic, value)
    return value
  }
}
