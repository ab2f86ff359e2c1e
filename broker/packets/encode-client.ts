/** What a client sends, as bytes: for what is handed to Aedes, and for tests. Not for hot paths. */
import { PacketType } from './frame.ts'
import { startPacket, stringBytes, writeString } from './fixed-header.ts'

export interface OutgoingConnect {
  readonly clientId: string
  readonly clean: boolean
  readonly will:
    | {
        readonly topic: string
        readonly payload: Uint8Array
        readonly qos: 0 | 1 | 2
        readonly retain: boolean
      }
    | undefined
  /**
   * Default 4, whatever the client spoke: of level 3, Aedes 1.2.0 refuses Client Identifiers of
   * more than 23 characters.
   */
  readonly protocolLevel?: 3 | 4
}

/** A CONNECT without credentials and with Keep Alive 0, which is none (MQTT 3.1.1 §3.1). */
export function encodeConnect(connect: OutgoingConnect): Buffer {
  const { clientId, clean, will, protocolLevel = 4 } = connect
  const protocolName = protocolLevel === 4 ? 'MQTT' : 'MQIsdp'
  const willBytes = will === undefined ? 0 : stringBytes(will.topic) + 2 + will.payload.length
  const willFlags = will === undefined ? 0 : 4 | (will.qos << 3) | (will.retain ? 0x20 : 0)
  const remaining = stringBytes(protocolName) + 4 + stringBytes(clientId) + willBytes

  const packet = startPacket(PacketType.CONNECT << 4, remaining)
  let position = writeString(packet, protocolName, packet.length - remaining)
  position = packet.writeUInt8(protocolLevel, position)
  position = packet.writeUInt8(willFlags | (clean ? 2 : 0), position)
  position = packet.writeUInt16BE(0, position)
  position = writeString(packet, clientId, position)
  if (will !== undefined) {
    position = writeString(packet, will.topic, position)
    position = packet.writeUInt16BE(will.payload.length, position)
    packet.set(will.payload, position)
  }
  return packet
}

/** MQTT 3.1.1 §3.8. */
export function encodeSubscribe(
  packetId: number,
  subscriptions: readonly { readonly topic: string; readonly qos: 0 | 1 | 2 }[],
): Buffer {
  let remaining = 2
  for (const { topic } of subscriptions) remaining += stringBytes(topic) + 1
  const packet = startPacket((PacketType.SUBSCRIBE << 4) | 0b0010, remaining)
  let position = packet.writeUInt16BE(packetId, packet.length - remaining)
  for (const { topic, qos } of subscriptions) {
    position = packet.writeUInt8(qos, writeString(packet, topic, position))
  }
  return packet
}

/** MQTT 3.1.1 §3.10. */
export function encodeUnsubscribe(packetId: number, topics: readonly string[]): Buffer {
  let remaining = 2
  for (const topic of topics) remaining += stringBytes(topic)
  const packet = startPacket((PacketType.UNSUBSCRIBE << 4) | 0b0010, remaining)
  let position = packet.writeUInt16BE(packetId, packet.length - remaining)
  for (const topic of topics) position = writeString(packet, topic, position)
  return packet
}

/** MQTT 3.1.1 §3.14. */
export function encodeDisconnect(): Buffer {
  return startPacket(PacketType.DISCONNECT << 4, 0)
}

/** MQTT 3.1.1 §3.12. */
export function encodePingreq(): Buffer {
  return startPacket(PacketType.PINGREQ << 4, 0)
}
