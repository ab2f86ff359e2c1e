/** Writing DER: each function gives one complete element. */
import { Tag } from './der.ts'

export function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([header(tag, length), ...parts])
}

function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.of(tag, length)
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Buffer.of(tag, 0x80 | octets.length, ...octets)
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return element(Tag.sequence, ...parts)
}

/** One element is enough here; DER's order of several is up to the caller. */
export function set(...parts: readonly Uint8Array[]): Buffer {
  return element(Tag.set, ...parts)
}

/** A non-negative INTEGER, in its shortest form. */
export function unsigned(value: bigint | number): Buffer {
  const hex = value.toString(16)
  return unsignedOf(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'))
}

/** The same from big-endian octets, with or without leading zero octets. */
export function unsignedOf(octets: Uint8Array): Buffer {
  let first = 0
  while (first < octets.length - 1 && octets[first] === 0) first++
  const magnitude = octets.subarray(first)
  const sign = (magnitude[0] ?? 0) >= 0x80 || magnitude.length === 0 ? [Buffer.of(0)] : []
  return element(Tag.integer, ...sign, magnitude)
}

export function oid(text: string): Buffer {
  const arcs = text.split('.').map(Number)
  const [first = 0, second = 0, ...rest] = arcs
  const octets: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 128]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left % 128) | 0x80)
    }
    octets.push(...groups)
  }
  return element(Tag.oid, Buffer.from(octets))
}

export function boolean(value: boolean): Buffer {
  return element(Tag.boolean, Buffer.of(value ? 0xff : 0))
}

export function octetString(content: Uint8Array): Buffer {
  return element(Tag.octetString, content)
}

export function bitString(content: Uint8Array, unusedBits = 0): Buffer {
  return element(Tag.bitString, Buffer.of(unusedBits), content)
}

export function utf8String(text: string): Buffer {
  return element(Tag.utf8String, Buffer.from(text, 'utf8'))
}

/** `[number]`, constructed. */
export function explicit(number: number, ...parts: readonly Uint8Array[]): Buffer {
  return element(0xa0 | number, ...parts)
}

/** UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5); milliseconds are cut off. */
export function time(ms: number): Buffer {
  const digits = new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/u, 'Z')
    .replace(/[-:T]/gu, '')
  const year = Number(digits.slice(0, 4))
  return year >= 1950 && year < 2050
    ? element(Tag.utcTime, Buffer.from(digits.slice(2), 'latin1'))
    : element(Tag.generalizedTime, Buffer.from(digits, 'latin1'))
}

/** Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue } (RFC 5280 §4.1). */
export function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value))
}
