/**
 * Bytes on their way out. Everything sent in one turn of the event loop leaves in one write: with
 * fan-out and joined acknowledgements the system call is the largest cost (a third to a half), and
 * over TLS each write is a record of its own.
 *
 * One write at a time is with the socket. What is sent while it waits for a slow peer is kept here
 * and joined, so that a bound in bytes is one in memory: a write of two bytes would cost two hundred.
 */
import type { Duplex } from 'node:stream'
import type { Traffic } from './traffic.ts'

/** Up to here chunks are copied together; above, a gathered write is cheaper. */
const JOIN_BYTES = 32_768
/** Chunks that wait to be joined. */
const MAX_LOOSE = 1024
/** Bytes of one write: a peer that takes so many within a minute makes progress. */
const WRITE_BYTES = 131_072

/** Who counts, and writes down, what is sent. */
export interface Sent {
  readonly trace: { readonly isOn: boolean }
  readonly traffic: Pick<Traffic, 'bytesSent' | 'packetsSent'>
  /** @param bytes one or more whole packets; called while `trace.isOn` */
  traced(bytes: Buffer): void
}

const uncounted = (): Sent => ({
  trace: { isOn: false },
  traffic: { bytesSent: 0, packetsSent: 0 },
  traced: () => undefined,
})

const dirty: Outbox[] = []
let scheduled = false

function flushAll(): void {
  scheduled = false
  // A flush may close connections, which sends Wills, which fills other outboxes: those are pushed
  // to `dirty` again and go with a later turn.
  for (const outbox of dirty.splice(0)) outbox.flush()
}

export class Outbox {
  readonly #socket: Duplex
  readonly #progressed: () => void
  readonly #sent: Sent
  /** Ready to be written. */
  #packed: Buffer[] = []
  /** How many packets each of them holds. */
  #packedPackets: number[] = []
  /** Behind them, and small. */
  #loose: Buffer[] = []
  #looseBytes = 0
  #loosePackets = 0
  #bytes = 0
  #isDirty = false
  #isWriting = false

  /** @param progressed the socket took what it was given last */
  constructor(socket: Duplex, progressed: () => void = () => undefined, sent: Sent = uncounted()) {
    this.#socket = socket
    this.#progressed = progressed
    this.#sent = sent
  }

  /** Packets not yet given to the socket. */
  get backlogPackets(): number {
    return this.#packedPackets.reduce((sum, packets) => sum + packets, this.#loosePackets)
  }

  /** Bytes not yet taken by the operating system. */
  get backlogBytes(): number {
    return this.#bytes + this.#socket.writableLength
  }

  /** @param packets how many `chunk` holds, each of them whole */
  write(chunk: Buffer, packets = 1): void {
    const { trace, traffic } = this.#sent
    traffic.packetsSent += packets
    if (trace.isOn) this.#sent.traced(chunk)
    this.#bytes += chunk.length
    if (chunk.length >= JOIN_BYTES) {
      this.#pack()
      this.#packed.push(chunk)
      this.#packedPackets.push(packets)
    } else {
      this.#loose.push(chunk)
      this.#loosePackets += packets
      this.#looseBytes += chunk.length
      if (this.#looseBytes >= JOIN_BYTES || this.#loose.length >= MAX_LOOSE) this.#pack()
    }
    if (this.#isDirty || this.#isWriting) return
    this.#isDirty = true
    dirty.push(this)
    if (scheduled) return
    scheduled = true
    setImmediate(flushAll)
  }

  /** Hands over what has gathered, unless the socket is still busy: then it follows by itself. */
  flush(): void {
    this.#isDirty = false
    if (!this.#isWriting) this.#send(WRITE_BYTES)
  }

  /** Hands over everything, busy or not: the socket is about to be ended. */
  finish(): void {
    this.#send(Number.POSITIVE_INFINITY)
  }

  #pack(): void {
    const loose = this.#loose
    const [first] = loose
    if (first === undefined) return
    this.#packed.push(loose.length === 1 ? first : Buffer.concat(loose, this.#looseBytes))
    this.#packedPackets.push(this.#loosePackets)
    this.#loose = []
    this.#looseBytes = 0
    this.#loosePackets = 0
  }

  #send(maxBytes: number): void {
    this.#pack()
    const packed = this.#packed
    let bytes = 0
    let count = 0
    while (bytes < maxBytes && count < packed.length) bytes += packed[count++]?.length ?? 0
    const chunks = packed.splice(0, count)
    this.#packedPackets.splice(0, count)
    const last = chunks.pop()
    const socket = this.#socket
    if (last === undefined) return
    if (socket.destroyed || !socket.writable) return this.#drop()
    this.#bytes -= bytes
    this.#sent.traffic.bytesSent += bytes
    this.#isWriting = true
    if (chunks.length > 0) socket.cork()
    for (const chunk of chunks) socket.write(chunk)
    socket.write(last, this.#written)
    if (chunks.length > 0) socket.uncork()
  }

  readonly #written = (err?: Error | null): void => {
    this.#isWriting = false
    if (err !== undefined && err !== null) return this.#drop()
    this.#progressed()
    if (this.#bytes > 0 && !this.#isDirty) this.#send(WRITE_BYTES)
  }

  #drop(): void {
    this.#packed = []
    this.#loose = []
    this.#looseBytes = 0
    this.#bytes = 0
    this.#packedPackets = []
    this.#loosePackets = 0
  }
}
