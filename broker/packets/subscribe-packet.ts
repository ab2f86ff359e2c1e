import type { TopicFilter } from '../../core/names.ts'
import { BodyReader } from './body-reader.ts'
import type { Frame } from './frame.ts'
import { readTopicFilter } from './topic.ts'

/** MQTT 3.1.1 §3.8 */
export interface SubscribePacket {
  readonly packetId: number
  /** In the packet's order, at least one; a filter may stand twice. */
  readonly subscriptions: readonly { readonly topic: TopicFilter; readonly qos: 0 | 1 | 2 }[]
}

/** MQTT 3.1.1 §3.10 */
export interface UnsubscribePacket {
  readonly packetId: number
  /** In the packet's order, at least one. */
  readonly topics: readonly TopicFilter[]
}

/**
 * Entries of one SUBSCRIBE or UNSUBSCRIBE. The specification has no bound and each entry costs an
 * access decision and work in the subscription tree. With filters of 24 bytes or more this many do
 * not fit the default `maxPacketBytes`, so it refuses no real client; it stops the packet that names
 * 65 000 one-letter filters.
 */
export const MAX_FILTERS_PER_PACKET = 10_000

/** Checks and reads a SUBSCRIBE. @throws MalformedPacket */
export function parseSubscribe(frame: Frame): SubscribePacket {
  const reader = new BodyReader(frame)
  const packetId = reader.packetIdentifier()
  if (reader.remaining === 0) throw reader.malformed('no Topic Filter [MQTT-3.8.3-3]')
  const subscriptions: { topic: TopicFilter; qos: 0 | 1 | 2 }[] = []
  while (reader.remaining > 0) {
    checkCount(reader, subscriptions.length)
    const topic = readTopicFilter(reader.string('Topic Filter'), 'SUBSCRIBE: Topic Filter')
    subscriptions.push({ topic, qos: readQos(reader) })
  }
  return { packetId, subscriptions }
}

/** Checks and reads an UNSUBSCRIBE. @throws MalformedPacket */
export function parseUnsubscribe(frame: Frame): UnsubscribePacket {
  const reader = new BodyReader(frame)
  const packetId = reader.packetIdentifier()
  if (reader.remaining === 0) throw reader.malformed('no Topic Filter [MQTT-3.10.3-2]')
  const topics: TopicFilter[] = []
  while (reader.remaining > 0) {
    checkCount(reader, topics.length)
    topics.push(readTopicFilter(reader.string('Topic Filter'), 'UNSUBSCRIBE: Topic Filter'))
  }
  return { packetId, topics }
}

function checkCount(reader: BodyReader, count: number): void {
  if (count < MAX_FILTERS_PER_PACKET) return
  throw reader.malformed(`more than ${MAX_FILTERS_PER_PACKET} Topic Filters`)
}

function readQos(reader: BodyReader): 0 | 1 | 2 {
  const byte = reader.byte('Requested QoS')
  if (byte === 0 || byte === 1 || byte === 2) return byte
  throw reader.malformed(`Requested QoS byte is ${byte}, not 0, 1 or 2 [MQTT-3-8.3-4]`)
}
