/**
 * Reads a JSON text (RFC 8259) as bytes, once, and remembers where the members of its top-level
 * object stand that ingest has a use for. Accepts exactly what JSON.parse accepts of valid UTF-8.
 *
 * Values are cut out rather than parsed because a number that went through a double is not the
 * number that was sent (0.1000000000000000055, 12345678901234567890), and because most of a payload
 * is passed on unread. There is no recursion: a payload of nothing but `[` costs memory, not stack.
 */

import {
  at,
  fieldAt,
  fieldNamed,
  hex4,
  INVALID,
  latin1,
  literalOf,
  OTHER,
  PLAIN,
  SIMPLE_ESCAPES,
  skipDigits,
} from './json-bytes.ts'
import { isStorableNumber } from './json-number.ts'

/** Members of the top-level object that are looked at; the index is their place in the scanner. */
export const FIELD = {
  ts: 0,
  siteId: 1,
  tenantId: 2,
  seq: 3,
  metrics: 4,
  version: 5,
  provisionToken: 6,
  lat: 7,
  latitude: 8,
  lng: 9,
  longitude: 10,
} as const
export type Field = (typeof FIELD)[keyof typeof FIELD]

const NAMES = [
  'ts',
  'site_id',
  'tenant_id',
  'seq',
  'metrics',
  'version',
  'provision_token',
  'lat',
  'latitude',
  'lng',
  'longitude',
].map((name) => Buffer.from(name))

/** Bits of `flags`: what PostgreSQL's jsonb and text, or a double, cannot take. */
export const UNSTORABLE_TEXT = 1
export const UNSTORABLE_NUMBER = 2
export const TOO_DEEP = 4
/** A bit of `flags`: a backslash occurs in it. */
export const ESCAPED = 8

/** Levels of a value; PostgreSQL's own bound is its stack. */
export const MAX_DEPTH = 100

const OBJECT = 1
const ARRAY = 2

/** Reusable, not reentrant: what it found is good until the next `scan`. */
export class JsonScanner {
  /** Of each field's value, by its place in `names`; `start` is -1 when the member is absent. */
  readonly start: Int32Array
  readonly end: Int32Array
  readonly flags: Uint8Array
  readonly #names: readonly Uint8Array[]

  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #flags = 0
  #containers = new Uint8Array(256)

  /** @param names of the members to remember; by default those of a telemetry message, by FIELD */
  constructor(names: readonly Uint8Array[] = NAMES) {
    this.#names = names
    this.start = new Int32Array(names.length)
    this.end = new Int32Array(names.length)
    this.flags = new Uint8Array(names.length)
  }

