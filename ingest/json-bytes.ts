/** The small change of reading JSON as bytes: its alphabet, its escapes, the names of its members. */

/** Out of bounds reads as NUL, which no JSON text may hold outside: every loop ends there. */
export function at(bytes: Uint8Array, i: number): number {
  return bytes[i] ?? 0
}

/** A member nobody asked for. */
export const OTHER = -1
/** No name of a member. */
export const INVALID = -2
/** 1 for the bytes that stand for themselves in a string. */
export const PLAIN = new Uint8Array(256).fill(1, 0x20)
PLAIN[0x22] = 0
PLAIN[0x5c] = 0

/** What may stand behind a backslash, `u` aside. */
export const SIMPLE_ESCAPES: Uint8Array = Buffer.from('"\\/bfnrt')

const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')

/** The word that begins with this byte; undefined: none does. */
export function literalOf(first: number): Uint8Array | undefined {
  if (first === 0x74) return TRUE
  if (first === 0x66) return FALSE
  return first === 0x6e ? NULL : undefined
}

/** Which of `names` these bytes are; OTHER: none. */
export function fieldAt(
  names: readonly Uint8Array[],
  bytes: Uint8Array,
  from: number,
  to: number,
): number {
  candidates: for (let field = 0; field < names.length; field++) {
    const name = names[field]
    if (name === undefined || name.length !== to - from) continue
    for (let i = 0; i < name.length; i++) {
      if (name[i] !== bytes[from + i]) continue candidates
    }
    return field
  }
  return OTHER
}

/** The same for a name that was written with escapes. */
export function fieldNamed(
  names: readonly Uint8Array[],
  bytes: Uint8Array,
  from: number,
  to: number,
): number {
  const name = unescaped(bytes, from, to)
  return names.findIndex((known) => Buffer.from(known).toString() === name)
}

function unescaped(bytes: Uint8Array, from: number, to: number): string {
  return String(JSON.parse(Buffer.from(bytes.subarray(from - 1, to + 1)).toString()))
}

/** Bytes as text, one character each. */
export function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1')
}

/** Behind a run of digits; -1: there is none. */
export function skipDigits(bytes: Uint8Array, from: number): number {
  let i = from
  while (at(bytes, i) >= 0x30 && at(bytes, i) <= 0x39) i++
  return i === from ? -1 : i
}

/** Four hex digits as a number; -1: they are none. */
export function hex4(bytes: Uint8Array, from: number): number {
  let value = 0
  for (let i = from; i < from + 4; i++) {
    const c = at(bytes, i)
    const digit = c >= 0x30 && c <= 0x39 ? c - 0x30 : (c | 0x20) - 0x57
    if (digit < 0 || digit > 15 || (c > 0x39 && digit < 10)) return -1
    value = value * 16 + digit
  }
  return value
}
