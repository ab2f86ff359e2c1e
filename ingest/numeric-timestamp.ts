/** A `ts` that is a number, or one that cannot be: only where the settings ask for it. */
import type { Timestamp } from './timestamp.ts'

/** Seconds below, milliseconds from here on: the year 5138, or March 1973. */
const MILLISECONDS_FROM = 1e11
/** 0001-01-01 and the millisecond before 10000-01-01, in UTC. */
const FIRST_MS = -62_135_596_800_000
const LAST_MS = 253_402_300_799_999
const OLDEST_MS = 30 * 86_400_000
const NEWEST_MS = 60_000

/** Undefined beyond the years 1 to 9999. Microseconds as far as a double holds them. */
export function numericTimestamp(value: number): Timestamp | undefined {
  const milliseconds = Math.abs(value) < MILLISECONDS_FROM ? value * 1000 : value
  if (!(milliseconds >= FIRST_MS && milliseconds <= LAST_MS)) return undefined
  const ms = Math.floor(milliseconds)
  return { ms, us: Math.min(999, Math.round((milliseconds - ms) * 1000)) }
}

/** The time of receipt in place of one more than 30 days before it or 60 s after it. */
export function clamped(time: Timestamp, receivedAt: number): Timestamp {
  const age = receivedAt - (time.ms + time.us / 1000)
  return age <= OLDEST_MS && age >= -NEWEST_MS ? time : { ms: receivedAt, us: 0 }
}
