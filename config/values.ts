/**
 * What may stand behind the name of a directive. Blanks, C integers, the words for true and false,
 * and the texts of the refusals are Mosquitto's.
 */
import { shown, trimBlanks } from './lines.ts'

export type Value =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'boolean'; readonly boolean: boolean }
  | { readonly kind: 'integer'; readonly integer: number }
  | { readonly kind: 'words'; readonly words: readonly string[] }

export type Parsed = { readonly value: Value } | { readonly problem: string }

/** What follows the name and its one space, and whether those bytes were UTF-8. */
export interface Rest {
  readonly rest: string
  readonly malformed: boolean
}

export interface ValueKind {
  /** For the documentation, such as `0 to 2`. */
  readonly description: string
  /** @param label what a refusal calls the directive */
  parse(label: string, given: Rest): Parsed
}

const MAX_TEXT_BYTES = 65_535
export const empty = (label: string): string => `Empty '${label}' value in configuration.`
export const invalid = (label: string, value: string | number): string =>
  `Invalid '${label}' value (${shown(String(value))}).`
export const requires = (name: string, what: string): string =>
  `The '${name}' option requires ${what} to be defined first.`
export const duplicate = (label: string): string => `Duplicate '${label}' value in configuration.`

/** Mosquitto separates words by spaces only; a tab is part of a word. */
export function wordsOf(text: string): string[] {
  return text.split(' ').filter((word) => word !== '')
}

// What MQTT 3.1.1 §1.5.3 bars or advises against in text, as Mosquitto bars it.
const NOT_TEXT = /[\p{Cc}\p{Noncharacter_Code_Point}]/u

/** The rest of the line: leading and trailing blanks are cut, others belong to it. */
export function text(check: (label: string, text: string) => string | undefined = () => undefined) {
  return {
    description: 'rest of the line',
    parse(label, { rest, malformed }) {
      const value = trimBlanks(rest)
      if (value === '') return { problem: empty(label) }
      if (Buffer.byteLength(value) > MAX_TEXT_BYTES) {
        return { problem: `'${label}' value is longer than ${MAX_TEXT_BYTES} bytes.` }
      }
      if (malformed || NOT_TEXT.test(value)) return { problem: 'Malformed UTF-8 in configuration.' }
      const problem = check(label, value)
      return problem === undefined ? { value: { kind: 'text', text: value } } : { problem }
    },
  } satisfies ValueKind
}

/** Exactly `true`, `false`, `1` or `0`; what follows the word is not looked at. */
export const boolean: ValueKind = {
  description: '`true` or `false`',
  parse(label, { rest }) {
    const word = wordsOf(rest)[0]
    if (word === undefined) return { problem: empty(label) }
    if (word === 'true' || word === '1') return { value: { kind: 'boolean', boolean: true } }
    if (word === 'false' || word === '0') return { value: { kind: 'boolean', boolean: false } }
    return { problem: invalid(label, word) }
  },
}

const C_INTEGER = /^[\t\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/u

/** As `strtol` with base 0 reads it: `0x10` is 16 and `010` is 8; undefined for anything else. */
export function cInteger(word: string): number | undefined {
  const [, sign, digits] = C_INTEGER.exec(word) ?? []
  if (digits === undefined) return undefined
  const octal = digits.length > 1 && /^0[0-7]/u.test(digits)
  const value = octal ? Number.parseInt(digits, 8) : Number(digits)
  return sign === '-' && value !== 0 ? -value : value
}

const INT_MAX = 2 ** 31 - 1

export interface IntegerBounds {
  readonly min?: number
  readonly max?: number
  /** Smaller values become `min`; without it they are refused. */
  readonly raise?: true
  /** The whole refusal of a value outside the bounds. */
  readonly outside?: (label: string, value: number) => string
  /** Mosquitto takes 64 bits where this is set. */
  readonly wide?: true
}

export function integer(bounds: IntegerBounds = {}): ValueKind {
  const { min = -INT_MAX - 1, max = INT_MAX, outside = invalid } = bounds
  const limit = bounds.wide === true ? Number.MAX_SAFE_INTEGER : INT_MAX
  return {
    description: describe(bounds),
    parse(label, { rest }) {
      const word = wordsOf(rest)[0]
      if (word === undefined) return { problem: empty(label) }
      const value = cInteger(word)
      if (value === undefined) return { problem: `'${label}' value not a number.` }
      if (value > limit || value < -limit - 1) return { problem: `'${label}' value out of range.` }
      if (value > max || (value < min && bounds.raise !== true)) {
        return { problem: outside(label, value) }
      }
      return { value: { kind: 'integer', integer: Math.max(value, min) } }
    },
  }
}

function describe({ min, max, raise }: IntegerBounds): string {
  if (min !== undefined && max !== undefined) return `${min} to ${max}`
  return min === undefined || raise === true ? 'number' : `number from ${min}`
}

/** One word of a closed set; what follows it is not looked at. */
export function word(...choices: readonly string[]): ValueKind {
  return {
    description: choices.map((choice) => `\`${choice}\``).join(', '),
    parse(label, { rest }) {
      const given = wordsOf(rest)[0]
      if (given === undefined) return { problem: empty(label) }
      if (!choices.includes(given)) return { problem: invalid(label, given) }
      return { value: { kind: 'text', text: given } }
    },
  }
}

/** All words of the line, at least one. */
export const words: ValueKind = {
  description: 'words',
  parse(label, { rest, malformed }) {
    const given = wordsOf(rest)
    if (given.length === 0) return { problem: empty(label) }
    if (malformed) return { problem: 'Malformed UTF-8 in configuration.' }
    return { value: { kind: 'words', words: given } }
  },
}

/** Whatever follows is not looked at. */
export const anything: ValueKind = {
  description: 'not looked at',
  parse: (_label, { rest }) => ({ value: { kind: 'text', text: trimBlanks(rest) } }),
}
