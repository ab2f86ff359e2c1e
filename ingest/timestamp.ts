/**
 * Points in time with microseconds, as PostgreSQL keeps them: a Date has milliseconds only.
 *
 * Read is ISO 8601 as the field's devices write it: calendar, week and ordinal dates, extended and
 * basic, a time after `T`, `t` or a blank, a decimal point or comma after the seconds, an offset or
 * none (UTC).
 */

/** `ms` milliseconds since 1970 (any sign), and `us` microseconds (0 to 999) on top of them. */
export interface Timestamp {
  readonly ms: number
  readonly us: number
}

const DAY_MS = 86_400_000
/** 0001-01-01 and the millisecond before 10000-01-01, in UTC. */
const FIRST_MS = -62_135_596_800_000
const LAST_MS = 253_402_300_799_999

/** Not the time of an ISO 8601 text: undefined. A second 60 or year 0 is none. O(length), no throw. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const date = parseDate(text)
  if (date === undefined) return undefined
  if (date.end === text.length) return inRange(date.days * DAY_MS, 0)
  // A date cut short (2026, 2026-02, 2026-W07) takes no time behind it.
  if (!date.whole || !'Tt '.includes(text.charAt(date.end))) return undefined
  const time = parseTime(text, date.end + 1)
  return time === undefined ? undefined : inRange(date.days * DAY_MS + time.ms, time.us)
}

/** `2026-02-09T09:15:23.045000Z`: what PostgreSQL reads back to the same microsecond. */
export function formatTimestamp({ ms, us }: Timestamp): string {
  return `${new Date(ms).toISOString().slice(0, -1)}${String(us).padStart(3, '0')}Z`
}

function inRange(ms: number, us: number): Timestamp | undefined {
  return ms >= FIRST_MS && ms <= LAST_MS ? { ms, us } : undefined
}

/** `count` digits at `at` as a number; -1 when they are not all there. */
function digits(text: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const digit = text.charCodeAt(i) - 48
    if (!(digit >= 0 && digit <= 9)) return -1
    value = value * 10 + digit
  }
  return value
}

interface ParsedDate {
  /** Since 1970. */
  readonly days: number
  /** Names a day, so that a time may follow. */
  readonly whole: boolean
  readonly end: number
}

function parseDate(text: string): ParsedDate | undefined {
  const year = digits(text, 0, 4)
  if (year < 1) return undefined
  if (text.length === 4) return { days: daysFromCivil(year, 1, 1), whole: false, end: 4 }
  const extended = text.charAt(4) === '-'
  const at = extended ? 5 : 4
  if (text.charAt(at) === 'W') return parseWeek(text, year, at + 1, extended)
  const month = digits(text, at, 2)
  if (extended && text.length === 7) return calendar(year, month, 1, false, 7)
  const dayAt = at + (extended ? 3 : 2)
  const day = digits(text, dayAt, 2)
  if (month !== -1 && day !== -1 && (!extended || text.charAt(7) === '-')) {
    return calendar(year, month, day, true, dayAt + 2)
  }
  const ordinal = digits(text, at, 3)
  if (ordinal < 1 || ordinal > (isLeap(year) ? 366 : 365)) return undefined
  return { days: daysFromCivil(year, 1, 1) + ordinal - 1, whole: true, end: at + 3 }
}

function parseWeek(
  text: string,
  year: number,
  at: number,
  extended: boolean,
): ParsedDate | undefined {
  const week = digits(text, at, 2)
  if (week < 1 || week > 53) return undefined
  // ISO 8601: week 1 is the one with 4 January in it; weeks begin on Monday.
  const fourth = daysFromCivil(year, 1, 4)
  const monday = fourth - modulo(fourth + 3, 7) + (week - 1) * 7
  const dayAt = at + (extended ? 3 : 2)
  if (text.length === at + 2) return { days: monday, whole: false, end: at + 2 }
  const day = digits(text, dayAt, 1)
  if (day < 1 || day > 7 || (extended && text.charAt(at + 2) !== '-')) return undefined
  return { days: monday + day - 1, whole: true, end: dayAt + 1 }
}

function calendar(
  year: number,
  month: number,
  day: number,
  whole: boolean,
  end: number,
): ParsedDate | undefined {
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined
  return { days: daysFromCivil(year, month, day), whole, end }
}

function parseTime(text: string, at: number): Timestamp | undefined {
  const hour = digits(text, at, 2)
  let minute = 0
  let second = 0
  let micros = 0
  let end = at + 2
  const colon = text.charAt(end) === ':' ? 1 : 0
  if (colon === 1 || isDigit(text, end)) {
    minute = digits(text, end + colon, 2)
    end += colon + 2
    if (colon === 1 ? text.charAt(end) === ':' : isDigit(text, end)) {
      second = digits(text, end + colon, 2)
      end += colon + 2
      if (text.charAt(end) === '.' || text.charAt(end) === ',') {
        const from = ++end
        while (isDigit(text, end)) {
          // The seventh and further digits are cut off, not rounded.
          if (end - from < 6) micros = micros * 10 + text.charCodeAt(end) - 48
          end++
        }
        if (end === from) return undefined
        for (let i = end - from; i < 6; i++) micros *= 10
      }
    }
  }
  if (hour < 0 || hour > 24 || minute < 0 || minute > 59 || second < 0 || second > 59) {
    return undefined
  }
  if (hour === 24 && (minute !== 0 || second !== 0 || micros !== 0)) return undefined
  const offset = parseOffset(text, end)
  if (offset === undefined) return undefined
  const us = micros % 1000
  return { ms: ((hour * 60 + minute - offset) * 60 + second) * 1000 + (micros - us) / 1000, us }
}

/** Minutes east of UTC; nothing at all is UTC. */
function parseOffset(text: string, at: number): number | undefined {
  const length = text.length - at
  if (length === 0) return 0
  const sign = text.charAt(at)
  if (length === 1) return sign === 'Z' || sign === 'z' ? 0 : undefined
  if (sign !== '+' && sign !== '-') return undefined
  const hours = digits(text, at + 1, 2)
  let minutes = -1
  if (length === 3) minutes = 0
  else if (length === 5) minutes = digits(text, at + 3, 2)
  else if (length === 6 && text.charAt(at + 3) === ':') minutes = digits(text, at + 4, 2)
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined
  return (sign === '-' ? -1 : 1) * (hours * 60 + minutes)
}

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 48 && code <= 57
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Days since 1970 in the Gregorian calendar carried back; March is taken as the first month. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const leapDays = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400)
  return y * 365 + leapDays + dayOfYear - 719_468
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by
}
