/** `strftime` of C, for `log_timestamp_format`: local time, names in English. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const two = (value: number, fill = '0'): string => String(value).padStart(2, fill)

const CONVERSIONS: ReadonlyMap<string, (time: Date) => string> = new Map<
  string,
  (time: Date) => string
>([
  ['a', (time) => nameOf(DAYS, time.getDay()).slice(0, 3)],
  ['A', (time) => nameOf(DAYS, time.getDay())],
  ['b', (time) => nameOf(MONTHS, time.getMonth()).slice(0, 3)],
  ['h', (time) => nameOf(MONTHS, time.getMonth()).slice(0, 3)],
  ['B', (time) => nameOf(MONTHS, time.getMonth())],
  ['c', (time) => strftime('%a %b %e %T %Y', time)],
  ['C', (time) => two(Math.floor(time.getFullYear() / 100))],
  ['d', (time) => two(time.getDate())],
  ['D', (time) => strftime('%m/%d/%y', time)],
  ['e', (time) => two(time.getDate(), ' ')],
  ['F', (time) => strftime('%Y-%m-%d', time)],
  ['H', (time) => two(time.getHours())],
  ['I', (time) => two(time.getHours() % 12 === 0 ? 12 : time.getHours() % 12)],
  ['j', (time) => String(dayOfYear(time)).padStart(3, '0')],
  ['m', (time) => two(time.getMonth() + 1)],
  ['M', (time) => two(time.getMinutes())],
  ['n', () => '\n'],
  ['p', (time) => (time.getHours() < 12 ? 'AM' : 'PM')],
  ['r', (time) => strftime('%I:%M:%S %p', time)],
  ['R', (time) => strftime('%H:%M', time)],
  ['s', (time) => String(Math.floor(time.getTime() / 1000))],
  ['S', (time) => two(time.getSeconds())],
  ['t', () => '\t'],
  ['T', (time) => strftime('%H:%M:%S', time)],
  ['u', (time) => String(time.getDay() === 0 ? 7 : time.getDay())],
  ['w', (time) => String(time.getDay())],
  ['x', (time) => strftime('%m/%d/%y', time)],
  ['X', (time) => strftime('%H:%M:%S', time)],
  ['y', (time) => two(time.getFullYear() % 100)],
  ['Y', (time) => String(time.getFullYear())],
  ['z', (time) => offsetOf(time)],
  ['%', () => '%'],
])

/** A conversion that is not known stays as it stands. */
export function strftime(format: string, time: Date): string {
  return format.replaceAll(/%(.)/gu, (whole, letter: string) => {
    const convert = CONVERSIONS.get(letter)
    return convert === undefined ? whole : convert(time)
  })
}

function nameOf(names: readonly string[], i: number): string {
  return names[i] ?? ''
}

function dayOfYear(time: Date): number {
  const start = Date.UTC(time.getFullYear(), 0, 1)
  const day = Date.UTC(time.getFullYear(), time.getMonth(), time.getDate())
  return Math.round((day - start) / 86_400_000) + 1
}

function offsetOf(time: Date): string {
  const minutes = -time.getTimezoneOffset()
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}${two(size % 60)}`
}
