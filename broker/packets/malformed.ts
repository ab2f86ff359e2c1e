import { OperationalError } from '../../core/errors.ts'

/**
 * A client sent what MQTT does not allow; the connection ends without an answer (MQTT 3.1.1 §4.8
 * [MQTT-4.8.0-1]).
 *
 * The message says what stood where and what the specification wants. It never holds payload, Will
 * Message, User Name or Password, and what it quotes of a topic is short.
 */
export class MalformedPacket extends OperationalError {
  constructor(message: string, code = 'MALFORMED_PACKET') {
    super(code, message)
  }
}

/** A fixed header announces more bytes than this connection may send; the body was not waited for. */
export class PacketTooLarge extends MalformedPacket {
  constructor(message: string) {
    super(message, 'PACKET_TOO_LARGE')
  }
}

const MAX_EXCERPT = 60

/** A client's text, quoted, escaped and cut so that it can stand in a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_EXCERPT ? `${text.slice(0, MAX_EXCERPT)}…` : text)
}
