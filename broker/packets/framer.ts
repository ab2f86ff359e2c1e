/**
 * From a byte stream to packets (MQTT 3.1.1 §2.2).
 *
 * A packet that lies inside one chunk is a view of it. Only one that began in an earlier chunk is
 * copied, into a buffer that doubles as bytes arrive: a client that announces much and sends little
 * holds little memory, and a large packet in one-byte chunks costs linear time.
 */
import { isPacketType, nameOf, PacketType, requiredFlagsOf, type Frame } from './frame.ts'
import { MalformedPacket, PacketTooLarge } from './malformed.ts'

const EMPTY = Buffer.alloc(0)
const FIRST_PARTIAL_BYTES = 1024
/** Chunks read before they are cut off a queue that never runs dry; one by one takes quadratic time. */
const SPENT_CHUNKS = 1024

export class Framer {
  /** Bytes of one packet, fixed header included; holds for every header read from now on. */
  maxBytes: number
  /**
   * 3 once a CONNECT said so. MQTT 3.1 §2.1 does not use the flags of any packet but PUBLISH (and
   * sets DUP when it sends a PUBREL or SUBSCRIBE again), so they are not checked then; frames come
   * out with the flags that MQTT 3.1.1 wants. As Mosquitto does.
   */
  protocolLevel: 3 | 4 = 4

  #chunk: Buffer = EMPTY
  #offset = 0
  /** Chunks that came while `#chunk` was not used up; read from `#queueHead`. */
  #queue: Buffer[] = []
  #queueHead = 0
  #pending = 0

  /** What came of a packet that began in a chunk that is used up. */
  #partial: Buffer = EMPTY
  #filled = 0
  /** The fixed header read last; `#total` is 0 while it is incomplete. */
  #type: PacketType = PacketType.PUBLISH
  #flags = 0
  #total = 0
  #bodyStart = 0

  #failure: MalformedPacket | undefined

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Bytes appended that are in no frame yet. A caller that stops pulling must also stop appending. */
  get pendingBytes(): number {
    return this.#pending
  }

  /** Takes the chunk over: it must not be written to afterwards. */
  append(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#pending += chunk.length
    if (this.#offset < this.#chunk.length || this.#queueHead < this.#queue.length) {
      this.#queue.push(chunk)
      return
    }
    this.#chunk = chunk
    this.#offset = 0
  }

