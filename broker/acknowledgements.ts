/**
 * Acknowledgements towards a publisher, sent in the order of its PUBLISHes
 * [MQTT-4.6.0-2, MQTT-4.6.0-3] whatever the order in which they settle, and joined into one write
 * for all that settle together, as the rows of one COMMIT do.
 */
import { encodeAcknowledgements, type PacketType } from './packets/index.ts'

interface Owed {
  readonly type: typeof PacketType.PUBACK | typeof PacketType.PUBREC
  readonly packetId: number
  settled: boolean
}

export class Acknowledgements {
  readonly #send: (bytes: Buffer, packets: number) => void
  readonly #sent: (before: number) => void
  #owed: Owed[] = []
  #scheduled = false

  /** @param sent called after some have gone, with the number there was before */
  constructor(
    send: (bytes: Buffer, packets: number) => void,
    sent: (before: number) => void = () => undefined,
  ) {
    this.#send = send
    this.#sent = sent
  }

  /** Owed, settled or not: one that waits for storage holds up all behind it. */
  get size(): number {
    return this.#owed.length
  }

  /** Takes its place in the order; call the returned function once the message is safe. */
  owe(type: Owed['type'], packetId: number): () => void {
    const owed: Owed = { type, packetId, settled: false }
    this.#owed.push(owed)
    return () => {
      owed.settled = true
      if (this.#scheduled) return
      this.#scheduled = true
      // Runs after the other promises of the same batch have settled theirs.
      queueMicrotask(() => this.#flush())
    }
  }

  #flush(): void {
    this.#scheduled = false
    const owed = this.#owed
    let settled = 0
    while (owed[settled]?.settled === true) settled++
    if (settled === 0) return
    const before = owed.length
    let type: Owed['type'] | undefined
    let packetIds: number[] = []
    for (const next of owed.splice(0, settled)) {
      if (type !== undefined && next.type !== type) {
        this.#send(encodeAcknowledgements(type, packetIds), packetIds.length)
        packetIds = []
      }
      type = next.type
      packetIds.push(next.packetId)
    }
    if (type !== undefined) this.#send(encodeAcknowledgements(type, packetIds), packetIds.length)
    this.#sent(before)
  }
}
