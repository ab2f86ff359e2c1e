import type { Outgoing } from './outgoing-queue.ts'

export const MAX_PACKET_ID = 65_535

/**
 * Messages sent and not yet fully acknowledged, by Packet Identifier.
 *
 *   QoS 1   PUBLISH → PUBACK
 *   QoS 2   PUBLISH → PUBREC → PUBREL → PUBCOMP
 *
 * What awaits PUBACK or PUBREC stands in the order it was first sent [MQTT-4.6.0-1], what awaits
 * PUBCOMP in the order PUBREC came [MQTT-4.6.0-4]; the message itself is gone by then.
 */
export class InflightWindow {
  readonly #unacknowledged = new Map<number, Outgoing>()
  readonly #released = new Set<number>()
  #lastId = 0
  #bytes = 0

  get size(): number {
    return this.#unacknowledged.size + this.#released.size
  }

  /** Payload of the messages that await PUBACK or PUBREC. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Packet Identifiers count up from 1 and are not used again while in flight [MQTT-2.3.1-4].
   *
   * @throws Error when all of them are in flight
   */
  add(outgoing: Outgoing): number {
    if (this.size >= MAX_PACKET_ID) throw new Error('every Packet Identifier is in flight')
    let id = this.#lastId
    do {
      id = id === MAX_PACKET_ID ? 1 : id + 1
    } while (this.#unacknowledged.has(id) || this.#released.has(id))
    this.#lastId = id
    this.#unacknowledged.set(id, outgoing)
    this.#bytes += outgoing.message.payload.length
    return id
  }

  unacknowledged(): ReadonlyMap<number, Outgoing> {
    return this.#unacknowledged
  }

  released(): ReadonlySet<number> {
    return this.#released
  }

  /** Frees the identifier, whatever it awaits. */
  remove(id: number): void {
    this.#delete(id)
    this.#released.delete(id)
  }

  /** Empties it; identifiers go on counting. */
  takeAll(): Outgoing[] {
    const rest = [...this.#unacknowledged.values()]
    this.#unacknowledged.clear()
    this.#released.clear()
    this.#bytes = 0
    return rest
  }

  puback(id: number): Outgoing | 'unknown' | 'wrong_flow' {
    const outgoing = this.#unacknowledged.get(id)
    if (outgoing === undefined) return this.#released.has(id) ? 'wrong_flow' : 'unknown'
    if (outgoing.qos !== 1) return 'wrong_flow'
    this.#delete(id)
    return outgoing
  }

  /** `again`: PUBREC came before, PUBREL is owed once more. */
  pubrec(id: number): Outgoing | 'again' | 'unknown' | 'wrong_flow' {
    if (this.#released.has(id)) return 'again'
    const outgoing = this.#unacknowledged.get(id)
    if (outgoing === undefined) return 'unknown'
    if (outgoing.qos !== 2) return 'wrong_flow'
    this.#delete(id)
    this.#released.add(id)
    return outgoing
  }

  pubcomp(id: number): 'done' | 'unknown' | 'wrong_flow' {
    if (this.#released.delete(id)) return 'done'
    return this.#unacknowledged.has(id) ? 'wrong_flow' : 'unknown'
  }

  #delete(id: number): void {
    this.#bytes -= this.#unacknowledged.get(id)?.message.payload.length ?? 0
    this.#unacknowledged.delete(id)
  }
}
