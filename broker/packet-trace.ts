/**
 * A log line for each packet, with `log_type debug`, `-v` or level `trace`: type, flags, identifiers,
 * Topic Names, sizes; never a payload or a password. Whoever has a packet asks `isOn` first: that
 * is all it costs otherwise. What is logged is read from the bytes themselves, coming and going.
 */
import type { LogConfig } from '../config/types.ts'
import type { Log } from '../core/log.ts'
import {
  Framer,
  nameOf,
  PacketType,
  parseAcknowledgement,
  parseConnect,
  parsePublish,
  parseSubscribe,
  parseUnsubscribe,
  TopicMemo,
  type Frame,
  type PublishPacket,
} from './packets/index.ts'

type Fields = Readonly<Record<string, unknown>>

export class PacketTrace {
  /** Set by the log configuration; changes while connections are open. */
  isOn = false

  /**
   * What is malformed is told by the end of its connection, and a PUBLISH by `publish`: it may come
   * by more than once before its turn.
   */
  received(frame: Frame, log: Log): void {
    if (frame.type === PacketType.PUBLISH) return
    let fields: Fields
    try {
      fields = receivedFields(frame)
    } catch {
      return
    }
    const packet = nameOf(frame.type)
    log.trace({ event: 'packet.received', packet, ...fields }, `${packet} received`)
  }

  publish(packet: PublishPacket, log: Log): void {
    const fields = { event: 'packet.received', packet: 'PUBLISH', ...publishFields(packet) }
    log.trace(fields, 'PUBLISH received')
  }

  /** @param bytes one or more whole packets of ours */
  sent(bytes: Buffer, log: Log): void {
    const framer = new Framer(Number.POSITIVE_INFINITY)
    framer.append(bytes)
    for (let frame = framer.next(); frame !== undefined; frame = framer.next()) {
      const packet = nameOf(frame.type)
      log.trace({ event: 'packet.sent', packet, ...sentFields(frame) }, `${packet} sent`)
    }
  }

  /** Refused by the access rules, and what the client is told of it is nothing. */
  denied(publish: PublishPacket, log: Log): void {
    log.trace({ event: 'publish.denied', ...publishFields(publish) }, 'PUBLISH denied')
  }
}

/** Debug lines are never published, so that `log_dest topic` alone asks for none. */
export function wantsPackets({ level, mosquitto }: LogConfig): boolean {
  if (mosquitto === undefined) return level === 'trace'
  return mosquitto.types.includes('debug') && mosquitto.destinations.some((to) => to !== 'topic')
}

function receivedFields(frame: Frame): Fields {
  switch (frame.type) {
    case PacketType.CONNECT: {
      const { protocolLevel, clean, keepAlive, clientId, userName } = parseConnect(frame)
      return { protocolLevel, clean, keepAlive, claimedClientId: clientId, userName }
    }
    case PacketType.SUBSCRIBE: {
      const { packetId, subscriptions } = parseSubscribe(frame)
      return { packetId, filters: subscriptions.map(({ topic, qos }) => ({ filter: topic, qos })) }
    }
    case PacketType.UNSUBSCRIBE: {
      const { packetId, topics } = parseUnsubscribe(frame)
      return { packetId, filters: topics.map((filter) => ({ filter })) }
    }
    case PacketType.PUBACK:
    case PacketType.PUBREC:
    case PacketType.PUBREL:
    case PacketType.PUBCOMP:
      return { packetId: parseAcknowledgement(frame) }
    default:
      return {}
  }
}

function sentFields(frame: Frame): Fields {
  const { type, bytes, bodyStart } = frame
  switch (type) {
    case PacketType.CONNACK:
      return { sessionPresent: bytes[bodyStart] === 1, returnCode: bytes[bodyStart + 1] }
    case PacketType.PUBLISH:
      return publishFields(parsePublish(frame, new TopicMemo()))
    case PacketType.PINGRESP:
      return {}
    default:
      return { packetId: bytes.readUInt16BE(bodyStart) }
  }
}

function publishFields({ topic, qos, dup, retain, packetId, payload }: PublishPacket): Fields {
  return { dup, qos, retain, packetId, topic, payloadBytes: payload.length }
}