  /**
   * The next whole packet, or undefined until more is appended. Hot path.
   *
   * @throws MalformedPacket, PacketTooLarge; where the next packet would begin is then unknown, so
   * every further call throws the same
   */
  next(): Frame | undefined {
    if (this.#failure !== undefined) throw this.#failure
    do {
      const frame = this.#filled === 0 ? this.#fromChunk() : this.#fromPartial()
      if (frame !== undefined) return frame
    } while (this.#nextChunk())
    return undefined
  }

  #nextChunk(): boolean {
    const chunk = this.#queue[this.#queueHead]
    if (chunk === undefined) return false
    this.#queue[this.#queueHead++] = EMPTY
    const left = this.#queue.length - this.#queueHead
    if (left === 0 || (this.#queueHead >= SPENT_CHUNKS && this.#queueHead >= left)) {
      this.#queue.splice(0, this.#queueHead)
      this.#queueHead = 0
    }
    this.#chunk = chunk
    this.#offset = 0
    return true
  }

  #fromChunk(): Frame | undefined {
    const start = this.#offset
    const available = this.#chunk.length - start
    if (available === 0) return undefined
    this.#readHeader(this.#chunk, start, this.#chunk.length)
    if (this.#total === 0 || this.#total > available) {
      this.#take(available)
      return undefined
    }
    const bytes = this.#chunk.subarray(start, start + this.#total)
    this.#advance(this.#total)
    return this.#frameOf(bytes)
  }

  #fromPartial(): Frame | undefined {
    while (this.#total === 0) {
      if (this.#offset === this.#chunk.length) return undefined
      this.#take(1)
      this.#readHeader(this.#partial, 0, this.#filled)
    }
    this.#take(Math.min(this.#total - this.#filled, this.#chunk.length - this.#offset))
    if (this.#filled < this.#total) return undefined
    const bytes = this.#partial.subarray(0, this.#total)
    this.#partial = EMPTY
    this.#filled = 0
    return this.#frameOf(bytes)
  }

  #take(count: number): void {
    const needed = this.#filled + count
    if (needed > this.#partial.length) {
      const wanted = Math.max(needed, 2 * this.#partial.length, FIRST_PARTIAL_BYTES)
      const capacity = this.#total === 0 ? Math.max(needed, 8) : Math.min(wanted, this.#total)
      // Not from Node's pool: a stalled client would pin a whole slab of it.
      const grown = Buffer.allocUnsafeSlow(capacity)
      this.#partial.copy(grown, 0, 0, this.#filled)
      this.#partial = grown
    }
    this.#chunk.copy(this.#partial, this.#filled, this.#offset, this.#offset + count)
    this.#filled = needed
    this.#advance(count)
  }

  #advance(count: number): void {
    this.#offset += count
    if (this.#offset < this.#chunk.length) return
    // An idle connection must not keep its last chunk alive.
    this.#chunk = EMPTY
    this.#offset = 0
  }

  #frameOf(bytes: Buffer): Frame {
    this.#pending -= bytes.length
    const flags = this.#flags
    // Differs only in MQTT 3.1; the parser of Aedes 1.2.0 would refuse it.
    const first = (this.#type << 4) | flags
    if (bytes[0] !== first) bytes[0] = first
    return { type: this.#type, flags, bytes, bodyStart: this.#bodyStart }
  }

  /** Reads into `#type`, `#flags`, `#bodyStart` and `#total`, which stays 0 while bytes are missing. */
  #readHeader(bytes: Buffer, start: number, end: number): void {
    this.#total = 0
    const first = bytes.readUInt8(start)
    const type = first >> 4
    if (!isPacketType(type)) {
      return this.#refuse(
        new MalformedPacket(`fixed header: packet type ${type} is reserved (MQTT 3.1.1 §2.2.1)`),
      )
    }
    this.#type = type
    this.#flags = this.#checkedFlags(type, first & 0x0f)

    let remaining = 0
    for (let i = 1; i <= 4; i++) {
      if (start + i >= end) return
      const byte = bytes.readUInt8(start + i)
      remaining |= (byte & 0x7f) << (7 * (i - 1))
      if (byte < 0x80) {
        const total = 1 + i + remaining
        if (total > this.maxBytes) this.#refuse(tooLarge(type, total, this.maxBytes))
        this.#bodyStart = 1 + i
        this.#total = total
        return
      }
    }
    this.#refuse(
      new MalformedPacket(
        `${nameOf(type)}: Remaining Length does not end with its fourth byte (MQTT 3.1.1 §2.2.3)`,
      ),
    )
  }

  #checkedFlags(type: PacketType, flags: number): number {
    const required = requiredFlagsOf(type)
    if (required === undefined) return flags
    if (flags !== required && this.protocolLevel !== 3) {
      this.#refuse(
        new MalformedPacket(
          `${nameOf(type)}: flags are ${bits(flags)}, not ${bits(required)} [MQTT-2.2.2-2]`,
        ),
      )
    }
    return required
  }

  #refuse(failure: MalformedPacket): never {
    this.#failure = failure
    throw failure
  }
}

function tooLarge(type: PacketType, total: number, maxBytes: number): PacketTooLarge {
  return new PacketTooLarge(`${nameOf(type)}: ${total} bytes, at most ${maxBytes} are taken here`)
}

function bits(flags: number): string {
  return `0b${flags.toString(2).padStart(4, '0')}`
}
