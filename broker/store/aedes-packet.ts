/** The packets Aedes 1.2.0 hands to a persistence, as far as one is told apart from another. */
import type { QoS } from './message.ts'

export interface AedesPacket {
  readonly cmd?: string
  readonly topic: string
  payload: Buffer | string
  readonly qos: QoS
  readonly retain: boolean
  readonly dup?: boolean
  brokerId?: string
  readonly brokerCounter?: number
  clientId?: string
  messageId?: number | undefined
}

/** An acknowledgement, or PUBREL in place of the PUBLISH it follows. */
export interface AedesAcknowledgement {
  readonly cmd?: string
  readonly brokerId?: string
  readonly brokerCounter?: number
  readonly messageId?: number | undefined
}

export interface AedesSubscription {
  readonly topic: string
  readonly qos: QoS
  readonly rh?: number
  readonly rap?: boolean
  readonly nl?: boolean
  readonly subscriptionIdentifier?: number
}

/** Aedes passes its Client, or an object with nothing else in it. */
export interface AedesClient {
  readonly id: string
}

/**
 * A copy with the members Aedes reads back, MQTT 5 properties included. The Packet Identifier is
 * not among them: it belongs to a delivery, and this is before any.
 */
export function copyOf(packet: AedesPacket): AedesPacket {
  const { cmd, topic, payload, qos, retain, dup, brokerId, brokerCounter } = packet
  return {
    ...('clientId' in packet ? { clientId: packet.clientId } : {}),
    ...('nl' in packet ? { nl: packet.nl } : {}),
    ...('properties' in packet ? { properties: packet.properties } : {}),
    ...('messageExpiry' in packet ? { messageExpiry: packet.messageExpiry } : {}),
    cmd: cmd ?? 'publish',
    ...(brokerId === undefined ? {} : { brokerId }),
    brokerCounter: brokerCounter ?? 0,
    topic,
    payload: typeof payload === 'string' ? payload : Buffer.from(payload),
    qos,
    retain,
    dup: dup ?? false,
    messageId: undefined,
  }
}
