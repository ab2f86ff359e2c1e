import type { DeliveryOutcome } from './link.ts'
import type { Message, QoS } from './message.ts'
import type { RetainedCursor } from './retained-cursor.ts'
import type { RetainedEntry, RetainedMessages } from './retained.ts'
import { levelsOf } from './topic-trie.ts'

/** Where the retained messages are, and which of them may go out. */
export interface RetainedSource {
  readonly retained: Pick<RetainedMessages, 'cursor' | 'entryOf' | 'sequence'>
  /** False: it stays where it is, for its publisher may no longer write there. */
  mayStillSend(message: Message): boolean
  /** Is told of what was owed and came to nothing. */
  notDelivered(outcome: DeliveryOutcome): void
}

interface Walk {
  readonly cursor: RetainedCursor<RetainedEntry>
  readonly qos: QoS
  /** What was stored later reaches the subscription as it is published. */
  readonly since: number
  readonly number: number
}

/** Nodes of the tree looked at in one step. */
const STEPS = 32
/** About 200 KB, of a client whose topics are published to with and without RETAIN. */
const MAX_EARLY = 4096

/**
 * What the new subscriptions of one Session are owed [MQTT-3.3.1-6]: walked one after the other, as
 * fast as the client takes it, in memory that does not grow with the number of messages.
 *
 * What is sent is what is retained when its turn comes. What was published since the subscription has
 * been delivered live and is passed over, unless that delivery failed; and before a live message
 * without RETAIN goes the retained one of its topic, lest it come after.
 */
export class RetainedWalks {
  readonly #source: RetainedSource
  /** By Topic Filter; the first is under way. */
  readonly #walks = new Map<string, Walk>()
  /** Entries sent ahead of a live message, by sequence, and the youngest walk that need not send them. */
  readonly #early = new Map<number, number>()
  /** Of the first message published since that could not be delivered live. */
  #missedFrom = Number.POSITIVE_INFINITY
  #count = 0

  constructor(source: RetainedSource) {
    this.#source = source
  }

  get isEmpty(): boolean {
    return this.#walks.size === 0
  }

  add(filter: string, qos: QoS): void {
    const { retained } = this.#source
    this.#walks.delete(filter)
    this.#walks.set(filter, {
      cursor: retained.cursor(filter),
      qos,
      since: retained.sequence,
      number: ++this.#count,
    })
  }

  remove(filter: string): void {
    this.#walks.delete(filter)
  }

  /** @returns false when all is done, or nothing more can go out now */
  step(offer: (message: Message, qos: QoS) => DeliveryOutcome | 'full'): boolean {
    const [first] = this.#walks
    if (first === undefined) return false
    const [filter, walk] = first
    const { cursor } = walk
    const entry = cursor.current?.value
    if (entry !== undefined && this.#isOwed(entry, walk)) {
      const outcome = offer(entry.message, walk.qos)
      if (outcome === 'full') return false
      if (outcome !== 'sent' && outcome !== 'queued') this.#source.notDelivered(outcome)
    }
    cursor.advance(STEPS)
    if (cursor.isDone) this.#walks.delete(filter)
    return !this.isEmpty
  }

  /** Before `message` is delivered live: what is retained for its topic must not follow it. */
  precede(message: Message, deliver: (message: Message, qos: QoS) => DeliveryOutcome): void {
    const levels = levelsOf(message.topic)
    const entry = this.#source.retained.entryOf(levels)
    if (entry === undefined || entry.message === message || this.#early.size >= MAX_EARLY) return
    // Once for all walks there are: a client may have thousands of them, and be published to often.
    if ((this.#early.get(entry.sequence) ?? 0) >= this.#count) return
    let qos: QoS | undefined
    for (const walk of this.#walks.values()) {
      if (qos !== undefined && walk.qos <= qos) continue
      const { cursor } = walk
      if (!this.#isNew(entry, walk) || !cursor.matches(levels) || cursor.hasPassed(levels)) continue
      qos = walk.qos
      if (qos === 2) break
    }
    if (qos === undefined || !this.#source.mayStillSend(entry.message)) return
    const outcome = deliver(entry.message, qos)
    if (outcome === 'sent' || outcome === 'queued') this.#early.set(entry.sequence, this.#count)
  }

  /** After it was. */
  delivered({ retain }: Message, outcome: DeliveryOutcome): void {
    if (!retain || outcome === 'sent' || outcome === 'queued' || outcome === 'refused') return
    this.#missedFrom = Math.min(this.#missedFrom, this.#source.retained.sequence)
  }

  #isOwed(entry: RetainedEntry, walk: Walk): boolean {
    return this.#isNew(entry, walk) && this.#source.mayStillSend(entry.message)
  }

  /** It was not published since, nor sent ahead. */
  #isNew({ sequence }: RetainedEntry, { since, number }: Walk): boolean {
    if (sequence > since && sequence < this.#missedFrom) return false
    return (this.#early.get(sequence) ?? 0) < number
  }
}
