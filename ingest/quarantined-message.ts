/** A rejected message as `quarantine_events` has it. */

/** A row of `quarantine_events` without its payload. Every text may be one that a device chose. */
export interface QuarantinedEvent {
  /** An int64, which a number cannot hold. */
  readonly id: string
  /** ISO 8601 with microseconds, UTC; stands for the time of receipt. */
  readonly ingestedAt: string
  readonly topic: string
  readonly tenantId: string | null
  readonly deviceId: string | null
  readonly siteId: string | null
  readonly msgType: string | null
  readonly reason: string
  /** Null also where the table has no such column. */
  readonly publisher: string | null
}

export interface QuarantinedMessage extends QuarantinedEvent {
  /** JSON text; the token masked, also in rows that another service wrote. */
  readonly payload: string
}

export interface QuarantineFilter {
  readonly tenantId?: string
  readonly deviceId?: string
  /** As a whole, or up to its colon: `ROW_REJECTED` finds `ROW_REJECTED:23514`. */
  readonly reason?: string
  /** Rows that came at this time or later. */
  readonly since?: Date
  /** 1 to 1000; anything beyond is brought there. */
  readonly limit: number
}

const MAX_ID = 2n ** 63n - 1n

/** Can this text be the `id` of a row? */
export function isEventId(text: string): boolean {
  return /^[1-9]\d{0,18}$/u.test(text) && BigInt(text) <= MAX_ID
}
