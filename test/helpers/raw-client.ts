/**
 * A client that speaks packets, well-formed or not, over a net or tls socket or any Duplex.
 *
 *     const client = await RawClient.tcp(port)
 *     t.after(() => client.destroy())
 *     assert.equal((await client.connect({ clientId: 'a' })).returnCode, 0)
 *     await client.subscribe('t/#', 1)
 *     const { payload } = await client.receive()
 *     client.send(Buffer.from('f000', 'hex'))
 *     await client.closed
 *
 * It has no timers: a test that waits for what never comes ends with the test's own timeout.
 */
import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { once } from 'node:events'
import {
  encodeAcknowledgement,
  encodeDisconnect,
  encodePingreq,
  encodePublish,
  encodeSubscribe,
  encodeUnsubscribe,
  Framer,
  nameOf,
  PacketType,
  parsePublish,
  TopicMemo,
  type Frame,
  type PublishPacket,
} from '../../broker/packets/index.ts'

type Bytes = string | Uint8Array

/** Every field of a CONNECT; each may be wrong. What is left out is as of an ordinary client. */
export interface ConnectFields {
  /** Default 0x10. */
  readonly firstByte?: number
  /** Default `MQTT`. */
  readonly protocolName?: Bytes
  /** Default 4. */
  readonly protocolLevel?: number
  /** The whole Connect Flags byte, instead of the one that follows from the fields below. */
  readonly flags?: number
  /** Default true. */
  readonly clean?: boolean
  /** Default 0. */
  readonly keepAlive?: number
  /** Default empty: the broker assigns one. */
  readonly clientId?: Bytes
  readonly will?: {
    readonly topic: Bytes
    readonly payload: Bytes
    readonly qos?: number
    readonly retain?: boolean
  }
  readonly userName?: Bytes
  readonly password?: Bytes
  /** Stands after the last field, counted in the Remaining Length. */
  readonly trailing?: Uint8Array
}

interface Waiting {
  readonly type: PacketType | undefined
  readonly resolve: (frame: Frame) => void
  readonly reject: (err: Error) => void
}

export class RawClient {
  /** Settles when the broker closed the connection, or we did; never rejects. */
  readonly closed: Promise<void>
  /** For what a test wants of the socket itself: `pause()`, `setNoDelay()`, … */
  readonly stream: Duplex

  readonly #framer = new Framer(Number.MAX_SAFE_INTEGER)
  readonly #frames: Frame[] = []
  readonly #topics = new TopicMemo()
  #waiting: Waiting[] = []
  #ended: Error | undefined
  #lastPacketId = 0

