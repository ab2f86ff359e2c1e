/**
 * `$SYS/broker/load/…` as Mosquitto computes it: how many per minute, as exponential averages of the
 * last 1, 5 and 15 minutes, updated at each interval.
 */

const WINDOWS: readonly (readonly [name: string, minutes: number])[] = [
  ['1min', 1],
  ['5min', 5],
  ['15min', 15],
]

export class LoadAverages {
  readonly #counted = new Map<string, number>()
  readonly #averages = new Map<string, number>()
  #updatedAt: number

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: number) {
    this.#updatedAt = now
  }

  /**
   * @param counts by name: how many there were since the start
   * @returns text with two decimals by `<name>/1min` and so on; without time gone by, what was before
   */
  update(counts: Readonly<Record<string, number>>, now: number): Readonly<Record<string, string>> {
    const minutes = (now - this.#updatedAt) / 60_000
    const texts: Record<string, string> = {}
    for (const [name, count] of Object.entries(counts)) {
      const perMinute = minutes > 0 ? (count - (this.#counted.get(name) ?? 0)) / minutes : 0
      if (minutes > 0) this.#counted.set(name, count)
      for (const [window, length] of WINDOWS) {
        const key = `${name}/${window}`
        const before = this.#averages.get(key) ?? 0
        const average = perMinute + Math.exp(-minutes / length) * (before - perMinute)
        this.#averages.set(key, average)
        texts[key] = average.toFixed(2)
      }
    }
    this.#updatedAt = now
    return texts
  }
}
