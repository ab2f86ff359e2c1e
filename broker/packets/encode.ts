/** What a server sends, as bytes. Hot path, except encodeConnack. */
import { PacketType } from './frame.ts'
import { startPacket, stringBytes, writeString } from './fixed-header.ts'

/** A PUBLISH to be written; the caller vouches for the topic. */
export interface OutgoingPublish {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  readonly dup: boolean
  readonly retain: boolean
  /** 1 to 65 535; not written for QoS 0. */
  readonly packetId: number
}

export type AcknowledgementType =
  | typeof PacketType.PUBACK
  | typeof PacketType.PUBREC
  | typeof PacketType.PUBREL
  | typeof PacketType.PUBCOMP

/** MQTT 3.1.1 §3.13; shared, so it must not be written to. */
export const PINGRESP: Buffer = Buffer.from([PacketType.PINGRESP << 4, 0])

/**
 * MQTT 3.1.1 §3.2.
 *
 * @param sessionPresent written only with return code 0 [MQTT-3.2.2-4]; in MQTT 3.1 that bit is
 * reserved, so pass false to a client of level 3
 */
export function encodeConnack(returnCode: number, sessionPresent: boolean): Buffer {
  const present = sessionPresent && returnCode === 0 ? 1 : 0
  return Buffer.from([PacketType.CONNACK << 4, 2, present, returnCode])
}

/**
 * The whole packet (MQTT 3.1.1 §3.3). With QoS 0 it is the same for every subscriber: encode it once.
 *
 * @throws RangeError when topic or packet are longer than MQTT can write
 */
export function encodePublish(message: OutgoingPublish): Buffer {
  const { payload } = message
  const packet = startPublish(message, payload.length, 0)
  packet.set(payload, packet.length - payload.length)
  return packet
}

/**
 * The packet up to its payload, for a payload too large to be copied for each subscriber: write this
 * and then `payloadBytes` of payload.
 */
export function encodePublishHead(
  message: Omit<OutgoingPublish, 'payload'>,
  payloadBytes: number,
): Buffer {
  return startPublish(message, payloadBytes, payloadBytes)
}

function startPublish(
  message: Omit<OutgoingPublish, 'payload'>,
  payloadBytes: number,
  spare: number,
): Buffer {
  const { topic, qos, dup, retain, packetId } = message
  const first = (PacketType.PUBLISH << 4) | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  const remaining = stringBytes(topic) + (qos > 0 ? 2 : 0) + payloadBytes
  const packet = startPacket(first, remaining, spare)
  const topicEnd = writeString(packet, topic, packet.length + spare - remaining)
  if (qos > 0) packet.writeUInt16BE(packetId, topicEnd)
  return packet
}

/** MQTT 3.1.1 §3.4 to §3.7. */
export function encodeAcknowledgement(type: AcknowledgementType, packetId: number): Buffer {
  return encodeAcknowledgements(type, [packetId])
}

/** One packet per id, in order, joined for one write. */
export function encodeAcknowledgements(
  type: AcknowledgementType,
  packetIds: readonly number[],
): Buffer {
  const packets = Buffer.allocUnsafe(4 * packetIds.length)
  const first = (type << 4) | (type === PacketType.PUBREL ? 0b0010 : 0)
  let position = 0
  for (const packetId of packetIds) {
    packets[position] = first
    packets[position + 1] = 2
    position = packets.writeUInt16BE(packetId, position + 2)
  }
  return packets
}
