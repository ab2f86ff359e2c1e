/** The primitive values X.509 uses, from their DER content. */
import { DerError, type DerReader, Tag, type DerElement } from './der.ts'

/** `2.5.29.20` and the like. */
export function readOid(reader: DerReader): string {
  return oidOf(reader.bytes, reader.next(Tag.oid))
}

export function oidOf(bytes: Uint8Array, element: DerElement): string {
  let text = ''
  let arc = 0
  let open = false
  for (let i = element.content; i < element.end; i++) {
    const octet = bytes[i] ?? 0
    if (!open && octet === 0x80) throw new DerError(`padded OID at byte ${i}`)
    arc = arc * 128 + (octet & 0x7f)
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw new DerError(`OID arc too large at byte ${i}`)
    open = octet >= 0x80
    if (open) continue
    if (text === '') {
      const first = Math.min(2, Math.floor(arc / 40))
      text = `${first}.${arc - first * 40}`
    } else {
      text += `.${arc}`
    }
    arc = 0
  }
  if (open || text === '') throw new DerError(`incomplete OID at byte ${element.start}`)
  return text
}

/** Refuses an INTEGER without content, and one with a needless leading octet (X.690 §8.3.2). */
export function checkInteger(bytes: Uint8Array, element: DerElement): void {
  const first = bytes[element.content] ?? 0
  const second = bytes[element.content + 1] ?? 0
  const length = element.end - element.content
  if (length === 0) throw new DerError(`empty integer at byte ${element.start}`)
  if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw new DerError(`integer not in its shortest form at byte ${element.start}`)
  }
}

/** A non-negative INTEGER of at most 20 octets. */
export function readUnsigned(reader: DerReader, tag: number = Tag.integer): bigint {
  const element = reader.next(tag)
  checkInteger(reader.bytes, element)
  const content = reader.contentOf(element)
  if ((content[0] ?? 0) >= 0x80) throw new DerError(`negative integer at byte ${element.start}`)
  if (content.length > 21) throw new DerError(`integer too large at byte ${element.start}`)
  return BigInt(`0x${Buffer.from(content).toString('hex')}`)
}

export function readBoolean(reader: DerReader, tag: number = Tag.boolean): boolean {
  const element = reader.next(tag)
  const value = reader.bytes[element.content]
  if (element.end - element.content !== 1 || (value !== 0 && value !== 0xff)) {
    throw new DerError(`not a boolean at byte ${element.start}`)
  }
  return value === 0xff
}

/** A BIT STRING of whole octets: keys and signatures. */
export function readOctetAlignedBits(reader: DerReader): Uint8Array {
  const element = reader.next(Tag.bitString)
  if (reader.bytes[element.content] !== 0 || element.end === element.content) {
    throw new DerError(`bit string with unused bits at byte ${element.start}`)
  }
  return reader.bytes.subarray(element.content + 1, element.end)
}

/** A BIT STRING of named bits: bit n of the result is named bit n. */
export function readNamedBits(reader: DerReader, tag: number = Tag.bitString): number {
  const element = reader.next(tag)
  const content = reader.contentOf(element)
  const unused = content[0]
  if (unused === undefined || unused > 7 || (content.length === 1 && unused !== 0)) {
    throw new DerError(`not a bit string at byte ${element.start}`)
  }
  let bits = 0
  for (let n = 0; n < Math.min(24, (content.length - 1) * 8 - unused); n++) {
    if (((content[1 + (n >> 3)] ?? 0) & (0x80 >> (n & 7))) !== 0) bits |= 1 << n
  }
  return bits
}

const UTC_TIME = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/u
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/u

export function isTime(tag: number | undefined): boolean {
  return tag === Tag.utcTime || tag === Tag.generalizedTime
}

/** Milliseconds since 1970; only the two forms of RFC 5280 §4.1.2.5, to the second and in UTC. */
export function readTime(reader: DerReader): number {
  const element = reader.next()
  if (!isTime(element.tag)) throw new DerError(`expected a time at byte ${element.start}`)
  const text = Buffer.from(reader.contentOf(element)).toString('latin1')
  const match = (element.tag === Tag.utcTime ? UTC_TIME : GENERALIZED_TIME).exec(text)
  if (match === null) throw new DerError(`not a time: ${JSON.stringify(text)}`)
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1)
    .map(Number)
  const century = element.tag === Tag.utcTime ? (year < 50 ? 2000 : 1900) : 0
  const date = new Date(0)
  date.setUTCFullYear(century + year, month - 1, day)
  date.setUTCHours(hour, minute, second)
  const real =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60
  if (!real || second > 59) throw new DerError(`not a time: ${JSON.stringify(text)}`)
  return date.getTime()
}
