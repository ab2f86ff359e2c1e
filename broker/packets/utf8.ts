import { isUtf8 } from 'node:buffer'
import { MalformedPacket } from './malformed.ts'

/**
 * The text of `bytes[start, end)` (MQTT 3.1.1 §1.5.3). A byte order mark stays in it
 * [MQTT-1.5.3-3].
 *
 * @param where such as `CONNECT: Client Identifier`; begins the error's message
 * @throws MalformedPacket for U+0000 [MQTT-1.5.3-2], and for what is not well-formed UTF-8, which
 * surrogates and overlong forms are not [MQTT-1.5.3-1]
 */
export function readUtf8(bytes: Buffer, start: number, end: number, where: string): string {
  let all = 0
  for (let i = start; i < end; i++) {
    // Past the end reads as U+0000, which is refused.
    const byte = bytes[i] ?? 0
    if (byte === 0) throw new MalformedPacket(`${where} holds U+0000 [MQTT-1.5.3-2]`)
    all |= byte
  }
  if (all < 0x80) return bytes.toString('latin1', start, end)
  if (!isUtf8(bytes.subarray(start, end))) {
    throw new MalformedPacket(`${where} is not well-formed UTF-8 [MQTT-1.5.3-1]`)
  }
  return bytes.toString('utf8', start, end)
}
