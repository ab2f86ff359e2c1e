/** What a server answers to SUBSCRIBE and UNSUBSCRIBE, as bytes. */
import { startPacket } from './fixed-header.ts'
import { PacketType } from './frame.ts'

/**
 * MQTT 3.1.1 §3.9: one return code per Topic Filter, in its order [MQTT-3.9.3-1].
 *
 * @param returnCodes granted QoS 0 to 2, or 0x80
 */
export function encodeSuback(packetId: number, returnCodes: readonly number[]): Buffer {
  const packet = startPacket(PacketType.SUBACK << 4, 2 + returnCodes.length, 0)
  const codesAt = packet.writeUInt16BE(packetId, packet.length - 2 - returnCodes.length)
  packet.set(returnCodes, codesAt)
  return packet
}

/** MQTT 3.1.1 §3.11. */
export function encodeUnsuback(packetId: number): Buffer {
  return Buffer.from([PacketType.UNSUBACK << 4, 2, packetId >> 8, packetId & 0xff])
}
