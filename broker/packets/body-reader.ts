import { nameOf, type Frame } from './frame.ts'
import { MalformedPacket } from './malformed.ts'
import { readUtf8 } from './utf8.ts'

/**
 * Reads what follows a fixed header, field by field; every method takes the field's name for its
 * error. Not for PUBLISH, which is read without it for speed.
 */
export class BodyReader {
  readonly #name: string
  readonly #bytes: Buffer
  #position: number

  constructor(frame: Frame) {
    this.#name = nameOf(frame.type)
    this.#bytes = frame.bytes
    this.#position = frame.bodyStart
  }

  get remaining(): number {
    return this.#bytes.length - this.#position
  }

  byte(field: string): number {
    return this.#bytes.readUInt8(this.#pass(1, field))
  }

  uint16(field: string): number {
    return this.#bytes.readUInt16BE(this.#pass(2, field))
  }

  /** A two-byte length and as many bytes: a view, not a copy. */
  binary(field: string): Buffer {
    const length = this.uint16(field)
    const start = this.#pass(length, field)
    return this.#bytes.subarray(start, start + length)
  }

  /** MQTT 3.1.1 §1.5.3. */
  string(field: string): string {
    const length = this.uint16(field)
    const start = this.#pass(length, field)
    return readUtf8(this.#bytes, start, start + length, `${this.#name}: ${field}`)
  }

  /** Of SUBSCRIBE and UNSUBSCRIBE: 1 to 65 535. */
  packetIdentifier(): number {
    const id = this.uint16('Packet Identifier')
    if (id === 0) throw this.malformed('Packet Identifier is 0 [MQTT-2.3.1-1]')
    return id
  }

  /** Nothing may be left. */
  end(): void {
    if (this.remaining > 0) {
      throw this.malformed(`${this.remaining} bytes after the last field (MQTT 3.1.1 §2.2.3)`)
    }
  }

  malformed(problem: string): MalformedPacket {
    return new MalformedPacket(`${this.#name}: ${problem}`)
  }

  #pass(count: number, field: string): number {
    if (count > this.remaining) throw truncated(this.#name, field, count, this.remaining)
    const start = this.#position
    this.#position += count
    return start
  }
}

/** The packet ends inside a field. */
export function truncated(
  packet: string,
  field: string,
  needed: number,
  left: number,
): MalformedPacket {
  return new MalformedPacket(
    `${packet}: ends inside ${field}: ${needed} bytes expected, ${left} left (MQTT 3.1.1 §2.2.3)`,
  )
}
