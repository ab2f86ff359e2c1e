/** The numbers of MQTT 3.1.1 §2.2.1, Table 2.1. */
export const PacketType = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
} as const

export type PacketType = (typeof PacketType)[keyof typeof PacketType]

/** One whole packet; its flags were checked against its type [MQTT-2.2.2-2], nothing else was. */
export interface Frame {
  readonly type: PacketType
  /** The low four bits of the first byte. */
  readonly flags: number
  /**
   * The whole packet, fixed header included. Usually a view of the chunk it came in: what is kept
   * for longer than the packet takes to handle keeps that chunk alive, so copy it.
   */
  readonly bytes: Buffer
  /** Offset in `bytes` of what follows the fixed header: 2 to 5. */
  readonly bodyStart: number
}

const NAMES: readonly string[] = ['', ...Object.keys(PacketType)]

/** The type of these four bits, which 0 and 15 are not (MQTT 3.1.1 §2.2.1). */
export function isPacketType(bits: number): bits is PacketType {
  return bits >= PacketType.CONNECT && bits <= PacketType.DISCONNECT
}

export function nameOf(type: PacketType): string {
  return NAMES[type] ?? ''
}

/** MQTT 3.1.1 §2.2.2, Table 2.2; undefined for PUBLISH, whose flags mean something. */
export function requiredFlagsOf(type: PacketType): number | undefined {
  if (type === PacketType.PUBLISH) return undefined
  const acknowledged =
    type === PacketType.PUBREL || type === PacketType.SUBSCRIBE || type === PacketType.UNSUBSCRIBE
  return acknowledged ? 0b0010 : 0
}