  constructor(stream: Duplex) {
    this.stream = stream
    let cause: unknown
    this.closed = new Promise((resolve) => {
      const end = () => {
        this.#end(new Error('the connection was closed', { cause }))
        stream.destroy()
        resolve()
      }
      // A reset is a way to be closed, so it only shows as the cause.
      stream.on('error', (err) => (cause ??= err))
      stream.on('end', end)
      stream.on('close', end)
    })
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  static async tcp(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connectTcp({ port, host, noDelay: true })
    const client = new RawClient(socket)
    await once(socket, 'connect')
    return client
  }

  /**
   * Rejects when the handshake fails. With TLS 1.3 a server that refuses the client's certificate
   * does so after it: then `closed` settles.
   */
  static async tls(options: ConnectionOptions): Promise<RawClient> {
    const socket = connectTls(options)
    const client = new RawClient(socket)
    await once(socket, 'secureConnect')
    return client
  }

  /** Any bytes at all. */
  send(bytes: Uint8Array): void {
    this.stream.write(bytes)
  }

  /**
   * The next packet from the broker, or the next of this type: others then stay for later calls, in
   * their order. Rejects when the connection closes first; packets that came before can still be had.
   */
  next(type?: PacketType): Promise<Frame> {
    const i = this.#frames.findIndex((frame) => type === undefined || frame.type === type)
    const [frame] = i === -1 ? [] : this.#frames.splice(i, 1)
    if (frame !== undefined) return Promise.resolve(frame)
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => this.#waiting.push({ type, resolve, reject }))
  }

  /** Packets that came and nobody asked for yet. */
  get unread(): readonly Frame[] {
    return this.#frames
  }

  /** Sends a CONNECT and waits for its CONNACK. */
  async connect(
    fields: ConnectFields = {},
  ): Promise<{ returnCode: number; sessionPresent: boolean }> {
    this.send(connectBytes(fields))
    const { bytes, bodyStart } = await this.next(PacketType.CONNACK)
    const sessionPresent = bytes.readUInt8(bodyStart) === 1
    return { returnCode: bytes.readUInt8(bodyStart + 1), sessionPresent }
  }

  /** Waits for the SUBACK; its return codes, one for each filter. */
  async subscribe(filters: string | readonly string[], qos: 0 | 1 | 2 = 0): Promise<number[]> {
    const packetId = this.nextPacketId()
    const topics = typeof filters === 'string' ? [filters] : filters
    const subscriptions = topics.map((topic) => ({ topic, qos }))
    this.send(encodeSubscribe(packetId, subscriptions))
    const frame = await this.#acknowledgement(PacketType.SUBACK, packetId)
    return [...frame.bytes.subarray(frame.bodyStart + 2)]
  }

  /** Waits for the UNSUBACK. */
  async unsubscribe(...filters: string[]): Promise<void> {
    const packetId = this.nextPacketId()
    this.send(encodeUnsubscribe(packetId, filters))
    await this.#acknowledgement(PacketType.UNSUBACK, packetId)
  }

  /** Waits for the PUBACK of QoS 1, or goes through all of QoS 2; QoS 0 is only sent. */
  async publish(
    topic: string,
    payload: Bytes,
    options: { qos?: 0 | 1 | 2; retain?: boolean; dup?: boolean } = {},
  ): Promise<void> {
    const { qos = 0, retain = false, dup = false } = options
    const packetId = qos === 0 ? 0 : this.nextPacketId()
    this.send(encodePublish({ topic, payload: bytesOf(payload), qos, retain, dup, packetId }))
    if (qos === 1) await this.#acknowledgement(PacketType.PUBACK, packetId)
    if (qos === 2) {
      await this.#acknowledgement(PacketType.PUBREC, packetId)
      this.send(encodeAcknowledgement(PacketType.PUBREL, packetId))
      await this.#acknowledgement(PacketType.PUBCOMP, packetId)
    }
  }

  /** The next PUBLISH, acknowledged as its QoS wants. (`next` acknowledges nothing.) */
  async receive(): Promise<PublishPacket> {
    const packet = parsePublish(await this.next(PacketType.PUBLISH), this.#topics)
    const { qos, packetId } = packet
    if (qos === 1) this.send(encodeAcknowledgement(PacketType.PUBACK, packetId))
    if (qos === 2) {
      this.send(encodeAcknowledgement(PacketType.PUBREC, packetId))
      await this.#acknowledgement(PacketType.PUBREL, packetId)
      this.send(encodeAcknowledgement(PacketType.PUBCOMP, packetId))
    }
    return packet
  }

  /**
   * There and back: what the broker sent on its own before PINGRESP is in `unread` afterwards, so a
   * test can tell that something did not come.
   */
  async ping(): Promise<void> {
    this.send(encodePingreq())
    await this.next(PacketType.PINGRESP)
  }

  /** An orderly end: DISCONNECT, then the end of the stream. */
  async disconnect(): Promise<void> {
    this.stream.end(encodeDisconnect())
    await this.closed
  }

  /** Gone without a word: the Will is due. */
  destroy(): void {
    this.stream.destroy()
  }

  /** 1, 2, 3, …; for packets a test builds itself. */
  nextPacketId(): number {
    this.#lastPacketId = (this.#lastPacketId % 0xffff) + 1
    return this.#lastPacketId
  }

  async #acknowledgement(type: PacketType, packetId: number): Promise<Frame> {
    const frame = await this.next(type)
    const found = frame.bytes.readUInt16BE(frame.bodyStart)
    if (found !== packetId) {
      throw new Error(`${nameOf(type)}: Packet Identifier is ${found}, not ${packetId}`)
    }
    return frame
  }

  #take(chunk: Buffer): void {
    try {
      this.#framer.append(chunk)
      for (let frame = this.#framer.next(); frame; frame = this.#framer.next()) {
        const { type } = frame
        const i = this.#waiting.findIndex((one) => one.type === undefined || one.type === type)
        const [waiting] = i === -1 ? [] : this.#waiting.splice(i, 1)
        if (waiting === undefined) this.#frames.push(frame)
        else waiting.resolve(frame)
      }
    } catch (cause) {
      this.#end(new Error('the broker sent a malformed packet', { cause }))
      this.stream.destroy()
    }
  }

  #end(err: Error): void {
    this.#ended ??= err
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(this.#ended)
  }
}

/** The bytes of a CONNECT, right or wrong. */
export function connectBytes(fields: ConnectFields = {}): Buffer {
  const { will, userName, password } = fields
  const flags =
    ((fields.clean ?? true) ? 0x02 : 0) |
    (will === undefined ? 0 : 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0)) |
    (password === undefined ? 0 : 0x40) |
    (userName === undefined ? 0 : 0x80)
  return packetOf(
    fields.firstByte ?? 0x10,
    lengthPrefixed(fields.protocolName ?? 'MQTT'),
    [fields.protocolLevel ?? 4, fields.flags ?? flags],
    uint16(fields.keepAlive ?? 0),
    lengthPrefixed(fields.clientId ?? ''),
    ...(will === undefined ? [] : [lengthPrefixed(will.topic), lengthPrefixed(will.payload)]),
    ...(userName === undefined ? [] : [lengthPrefixed(userName)]),
    ...(password === undefined ? [] : [lengthPrefixed(password)]),
    fields.trailing ?? [],
  )
}

/** A packet of this first byte and body, with the Remaining Length that belongs to it. */
export function packetOf(firstByte: number, ...parts: readonly Iterable<number>[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from([...part])))
  const header = [firstByte]
  let rest = body.length
  do {
    header.push(rest > 0x7f ? (rest % 0x80) + 0x80 : rest)
    rest = Math.floor(rest / 0x80)
  } while (rest > 0)
  return Buffer.concat([Buffer.from(header), body])
}

export function lengthPrefixed(bytes: Bytes): Buffer {
  const content = bytesOf(bytes)
  return Buffer.concat([uint16(content.length), content])
}

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function bytesOf(bytes: Bytes): Uint8Array {
  return typeof bytes === 'string' ? Buffer.from(bytes) : bytes
}
