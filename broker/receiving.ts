/**
 * QoS 2 messages whose PUBREC waits for storage, by Session and Packet Identifier. A retransmission,
 * also one over a new connection, waits for the same COMMIT and is not stored twice.
 */
import type { Session } from './store/index.ts'

export class Receiving {
  readonly #pending = new WeakMap<Session, Map<number, Promise<void>>>()

  begin(session: Session, packetId: number, stored: Promise<void>): void {
    let pending = this.#pending.get(session)
    if (pending === undefined) {
      pending = new Map()
      this.#pending.set(session, pending)
    }
    pending.set(packetId, stored)
    const done = () => pending.delete(packetId)
    stored.then(done, () => {
      done()
      // Not taken: the retransmission has to be treated as new.
      session.endReceive(packetId)
    })
  }

  /** Undefined: stored already. */
  of(session: Session, packetId: number): Promise<void> | undefined {
    return this.#pending.get(session)?.get(packetId)
  }
}
