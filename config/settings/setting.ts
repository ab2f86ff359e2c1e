import { isIP } from 'node:net'
import { parseDuration, parseGoBoolean, parseHostAndPort, type HostAndPort } from './go-values.ts'

/** One setting that mosquitto.conf has no word for, or whose word we also take from the environment. */
export interface Setting<T> {
  /** The environment variable. */
  readonly variable: string
  /**
   * The directive that means the same: one of Mosquitto's own, or `midge_…`. Undefined for what a
   * configuration file says otherwise, or must not hold.
   */
  readonly directive: string | undefined
  /** What a value looks like, to stand behind "expected". */
  readonly expected: string
  /** Undefined: not a value. */
  parse(text: string): T | undefined
  readonly default: T
  /** The default as one would write it, or words for it. */
  readonly shownDefault: string
  readonly unit: string
  readonly meaning: string
  /** Its value is never shown. */
  readonly secret: boolean
}

interface About<T> {
  readonly default: T
  readonly meaning: string
  /** Default: `midge_` and the variable in small letters. */
  readonly directive?: string | undefined
  readonly unit?: string
  readonly shownDefault?: string
  readonly secret?: true
}

function setting<T>(
  variable: string,
  expected: string,
  parse: (text: string) => T | undefined,
  about: About<T>,
): Setting<T> {
  return {
    variable,
    expected,
    parse,
    directive: 'directive' in about ? about.directive : directiveOf(variable),
    default: about.default,
    shownDefault: about.shownDefault ?? String(about.default),
    unit: about.unit ?? '',
    meaning: about.meaning,
    secret: about.secret === true,
  }
}

function directiveOf(variable: string): string {
  return `midge_${variable.toLowerCase().replace(/^midge_/u, '')}`
}

/** Decimal digits only: no sign, no exponent, no unit. */
export function wholeNumber(text: string): number | undefined {
  if (!/^[0-9]{1,15}$/u.test(text)) return undefined
  return Number(text)
}

export function count(
  variable: string,
  about: About<number> & { readonly min?: number; readonly max?: number },
): Setting<number> {
  const { min = 1, max = Number.MAX_SAFE_INTEGER } = about
  const range =
    max === Number.MAX_SAFE_INTEGER
      ? `a whole number from ${min}`
      : `a whole number from ${min} to ${max}`
  const parse = (text: string): number | undefined => {
    const value = wholeNumber(text)
    return value === undefined || value < min || value > max ? undefined : value
  }
  return setting(variable, range, parse, about)
}

/** A port; 0 lets the system choose. `off`, read as undefined, opens none. */
export function port(variable: string, about: About<number | undefined>) {
  const parse = (text: string): { readonly port: number | undefined } | undefined => {
    if (text === 'off') return { port: undefined }
    const value = wholeNumber(text)
    return value === undefined || value > 65_535 ? undefined : { port: value }
  }
  return setting(variable, 'a port from 0 to 65535, or off', parse, {
    ...about,
    default: { port: about.default },
    shownDefault: String(about.default),
  })
}

export function choice<const T extends string>(
  variable: string,
  choices: readonly T[],
  about: About<NoInfer<T>>,
): Setting<T> {
  const parse = (text: string): T | undefined => choices.find((choice) => choice === text)
  return setting(variable, choices.join(' or '), parse, about)
}

/** `1` or `0`, as the platform writes them; no other word is guessed at. */
export function bit(variable: string, about: About<boolean>): Setting<boolean> {
  const parse = (text: string): boolean | undefined =>
    text === '1' ? true : text === '0' ? false : undefined
  return setting(variable, '1 or 0', parse, { ...about, shownDefault: about.default ? '1' : '0' })
}

/** `true` or `false`, in any of Go's spellings. */
export function flag(variable: string, about: About<boolean>): Setting<boolean> {
  return setting(variable, 'true or false', parseGoBoolean, about)
}

/** A setTimeout takes no more than 24 days; a day is more than any of these needs. */
const MAX_DURATION_MS = 86_400_000

