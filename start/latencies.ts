/** The last so many durations, for percentiles. */
export class Latencies {
  readonly #values: Float64Array
  #count = 0

  constructor(capacity: number) {
    this.#values = new Float64Array(capacity)
  }

  add(ms: number): void {
    this.#values[this.#count++ % this.#values.length] = ms
  }

  /** @param share 0.5 for the median; 0 when nothing was added */
  percentile(share: number): number {
    const sorted = this.#values.slice(0, Math.min(this.#count, this.#values.length)).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  }
}
