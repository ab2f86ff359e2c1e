import { nameOf, PacketType, type Frame } from './frame.ts'
import { MalformedPacket } from './malformed.ts'

const SENT_BY_SERVERS_ONLY: readonly PacketType[] = [
  PacketType.CONNACK,
  PacketType.SUBACK,
  PacketType.UNSUBACK,
  PacketType.PINGRESP,
]

/**
 * May a client send this type at all (MQTT 3.1.1 §2.2.1, Table 2.1)? Which type may come first, and
 * a second CONNECT, are the connection's business.
 *
 * @throws MalformedPacket for CONNACK, SUBACK, UNSUBACK and PINGRESP
 */
export function assertClientPacket(frame: Frame): void {
  if (!SENT_BY_SERVERS_ONLY.includes(frame.type)) return
  throw new MalformedPacket(`${nameOf(frame.type)}: only a server sends it (MQTT 3.1.1 §2.2.1)`)
}
