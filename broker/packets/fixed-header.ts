/** The most a Remaining Length can say (MQTT 3.1.1 §2.2.3). */
const MAX_REMAINING_LENGTH = 268_435_455

/**
 * An uninitialised packet with its fixed header written (MQTT 3.1.1 §2.2); the body begins at
 * `packet.length - remaining`.
 *
 * @param spare bytes of the body that are written elsewhere and left out of the buffer
 * @throws RangeError when `remaining` cannot be written
 */
export function startPacket(first: number, remaining: number, spare = 0): Buffer {
  if (remaining > MAX_REMAINING_LENGTH) {
    throw new RangeError(`Remaining Length ${remaining} is over ${MAX_REMAINING_LENGTH}`)
  }
  const lengthBytes = remaining < 0x80 ? 1 : remaining < 0x4000 ? 2 : remaining < 0x20_0000 ? 3 : 4
  const packet = Buffer.allocUnsafe(1 + lengthBytes + remaining - spare)
  packet[0] = first
  let rest = remaining
  for (let i = 1; i <= lengthBytes; i++) {
    packet[i] = i < lengthBytes ? (rest & 0x7f) | 0x80 : rest
    rest >>= 7
  }
  return packet
}

/** Bytes of a string on the wire, its length included. @throws RangeError past 65 535 bytes of text */
export function stringBytes(text: string): number {
  const length = Buffer.byteLength(text)
  if (length > 0xffff) throw new RangeError(`a string of ${length} bytes does not fit in MQTT`)
  return 2 + length
}

/** Writes a string of `stringBytes(text)` bytes; returns where it ends. */
export function writeString(packet: Buffer, text: string, position: number): number {
  const written = packet.write(text, position + 2)
  packet.writeUInt16BE(written, position)
  return position + 2 + written
}
