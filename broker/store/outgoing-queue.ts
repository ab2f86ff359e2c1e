import type { Message, QoS } from './message.ts'

/** One message for one Session, from `deliver` to its last acknowledgement. */
export interface Outgoing {
  readonly message: Message
  /** Of this delivery; 0 only where QoS 0 is queued for absent clients. */
  readonly qos: QoS
  readonly retain: boolean
  /** Counted in the budget. */
  readonly held: boolean
  /** Of a walk over retained messages. */
  readonly walked: boolean
}

/** Gone entries at the front are cut off in portions, so that a long queue is not moved each time. */
const CUT_AT = 256

/** First in, first out. */
export class OutgoingQueue {
  #entries: (Outgoing | undefined)[] = []
  #head = 0
  #bytes = 0
  #atOnce = 0

  get length(): number {
    return this.#entries.length - this.#head
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Those of QoS 0. */
  get atOnce(): number {
    return this.#atOnce
  }

  get first(): Outgoing | undefined {
    return this.#entries[this.#head]
  }

  push(outgoing: Outgoing): void {
    this.#entries.push(outgoing)
    this.#bytes += outgoing.message.bytes
    if (outgoing.qos === 0) this.#atOnce++
  }

  shift(): Outgoing | undefined {
    const outgoing = this.#entries[this.#head]
    if (outgoing === undefined) return undefined
    this.#entries[this.#head] = undefined
    this.#head++
    this.#bytes -= outgoing.message.bytes
    if (outgoing.qos === 0) this.#atOnce--
    if (this.#head === this.#entries.length) {
      this.#entries = []
      this.#head = 0
    } else if (this.#head >= CUT_AT && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return outgoing
  }

  /** Empties it. */
  takeAll(): Outgoing[] {
    const rest: Outgoing[] = []
    for (let next = this.shift(); next !== undefined; next = this.shift()) rest.push(next)
    return rest
  }
}
