import type { QoS } from './message.ts'

/** Who can subscribe, as far as a shared subscription has to know. */
export interface Subscriber {
  /** There is a Network Connection to send through now. */
  readonly connected: boolean
  /** May the client that is connected now be sent this? False for an absent one. */
  mayReceive(topic: string): boolean
}

/** The members of one shared subscription: one group name on one Topic Filter. */
export class ShareGroup<S extends Subscriber> {
  readonly #qos = new Map<S, QoS>()
  readonly #members: S[] = []
  #next = 0

  get size(): number {
    return this.#members.length
  }

  has(subscriber: S): boolean {
    return this.#qos.has(subscriber)
  }

  /** A member keeps its place in the round and gets the new QoS. */
  add(subscriber: S, qos: QoS): void {
    if (!this.#qos.has(subscriber)) this.#members.push(subscriber)
    this.#qos.set(subscriber, qos)
  }

  remove(subscriber: S): boolean {
    if (!this.#qos.delete(subscriber)) return false
    const at = this.#members.indexOf(subscriber)
    this.#members.splice(at, 1)
    if (at < this.#next) this.#next--
    return true
  }

  /**
   * Whose turn it is: the next connected member that may have it; else the next absent one, or just
   * the next one when all are there and none may. A member without the right takes no turn: whoever
   * joins a group cannot keep its messages from the others. Costs a look at each member in between.
   */
  take(topic: string): { readonly subscriber: S; readonly qos: QoS } | undefined {
    const count = this.#members.length
    let absent: number | undefined
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count
      const member = this.#members[at]
      if (member?.connected !== true) absent ??= at
      else if (member.mayReceive(topic)) return this.#turn(at)
    }
    return this.#turn(absent ?? this.#next % count)
  }

  #turn(at: number): { readonly subscriber: S; readonly qos: QoS } | undefined {
    const subscriber = this.#members[at]
    if (subscriber === undefined) return undefined
    this.#next = (at + 1) % this.#members.length
    return { subscriber, qos: this.#qos.get(subscriber) ?? 0 }
  }
}
