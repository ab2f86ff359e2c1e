/** What the tests of the parsers share: bytes to Frame, a parser for each type, tables of refusals. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  assertClientPacket,
  checkBodyless,
  Framer,
  MalformedPacket,
  PacketType,
  parseAcknowledgement,
  parseConnect,
  parsePublish,
  parseSubscribe,
  parseUnsubscribe,
  TopicMemo,
  type Frame,
} from '../../../broker/packets/index.ts'

export const MAX_BYTES = 262_144

/** The one packet these bytes are. */
export function frameOf(bytes: Uint8Array): Frame {
  const framer = new Framer(MAX_BYTES)
  framer.append(Buffer.from(bytes))
  const frame = framer.next()
  assert.ok(frame !== undefined, 'the packet is not whole')
  assert.equal(framer.pendingBytes, 0)
  return frame
}

/** These bytes; blanks are only for the reader. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

const PARSERS: Record<PacketType, (frame: Frame, topics: TopicMemo) => unknown> = {
  [PacketType.CONNECT]: parseConnect,
  [PacketType.CONNACK]: assertClientPacket,
  [PacketType.PUBLISH]: parsePublish,
  [PacketType.PUBACK]: parseAcknowledgement,
  [PacketType.PUBREC]: parseAcknowledgement,
  [PacketType.PUBREL]: parseAcknowledgement,
  [PacketType.PUBCOMP]: parseAcknowledgement,
  [PacketType.SUBSCRIBE]: parseSubscribe,
  [PacketType.SUBACK]: assertClientPacket,
  [PacketType.UNSUBSCRIBE]: parseUnsubscribe,
  [PacketType.UNSUBACK]: assertClientPacket,
  [PacketType.PINGREQ]: checkBodyless,
  [PacketType.PINGRESP]: assertClientPacket,
  [PacketType.DISCONNECT]: checkBodyless,
}

/** As a connection would: by type, whatever the type. */
export function parseAny(frame: Frame, topics = new TopicMemo()): unknown {
  return PARSERS[frame.type](frame, topics)
}

/** Title, packet, the exact message of its refusal. */
export type BadPacket = readonly [title: string, bytes: Buffer | string, message: string]

/** One test for each row; bytes given as text are hexadecimal. Titles name what is wrong. */
export function refuseEach(rows: readonly BadPacket[]): void {
  for (const [title, bytes, message] of rows) {
    test(`${message.split(':', 1)[0]} is refused: ${title}`, () => {
      const framer = new Framer(MAX_BYTES)
      framer.append(typeof bytes === 'string' ? hex(bytes) : bytes)
      const parse = () => {
        const frame = framer.next()
        assert.ok(frame !== undefined, 'the packet is not whole')
        parseAny(frame)
      }
      assert.throws(parse, (err) => {
        assert.ok(err instanceof MalformedPacket, String(err))
        assert.equal(err.message, message)
        assert.equal(err.code, 'MALFORMED_PACKET')
        return true
      })
    })
  }
}

/** What no MQTT string may hold (MQTT 3.1.1 §1.5.3), as bytes, and how the refusal ends. */
export const BAD_STRINGS: readonly (readonly [title: string, hex: string, ending: string])[] = [
  ['U+0000 alone', '00', 'holds U+0000 [MQTT-1.5.3-2]'],
  ['U+0000 in the middle', '610062', 'holds U+0000 [MQTT-1.5.3-2]'],
  ['U+0000 at the end', '616200', 'holds U+0000 [MQTT-1.5.3-2]'],
  ['U+0000 after a wider character', 'c3a900', 'holds U+0000 [MQTT-1.5.3-2]'],
  ['U+0000 in two bytes', 'c080', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a slash in two bytes', '61c0af62', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['U+007F in two bytes', 'c1bf', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a slash in three bytes', 'e080af', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a slash in four bytes', 'f08080af', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['the first surrogate U+D800', 'eda080', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['the last surrogate U+DFFF', 'edbfbf', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a surrogate pair', 'eda0bdedb880', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['U+110000', 'f4908080', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a five byte form', 'f888808080', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a byte 0xFF', '61ff', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a continuation byte alone', '80', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a character cut at the end', '61c3', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['a character cut by an ASCII one', 'e28261', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
  ['Latin-1', '6be96c', 'is not well-formed UTF-8 [MQTT-1.5.3-1]'],
]
