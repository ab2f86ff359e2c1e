/**
 * Values as Go writes them: what a program in Go had in its environment is taken as it stands.
 */

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['μs', 1e-3],
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
])

const ALL_PARTS = /^\+?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+$/u
const ONE_PART = /([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)/gu

/**
 * A duration as Go's `time.ParseDuration` reads it (`5s`, `1m30s`, `500ms`, `1.5h`, `0`), in whole
 * milliseconds, rounded up. Undefined for anything else, a number without its unit and a negative
 * duration among them.
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0' || text === '+0') return 0
  if (text.length > 64 || !ALL_PARTS.test(text)) return undefined
  let ms = 0
  for (const [, count = '', unit = ''] of text.matchAll(ONE_PART)) {
    ms += Number(count) * (UNIT_MS.get(unit) ?? 0)
  }
  // 0.1s + 0.2s must not become 301 ms.
  return Math.ceil(Number(ms.toFixed(6)))
}

const TRUE: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True'])
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False'])

/** As Go's `strconv.ParseBool`; undefined for any other word. */
export function parseGoBoolean(text: string): boolean | undefined {
  return TRUE.has(text) ? true : FALSE.has(text) ? false : undefined
}

export interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** `host:port`, `[::1]:port` or `:port` (this machine), as Go's `net.Dial` takes them. */
export function parseHostAndPort(text: string): HostAndPort | undefined {
  const [, bracketed, plain = '', digits = ''] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/@]{0,253})):([0-9]{1,5})$/u.exec(text) ?? []
  const port = Number(digits)
  if (digits === '' || port < 1 || port > 65_535) return undefined
  const host = bracketed ?? plain
  return { host: host === '' ? '127.0.0.1' : host, port }
}