/** In Go's notation; read as whole milliseconds. */
export function duration(
  variable: string,
  about: Omit<About<number>, 'default'> & { readonly default: string; readonly minMs?: number },
): Setting<number> {
  const { minMs = 0 } = about
  const parse = (text: string): number | undefined => {
    const ms = parseDuration(text)
    return ms === undefined || ms < minMs || ms > MAX_DURATION_MS ? undefined : ms
  }
  const range = `from ${minMs === 0 ? '0s' : `${minMs}ms`} to 24h`
  const ms = parse(about.default)
  if (ms === undefined) throw new Error(`${variable} has no default`)
  return setting(variable, `a duration ${range}, such as 5s, 1m30s or 500ms`, parse, {
    ...about,
    default: ms,
    shownDefault: about.shownDefault ?? about.default,
  })
}

/** The same without a default of its own. */
export function optionalDuration(
  variable: string,
  about: Omit<About<number | undefined>, 'default'>,
): Setting<number | undefined> {
  const { parse, expected } = duration(variable, { ...about, default: '0s' })
  return setting<number | undefined>(variable, expected, parse, {
    ...about,
    default: undefined,
    shownDefault: '',
  })
}

/** A port that is opened only when it is given; 0: any free one. */
export function optionalPort(
  variable: string,
  about: Omit<About<number | undefined>, 'default'>,
): Setting<number | undefined> {
  const parse = (text: string): number | undefined => {
    const value = wholeNumber(text)
    return value === undefined || value > 65_535 ? undefined : value
  }
  return setting<number | undefined>(variable, 'a port from 0 to 65535', parse, {
    ...about,
    default: undefined,
    shownDefault: '',
  })
}

/** Where to dial; undefined by default. */
export function hostAndPort(
  variable: string,
  about: Omit<About<HostAndPort | undefined>, 'default'>,
): Setting<HostAndPort | undefined> {
  return setting<HostAndPort | undefined>(variable, 'host:port', parseHostAndPort, {
    ...about,
    default: undefined,
    shownDefault: '',
  })
}

export function words(variable: string, about: About<string>): Setting<string> {
  return setting(variable, 'text', (text) => text, about)
}

/** Names with commas between them. */
export function names(
  variable: string,
  about: About<readonly string[]>,
): Setting<readonly string[]> {
  const parse = (text: string): readonly string[] =>
    text.split(',').flatMap((each) => each.trim() || [])
  return setting(variable, 'names with commas between them', parse, about)
}

/** Where a listener listens. */
export function address(variable: string, about: About<string>): Setting<string> {
  const parse = (text: string): string | undefined =>
    text === 'loopback' || text === 'all' || isIP(text) !== 0 ? text : undefined
  return setting(variable, 'loopback, all, or an IP address', parse, about)
}

/** Text without a default. */
export function optional(
  variable: string,
  about: Omit<About<string | undefined>, 'default'> & {
    readonly expected?: string
    readonly accept?: (text: string) => boolean
  },
): Setting<string | undefined> {
  const parse = (text: string): string | undefined =>
    about.accept === undefined || about.accept(text) ? text : undefined
  const shownDefault = about.shownDefault ?? ''
  return setting(variable, about.expected ?? 'text', parse, {
    ...about,
    default: undefined,
    shownDefault,
  })
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

const LEVELS: ReadonlyMap<string, LogLevel> = new Map([
  ['trace', 'trace'],
  ['debug', 'debug'],
  ['info', 'info'],
  ['warn', 'warn'],
  ['warning', 'warn'],
  ['error', 'error'],
  ['critical', 'error'],
  ['silent', 'silent'],
])

/** Levels by any of their names, in capitals too. */
export function logLevel(variable: string, about: About<LogLevel>): Setting<LogLevel> {
  const parse = (text: string): LogLevel | undefined => LEVELS.get(text.toLowerCase())
  return setting(variable, 'DEBUG, INFO, WARNING, ERROR or CRITICAL', parse, about)
}
