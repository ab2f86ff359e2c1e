/**
 * Group commit without a timer: what arrives during one transaction is the next batch, so batches
 * grow with the load and a quiet device waits one round trip. Several transactions may be in flight;
 * a second one doubles what one connection can do, since the server works while we encode.
 *
 * Rows of one device may be in two transactions at once and commit in either order. Nothing in the
 * table can tell: it has no sequence of its own, readers order by `time`, and within one batch rows
 * keep their order. What must keep the order of arrival, the settling of records, is turns.ts.
 */
import { writeBatch, type BatchSurroundings, type BatchTarget } from './batch.ts'
import { Fifo } from './fifo.ts'

export interface BatchBounds {
  readonly maxItems: number
  /** Of `bytesOf`; one item always fits. */
  readonly maxBytes: number
  /** Transactions at once. */
  readonly inFlight: number
}

export class BatchWriter<T> {
  readonly #bounds: BatchBounds
  readonly #target: BatchTarget<T>
  readonly #around: BatchSurroundings
  readonly #bytesOf: (item: T) => number
  readonly #waiting = new Fifo<T>()
  #active = 0
  #idlers: (() => void)[] = []
  #isScheduled = false

  constructor(
    bounds: BatchBounds,
    target: BatchTarget<T>,
    around: BatchSurroundings,
    bytesOf: (item: T) => number,
  ) {
    this.#bounds = bounds
    this.#target = target
    this.#around = around
    this.#bytesOf = bytesOf
  }

  /** Items that are in no transaction yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Transactions in flight, those between two attempts included. */
  get active(): number {
    return this.#active
  }

  /**
   * Takes the item; `stored` or `refused` of the target tell what became of it. Unbounded: who calls
   * keeps count (Turns). After the signal aborted, items are taken and left.
   */
  push(item: T): void {
    this.#waiting.push(item)
    if (this.#isScheduled || this.#active >= this.#bounds.inFlight) return
    // Not at once: what the sockets of this turn of the event loop bring belongs to the same batch.
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#start()
    })
  }

  /** Settles when nothing waits and nothing is in flight. */
  idle(): Promise<void> {
    if (this.#active === 0 && this.#waiting.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idlers.push(resolve))
  }

  #start(): void {
    while (
      this.#active < this.#bounds.inFlight &&
      this.#waiting.length > 0 &&
      !this.#around.signal.aborted
    ) {
      this.#active++
      void this.#write(this.#take())
    }
  }

  async #write(batch: readonly T[]): Promise<void> {
    try {
      await writeBatch(batch, this.#target, this.#around, () => this.#waiting.shift())
    } finally {
      this.#active--
      this.#start()
      if (this.#active === 0) for (const resolve of this.#idlers.splice(0)) resolve()
    }
  }

  #take(): T[] {
    const batch: T[] = []
    let bytes = 0
    while (batch.length < this.#bounds.maxItems) {
      const item = this.#waiting.peek()
      if (item === undefined) break
      bytes += this.#bytesOf(item)
      if (bytes > this.#bounds.maxBytes && batch.length > 0) break
      batch.push(item)
      this.#waiting.shift()
    }
    return batch
  }
}
