/** Rejected messages looked at by an operator: listed, shown, discarded. `quarantine-replay.ts` tries one again. */
import { quarantinePayload } from './quarantine-payload.ts'
import type { QuarantineRows } from './quarantine-rows.ts'
import type {
  QuarantinedEvent,
  QuarantinedMessage,
  QuarantineFilter,
} from './quarantined-message.ts'

export class QuarantineReview {
  readonly #rows: QuarantineRows

  constructor(rows: QuarantineRows) {
    this.#rows = rows
  }

  /** Newest first. */
  list(filter: QuarantineFilter): Promise<QuarantinedEvent[]> {
    return this.#rows.list(filter)
  }

  /** Undefined: there is no such row (any more). @param id as `isEventId` has it */
  async show(id: string): Promise<QuarantinedMessage | undefined> {
    const event = await this.#rows.read(id)
    return event && { ...event, payload: quarantinePayload(Buffer.from(event.payload)) }
  }

  /** Deletes the row for good, which audit_log remembers. False: there is none. */
  discard(id: string): Promise<boolean> {
    return this.#rows.remove(id, { action: 'discard', done: 'discarded' })
  }
}
