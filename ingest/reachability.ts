/** Is PostgreSQL there? Told by the traffic, and by a question now and then where there is none. */
import type { Clock } from '../core/clock.ts'
import type { Database } from './database.ts'
import type { RowsWriter } from './rows-writer.ts'

const PROBE_EVERY_MS = 5_000

export class Reachability {
  readonly #database: Pick<Database, 'isReachable'>
  readonly #rows: Pick<RowsWriter, 'lastWriteAt' | 'trouble'>
  readonly #clock: Clock
  readonly #stop: () => void
  #isReachable = true
  #probedAt = 0

  constructor(
    database: Pick<Database, 'isReachable'>,
    rows: Pick<RowsWriter, 'lastWriteAt' | 'trouble'>,
    clock: Clock,
  ) {
    this.#database = database
    this.#rows = rows
    this.#clock = clock
    this.#stop = clock.every(PROBE_EVERY_MS, () => void this.#probe())
  }

  /** What was written since the last probe is better news than the probe. */
  get isAway(): boolean {
    return !this.#isReachable && (this.#rows.lastWriteAt ?? 0) <= this.#probedAt
  }

  stop(): void {
    this.#stop()
  }

  /** Without traffic nobody else would notice that the server is gone. */
  async #probe(): Promise<void> {
    const { lastWriteAt = 0, trouble } = this.#rows
    const wrote = trouble === undefined && this.#clock.now() - lastWriteAt < PROBE_EVERY_MS
    this.#isReachable = wrote || (await this.#database.isReachable())
    this.#probedAt = this.#clock.now()
  }
}
