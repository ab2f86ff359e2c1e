/**
 * The order in which records settle: that of their arrival, whatever order their rows commit in
 * (MQTT 3.1.1 §4.6 wants the acknowledgements of a publisher in the order of its messages).
 *
 * Each record takes a Turn when it comes in. A Turn that is done waits for all before it. Turns are
 * also the measure of how much is held: a record counts until it settles.
 */
import { Fifo } from './fifo.ts'

/** Share of the ceiling at which callers are asked to stop, and at which they may go on. */
const HIGH = 0.8
const LOW = 0.6

export interface Turn {
  /** Settles in turn; rejects only when the whole queue was given up. */
  readonly settled: Promise<void>
  /** The record is where it belongs. Idempotent. */
  done(): void
}

export class Turns {
  readonly #maxRecords: number
  readonly #maxBytes: number
  readonly #queue = new Fifo<QueuedTurn>()
  #bytes = 0
  #full = false
  #waiting: (() => void)[] = []
  #empty: (() => void)[] = []

  constructor(maxRecords: number, maxBytes: number) {
    this.#maxRecords = maxRecords
    this.#maxBytes = maxBytes
  }

  get records(): number {
    return this.#queue.length
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * False from four fifths of either ceiling until less than three fifths are left: between the
   * word to stop reading and its effect there is always something under way.
   */
  get hasRoom(): boolean {
    return !this.#full
  }

  /** Calls once, in a microtask, as soon as there is room. */
  onRoom(then: () => void): void {
    if (this.#full) this.#waiting.push(then)
    else queueMicrotask(then)
  }

  /** Undefined when the record would go beyond a ceiling. One record fits, whatever its size. */
  take(bytes: number): Turn | undefined {
    if (
      this.#queue.length >= this.#maxRecords ||
      (this.#bytes + bytes > this.#maxBytes && this.#queue.length > 0)
    ) {
      this.#full = true
      return undefined
    }
    const turn = new QueuedTurn(bytes, this.#settle)
    this.#queue.push(turn)
    this.#bytes += bytes
    if (this.#isAbove(HIGH)) this.#full = true
    return turn
  }

  /** Settles once every record that is held now or comes in meanwhile has settled. */
  drained(): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve()
    return new Promise((resolve) => this.#empty.push(resolve))
  }

  /** Rejects whatever has not settled, in order. Returns how many there were. */
  giveUp(error: Error): number {
    const given = this.#queue.length
    let turn: QueuedTurn | undefined
    while ((turn = this.#queue.shift()) !== undefined) turn.reject(error)
    this.#bytes = 0
    this.#afterLeaving()
    return given
  }

  readonly #settle = (): void => {
    let turn: QueuedTurn | undefined
    while ((turn = this.#queue.peek()) !== undefined && turn.isDone) {
      this.#queue.shift()
      this.#bytes -= turn.bytes
      turn.resolve()
    }
    this.#afterLeaving()
  }

  #afterLeaving(): void {
    if (this.#full && !this.#isAbove(LOW)) {
      this.#full = false
      for (const then of this.#waiting.splice(0)) queueMicrotask(then)
    }
    if (this.#queue.length === 0) for (const resolve of this.#empty.splice(0)) resolve()
  }

  #isAbove(share: number): boolean {
    return this.#queue.length >= this.#maxRecords * share || this.#bytes >= this.#maxBytes * share
  }
}

class QueuedTurn implements Turn {
  readonly bytes: number
  readonly settled: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  isDone = false
  readonly #onDone: () => void

  constructor(bytes: number, onDone: () => void) {
    this.bytes = bytes
    this.#onDone = onDone
    let resolve: () => void = never
    let reject: (error: Error) => void = never
    this.settled = new Promise<void>((yes, no) => {
      resolve = yes
      reject = no
    })
    this.resolve = resolve
    this.reject = reject
  }

  done(): void {
    if (this.isDone) return
    this.isDone = true
    this.#onDone()
  }
}

function never(): never {
  throw new Error('a Promise runs its executor before it is made')
}
