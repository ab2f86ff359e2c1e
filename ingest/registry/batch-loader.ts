/**
 * Many questions as few queries: what is asked in one turn of the event loop, and while a query is
 * under way, goes into the next one. A fleet that reconnects costs a few queries, not one per device.
 */
import { untilAnswered, type Persistence } from './persistence.ts'

/** Questions in one query at the most. */
const MAX_KEYS = 500

interface Pending<K, V> {
  readonly id: string
  readonly key: K
  readonly answer: Promise<V>
  readonly resolve: (value: V) => void
  readonly reject: (cause: unknown) => void
}

export interface BatchLoaderParts<K, V> {
  /** One answer for each key, in their order. */
  readonly fetch: (keys: readonly K[]) => Promise<readonly V[]>
  /** Called before the promises settle. `isFresh` false: it may have been asked before a change. */
  readonly loaded: (id: string, key: K, value: V, isFresh: boolean) => void
  readonly persistence: Persistence
}

export class BatchLoader<K, V> {
  readonly #parts: BatchLoaderParts<K, V>
  #waiting = new Map<string, Pending<K, V>>()
  #asked = new Map<string, Pending<K, V>>()
  #isRunning = false
  #epoch = 0

  constructor(parts: BatchLoaderParts<K, V>) {
    this.#parts = parts
  }

  /**
   * Settles with the answer, however long the database is away; callers who ask for the same share it.
   *
   * @throws IngestStopped, or what PostgreSQL says against this very key
   */
  load(id: string, key: K): Promise<V> {
    const known = this.#asked.get(id) ?? this.#waiting.get(id)
    if (known !== undefined) return known.answer
    const pending = pendingOf<K, V>(id, key)
    this.#waiting.set(id, pending)
    if (!this.#isRunning) {
      this.#isRunning = true
      setImmediate(() => void this.#run())
    }
    return pending.answer
  }

  /** Answers to questions under way are given to those who asked already, and not kept. */
  changed(): void {
    this.#epoch++
    this.#asked.clear()
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting.values()].slice(0, MAX_KEYS)
      for (const { id } of batch) this.#waiting.delete(id)
      this.#asked = new Map(batch.map((pending) => [pending.id, pending]))
      await this.#answer(batch)
      this.#asked.clear()
    }
    this.#isRunning = false
  }

  async #answer(batch: readonly Pending<K, V>[]): Promise<void> {
    let epoch = this.#epoch
    const ask = () => {
      epoch = this.#epoch
      return this.#parts.fetch(batch.map(({ key }) => key))
    }
    try {
      const values = await untilAnswered(ask, this.#parts.persistence)
      const isFresh = epoch === this.#epoch
      // Nobody may find a question still open whose answer is known.
      this.#asked.clear()
      for (const [i, pending] of batch.entries()) {
        const value = values[i]
        if (value === undefined) throw new Error('a question was left without an answer')
        this.#parts.loaded(pending.id, pending.key, value, isFresh)
        pending.resolve(value)
      }
    } catch (cause) {
      const [only, ...others] = batch
      if (only !== undefined && others.length === 0) only.reject(cause)
      // One key of many is at fault: each for itself.
      else for (const pending of batch) await this.#answer([pending])
    }
  }
}

function pendingOf<K, V>(id: string, key: K): Pending<K, V> {
  let resolve: (value: V) => void = () => undefined
  let reject: (cause: unknown) => void = () => undefined
  const answer = new Promise<V>((yes, no) => {
    resolve = yes
    reject = no
  })
  // Whoever asked hears of it; that nobody asked any more is no fault.
  answer.catch(() => undefined)
  return { id, key, answer, resolve, reject }
}
