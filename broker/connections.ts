/** Every open connection, authenticated or not; closing them by what is known of them. */
import type { CloseReason } from './close-reason.ts'
import { Connection } from './connection.ts'

export class Connections {
  readonly #all = new Set<Connection>()

  get size(): number {
    return this.#all.size
  }

  add(connection: Connection): void {
    this.#all.add(connection)
  }

  delete(connection: unknown): void {
    if (connection instanceof Connection) this.#all.delete(connection)
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#all.values()
  }

  /**
   * Closes each connection for which `reasonOf` names a reason, e.g. because its certificate was
   * revoked.
   *
   * @returns how many were closed
   */
  closeWhere(reasonOf: (connection: Connection) => CloseReason | undefined): number {
    let closed = 0
    for (const connection of this.#all) {
      const reason = reasonOf(connection)
      if (reason === undefined) continue
      connection.close(reason)
      closed++
    }
    return closed
  }

  sweep(now: number): void {
    for (const connection of this.#all) connection.sweep(now)
  }
}
