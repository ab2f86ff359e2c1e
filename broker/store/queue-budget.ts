import type { Message } from './message.ts'

/** Of one place in a queue besides the message itself. */
const PLACE_BYTES = 96

/**
 * The memory that all Sessions together may hold messages in. A message that many hold counts its
 * bytes once and a place for each, for that is what it takes.
 */
export class QueueBudget {
  readonly limitBytes: number
  readonly #holders = new Map<Message, number>()
  #usedBytes = 0
  #queued = 0

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  /** Never above `limitBytes`. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Messages that wait in queues; those in flight are not among them. */
  get queuedMessages(): number {
    return this.#queued
  }

  /** @returns false, and nothing is taken, when there is no room for one more holder */
  hold(message: Message): boolean {
    const holders = this.#holders.get(message)
    const bytes = PLACE_BYTES + (holders === undefined ? message.bytes : 0)
    if (!this.reserve(bytes)) return false
    this.#holders.set(message, (holders ?? 0) + 1)
    return true
  }

  /** Once for each `hold` that was granted. */
  letGo(message: Message): void {
    const holders = this.#holders.get(message)
    if (holders === undefined) throw new Error('a message was let go that nobody holds')
    if (holders > 1) this.#holders.set(message, holders - 1)
    else this.#holders.delete(message)
    this.release(PLACE_BYTES + (holders === 1 ? message.bytes : 0))
  }

  reserve(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.limitBytes) return false
    this.#usedBytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
  }

  countQueued(change: number): void {
    this.#queued += change
  }
}
