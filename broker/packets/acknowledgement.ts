import { nameOf, type Frame } from './frame.ts'
import { MalformedPacket } from './malformed.ts'

/**
 * The Packet Identifier of a PUBACK, PUBREC, PUBREL or PUBCOMP (MQTT 3.1.1 §3.4 to §3.7), which is
 * all they hold. Hot path.
 *
 * @throws MalformedPacket
 */
export function parseAcknowledgement(frame: Frame): number {
  checkRemainingLength(frame, 2)
  const packetId = frame.bytes.readUInt16BE(frame.bodyStart)
  if (packetId === 0) {
    throw new MalformedPacket(`${nameOf(frame.type)}: Packet Identifier is 0 (MQTT 3.1.1 §2.3.1)`)
  }
  return packetId
}

/** A PINGREQ or DISCONNECT is its fixed header (MQTT 3.1.1 §3.12, §3.14). @throws MalformedPacket */
export function checkBodyless(frame: Frame): void {
  checkRemainingLength(frame, 0)
}

function checkRemainingLength(frame: Frame, expected: number): void {
  const found = frame.bytes.length - frame.bodyStart
  if (found === expected) return
  throw new MalformedPacket(
    `${nameOf(frame.type)}: Remaining Length is ${found}, not ${expected} (MQTT 3.1.1 §3.${frame.type}.1)`,
  )
}
