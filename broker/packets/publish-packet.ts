import type { TopicName } from '../../core/names.ts'
import { truncated } from './body-reader.ts'
import type { Frame } from './frame.ts'
import { MalformedPacket } from './malformed.ts'
import type { TopicMemo } from './topic-memo.ts'

/** MQTT 3.1.1 §3.3 */
export interface PublishPacket {
  readonly topic: TopicName
  readonly qos: 0 | 1 | 2
  readonly dup: boolean
  readonly retain: boolean
  /** 0 for QoS 0, else 1 to 65 535. */
  readonly packetId: number
  /** A view of the chunk the packet came in: copy it to keep it for longer than a moment. */
  readonly payload: Buffer
}

const RETAIN = 0b0001
const DUP = 0b1000

/**
 * Checks and reads a PUBLISH. Hot path; copies nothing.
 *
 * @param topics of the same connection
 * @throws MalformedPacket
 */
export function parsePublish(frame: Frame, topics: TopicMemo): PublishPacket {
  const { bytes, flags, bodyStart } = frame
  const dup = (flags & DUP) !== 0
  const qos = qosOf((flags >> 1) & 0b11)
  if (qos === 0 && dup) throw new MalformedPacket('PUBLISH: DUP is set with QoS 0 [MQTT-3.3.1-2]')

  const topicStart = bodyStart + 2
  if (topicStart > bytes.length) throw cut('Topic Name', 2, bytes.length - bodyStart)
  const topicEnd = topicStart + bytes.readUInt16BE(bodyStart)
  if (topicEnd > bytes.length) {
    throw cut('Topic Name', topicEnd - topicStart, bytes.length - topicStart)
  }
  const topic = topics.read(bytes, topicStart, topicEnd)

  let packetId = 0
  let payloadStart = topicEnd
  if (qos > 0) {
    payloadStart = topicEnd + 2
    if (payloadStart > bytes.length) throw cut('Packet Identifier', 2, bytes.length - topicEnd)
    packetId = bytes.readUInt16BE(topicEnd)
    if (packetId === 0) {
      throw new MalformedPacket('PUBLISH: Packet Identifier is 0 [MQTT-2.3.1-1]')
    }
  }
  const retain = (flags & RETAIN) !== 0
  return { topic, qos, dup, retain, packetId, payload: bytes.subarray(payloadStart) }
}

function qosOf(bits: number): 0 | 1 | 2 {
  if (bits === 0 || bits === 1 || bits === 2) return bits
  throw new MalformedPacket('PUBLISH: both QoS bits are set [MQTT-3.3.1-4]')
}

function cut(field: string, needed: number, left: number): MalformedPacket {
  return truncated('PUBLISH', field, needed, left)
}
