import { Buffer } from 'node:buffer'

export type QoS = 0 | 1 | 2

/** Who published a message, as far as it matters once the connection is gone. */
export interface MessageSource {
  /** By the rules in force now. */
  mayStillPublish(topic: string): boolean
}

/** An application message on its way to subscribers, shared by all Sessions that hold it. */
export interface Message {
  readonly topic: string
  /** Never written to after `createMessage`. Not to be kept on its own: see `ownPayload`. */
  readonly payload: Buffer
  /** As published; a delivery takes the lower of this and the granted one. */
  readonly qos: QoS
  /** As published; it says nothing about RETAIN in a delivery [MQTT-3.3.1-9]. */
  readonly retain: boolean
  /** What it counts for at every bound: topic, payload and `MESSAGE_OVERHEAD_BYTES`. */
  readonly bytes: number
  /** Undefined: the broker itself, or a message that is not retained. */
  readonly source: MessageSource | undefined
}

/** The objects around one message: itself, its Buffer and ArrayBuffer (measured on Node 20: 450). */
export const MESSAGE_OVERHEAD_BYTES = 512

/** A payload may hold on to this much more than itself before it is copied. */
const SLACK_BYTES = 256
/** Less than this is not worth a copy while a message is in flight. */
const WORTH_RELEASING_BYTES = 8192

class StoredMessage implements Message {
  readonly topic: string
  payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly bytes: number
  readonly source: MessageSource | undefined

  constructor(
    topic: string,
    payload: Buffer,
    qos: QoS,
    retain: boolean,
    source: MessageSource | undefined,
  ) {
    this.topic = topic
    this.payload = payload
    this.qos = qos
    this.retain = retain
    this.source = source
    this.bytes = Buffer.byteLength(topic) + payload.length + MESSAGE_OVERHEAD_BYTES
  }
}

/** The payload is taken as it is and copied only if the message has to stay. Hot path. */
export function createMessage(fields: {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly source?: MessageSource | undefined
}): Message {
  const { topic, payload, qos, retain, source } = fields
  return new StoredMessage(topic, payload, qos, retain, source)
}

/**
 * For a message that stays until it is acknowledged: its payload lets go of the 64 KiB a socket was
 * read in. Hot path; copies at most once per message, into memory of its own: the pool that small
 * Buffers share has 64 KiB itself from Node 24 on.
 */
export function releaseChunk(message: Message): void {
  if (!(message instanceof StoredMessage)) return
  const { payload } = message
  const pinned = payload.buffer.byteLength
  if (pinned <= WORTH_RELEASING_BYTES || pinned <= 2 * payload.length) return
  message.payload = copyOf(payload)
}

/**
 * For a message that may stay for days (queued, retained, a Will): its payload holds no memory but
 * its own, so that what the bounds count is what there is. Copies at most once per message.
 */
export function ownPayload(message: Message): void {
  if (!(message instanceof StoredMessage)) return
  const { payload } = message
  if (payload.buffer.byteLength <= 2 * payload.length + SLACK_BYTES) return
  message.payload = copyOf(payload)
}

function copyOf(payload: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(payload.length)
  payload.copy(own)
  return own
}
