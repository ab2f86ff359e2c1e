/**
 * Reading DER (X.690), strictly: definite lengths in their shortest form, low tag numbers, nothing
 * outside its parent. The reader is flat: it opens only what a caller names, so nested input costs
 * no stack.
 */

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  printableString: 0x13,
  t61String: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
} as const

/** Bytes that are not the DER expected; the message says where and what was found. */
export class DerError extends Error {
  override readonly name = 'DerError'
}

/** One element: offsets into the bytes it was read from. */
export interface DerElement {
  readonly tag: number
  /** Where tag and length begin. */
  readonly start: number
  /** Where the content begins. */
  readonly content: number
  readonly end: number
}

/** A cursor over the elements of one level. */
export class DerReader {
  readonly bytes: Uint8Array
  readonly #end: number
  #at: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes
    this.#at = start
    this.#end = end
  }

  get done(): boolean {
    return this.#at >= this.#end
  }

  /** Tag of the next element, undefined at the end. */
  peek(): number | undefined {
    return this.done ? undefined : this.bytes[this.#at]
  }

  /** @throws DerError when the next element is missing, malformed, or has another tag */
  next(tag?: number): DerElement {
    const start = this.#at
    const { bytes } = this
    const found = bytes[start]
    if (start >= this.#end || found === undefined) {
      throw new DerError(`expected ${nameOf(tag)} at byte ${start}, found the end`)
    }
    if (tag !== undefined && found !== tag) {
      throw new DerError(`expected ${nameOf(tag)} at byte ${start}, found ${nameOf(found)}`)
    }
    if ((found & 0x1f) === 0x1f) throw new DerError(`tag number above 30 at byte ${start}`)
    let content = start + 2
    let length = start + 1 < this.#end ? (bytes[start + 1] ?? 0) : -1
    if (length === -1) throw new DerError(`length missing at byte ${start + 1}`)
    if (length >= 0x80) {
      const octets = length & 0x7f
      if (octets === 0) throw new DerError(`indefinite length at byte ${start + 1}`)
      if (octets > 4) throw new DerError(`length of ${octets} octets at byte ${start + 1}`)
      content += octets
      if (content > this.#end) throw new DerError(`length missing at byte ${start + 1}`)
      length = 0
      for (let i = start + 2; i < content; i++) length = length * 256 + (bytes[i] ?? 0)
      const shortest = length >= 0x80 && length >= 2 ** (8 * (octets - 1))
      if (!shortest) throw new DerError(`length not in its shortest form at byte ${start + 1}`)
    }
    const end = content + length
    if (end > this.#end) {
      const missing = end - this.#end
      throw new DerError(`${nameOf(found)} at byte ${start} ends ${missing} bytes too late`)
    }
    this.#at = end
    return { tag: found, start, content, end }
  }

  /** The next element if it has this tag; otherwise nothing is consumed. */
  optional(tag: number): DerElement | undefined {
    return this.peek() === tag ? this.next(tag) : undefined
  }

  /** A reader of what is inside the next element. */
  enter(tag: number): DerReader {
    return this.inside(this.next(tag))
  }

  inside(element: DerElement): DerReader {
    return new DerReader(this.bytes, element.content, element.end)
  }

  /** Content without tag and length; shares memory. */
  contentOf(element: DerElement): Uint8Array {
    return this.bytes.subarray(element.content, element.end)
  }

  /** The whole element, tag and length included; shares memory. */
  encodingOf(element: DerElement): Uint8Array {
    return this.bytes.subarray(element.start, element.end)
  }

  /** @throws DerError when something follows */
  finish(): void {
    if (!this.done) throw new DerError(`${this.#end - this.#at} bytes too many at byte ${this.#at}`)
  }
}

/** The only element of these bytes, which it fills. */
export function readWhole(bytes: Uint8Array, tag: number): DerReader {
  const outer = new DerReader(bytes)
  const inner = outer.enter(tag)
  outer.finish()
  return inner
}

function nameOf(tag: number | undefined): string {
  if (tag === undefined) return 'an element'
  const known = Object.entries(Tag).find(([, value]) => value === tag)
  return known === undefined ? `tag 0x${tag.toString(16).padStart(2, '0')}` : known[0]
}