  /** `object` or `value` for a JSON text, by its outermost value; `invalid` for anything else. */
  scan(bytes: Uint8Array): 'object' | 'value' | 'invalid' {
    this.#bytes = bytes
    this.#at = 0
    this.start.fill(-1)
    this.#space()
    const outermost = at(bytes, this.#at)
    if (!this.#value()) return 'invalid'
    this.#space()
    if (this.#at !== bytes.length) return 'invalid'
    return outermost === 0x7b ? 'object' : 'value'
  }

  #value(): boolean {
    const bytes = this.#bytes
    let depth = 0
    let field = -1
    for (;;) {
      // A value stands here.
      const first = at(bytes, this.#at)
      if (first === 0x7b || first === 0x5b) {
        this.#at++
        this.#space()
        const close = first === 0x7b ? 0x7d : 0x5d
        if (at(bytes, this.#at) !== close) {
          this.#push(depth++, first === 0x7b ? OBJECT : ARRAY)
          if (first === 0x5b) continue
          const found = this.#key(depth)
          if (found === INVALID) return false
          if (depth === 1) field = this.#open(found)
          continue
        }
        this.#at++
      } else if (first === 0x22) {
        if (!this.#string()) return false
      } else if (first === 0x2d || (first >= 0x30 && first <= 0x39)) {
        if (!this.#number()) return false
      } else if (!this.#literal(first)) return false

      // A value has ended; what follows belongs to the container it stands in.
      for (;;) {
        if (depth === 0) return true
        if (depth === 1 && field >= 0) this.#close(field)
        this.#space()
        const isObject = this.#containers[depth - 1] === OBJECT
        const next = at(bytes, this.#at)
        if (next === 0x2c) {
          this.#at++
          this.#space()
          if (!isObject) break
          const found = this.#key(depth)
          if (found === INVALID) return false
          if (depth === 1) field = this.#open(found)
          break
        }
        if (next !== (isObject ? 0x7d : 0x5d)) return false
        this.#at++
        depth--
        if (depth === 0) field = -1
      }
    }
  }

  #push(depth: number, kind: number): void {
    if (depth === this.#containers.length) {
      const grown = new Uint8Array(depth * 2)
      grown.set(this.#containers)
      this.#containers = grown
    }
    this.#containers[depth] = kind
    if (depth > MAX_DEPTH) this.#flags |= TOO_DEEP
  }

  #open(field: number): number {
    if (field >= 0) {
      this.start[field] = this.#at
      this.#flags = 0
    }
    return field
  }

  #close(field: number): void {
    this.end[field] = this.#at
    this.flags[field] = this.#flags
  }

  #space(): void {
    const bytes = this.#bytes
    let i = this.#at
    for (;;) {
      const c = at(bytes, i)
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break
      i++
    }
    this.#at = i
  }

  /** From the opening quote of a member's name to its value; the field, OTHER, or INVALID. */
  #key(depth: number): number {
    const bytes = this.#bytes
    if (at(bytes, this.#at) !== 0x22) return INVALID
    const from = this.#at + 1
    // Escapes in deeper names count for the value around them, those in top-level names do not.
    const outer = this.#flags
    this.#flags = 0
    if (!this.#string()) return INVALID
    const escaped = (this.#flags & ESCAPED) !== 0
    this.#flags |= outer
    const to = this.#at - 1
    this.#space()
    if (at(bytes, this.#at) !== 0x3a) return INVALID
    this.#at++
    this.#space()
    if (depth !== 1) return OTHER
    const names = this.#names
    return escaped ? fieldNamed(names, bytes, from, to) : fieldAt(names, bytes, from, to)
  }

  #string(): boolean {
    const bytes = this.#bytes
    let i = this.#at + 1
    for (;;) {
      while (PLAIN[at(bytes, i)] === 1) i++
      const c = at(bytes, i)
      if (c === 0x22) break
      if (c !== 0x5c) return false
      this.#flags |= ESCAPED
      const length = this.#escape(++i)
      if (length === 0) return false
      i += length
    }
    this.#at = i + 1
    return true
  }

  /** Bytes of the escape after its backslash, 0 when it is none. */
  #escape(i: number): number {
    const kind = at(this.#bytes, i)
    if (kind !== 0x75) return SIMPLE_ESCAPES.includes(kind) ? 1 : 0
    const unit = hex4(this.#bytes, i + 1)
    if (unit === -1) return 0
    if (unit === 0 || (unit >= 0xdc00 && unit <= 0xdfff)) this.#flags |= UNSTORABLE_TEXT
    if (unit < 0xd800 || unit > 0xdbff) return 5
    if (at(this.#bytes, i + 5) === 0x5c && at(this.#bytes, i + 6) === 0x75) {
      const low = hex4(this.#bytes, i + 7)
      if (low >= 0xdc00 && low <= 0xdfff) return 11
    }
    this.#flags |= UNSTORABLE_TEXT
    return 5
  }

  #number(): boolean {
    const bytes = this.#bytes
    const from = this.#at
    let i = from
    if (at(bytes, i) === 0x2d) i++
    if (at(bytes, i) === 0x30) i++
    else if ((i = skipDigits(bytes, i)) === -1) return false
    let simple = true
    if (at(bytes, i) === 0x2e) {
      if ((i = skipDigits(bytes, i + 1)) === -1) return false
    }
    if ((at(bytes, i) | 0x20) === 0x65) {
      simple = false
      i++
      if (at(bytes, i) === 0x2b || at(bytes, i) === 0x2d) i++
      if ((i = skipDigits(bytes, i)) === -1) return false
    }
    if ((!simple || i - from > 300) && !isStorableNumber(latin1(bytes, from, i))) {
      this.#flags |= UNSTORABLE_NUMBER
    }
    this.#at = i
    return true
  }

  #literal(first: number): boolean {
    const word = literalOf(first)
    if (word === undefined) return false
    for (let i = 0; i < word.length; i++) {
      if (at(this.#bytes, this.#at + i) !== word[i]) return false
    }
    this.#at += word.length
    return true
  }
}
