import type { TopicName } from '../../core/names.ts'
import { BodyReader } from './body-reader.ts'
import { ConnectRejected } from './connect-rejected.ts'
import { encodeConnack } from './encode.ts'
import type { Frame } from './frame.ts'
import { quoted } from './malformed.ts'
import { readTopicName } from './topic.ts'

/** MQTT 3.1.1 §3.1.2.8, §3.1.3.2, §3.1.3.3 */
export interface Will {
  readonly topic: TopicName
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/**
 * MQTT 3.1.1 §3.1. Will Message and Password are views of the frame, which holds all the others
 * too: what is kept for the life of a connection must be a copy.
 */
export interface ConnectPacket {
  readonly protocolName: 'MQTT' | 'MQIsdp'
  /** 3 is MQTT 3.1, 4 is MQTT 3.1.1. */
  readonly protocolLevel: 3 | 4
  /** Bit 7 of the Protocol Level, by which Mosquitto's bridges say that they are one. */
  readonly bridge: boolean
  readonly clean: boolean
  /** Seconds; 0: none. */
  readonly keepAlive: number
  /** Empty only with `clean`: the server then assigns one [MQTT-3.1.3-6]. */
  readonly clientId: string
  readonly will: Will | undefined
  readonly userName: string | undefined
  readonly password: Buffer | undefined
}

const Flag = {
  RESERVED: 0x01,
  CLEAN: 0x02,
  WILL: 0x04,
  WILL_RETAIN: 0x20,
  PASSWORD: 0x40,
  USER_NAME: 0x80,
} as const

const BRIDGE = 0x80
const UNACCEPTABLE_PROTOCOL_LEVEL = 1
const IDENTIFIER_REJECTED = 2
/** MQTT 5 §3.2: no Session, Reason Code 0x84 Unsupported Protocol Version, no properties. */
const UNSUPPORTED_PROTOCOL_VERSION = Buffer.from([0x20, 3, 0, 0x84, 0])

/**
 * Checks and reads a CONNECT of MQTT 3.1 or 3.1.1. Where 3.1 is laxer (the reserved flag, Will bits
 * without the Will flag, User Name and Password left out though their flags are set) a CONNECT of
 * level 3 passes, as it does at Mosquitto; a Client Identifier may be longer than its 23 characters.
 *
 * @throws ConnectRejected when the client is owed an answer, MalformedPacket when it is not
 */
export function parseConnect(frame: Frame): ConnectPacket {
  const reader = new BodyReader(frame)
  // Before all else: behind another level stand other fields.
  const { protocolName, protocolLevel, bridge } = readProtocol(reader)
  const flags = reader.byte('Connect Flags')
  if (protocolLevel === 4) checkFlags(reader, flags)
  const keepAlive = reader.uint16('Keep Alive')
  const clientId = reader.string('Client Identifier')
  const will = readWill(reader, flags)
  const { userName, password } = readCredentials(reader, flags, protocolLevel)
  reader.end()

  const clean = (flags & Flag.CLEAN) !== 0
  if (clientId === '' && (protocolLevel === 3 || !clean)) throw clientIdMissing(protocolLevel)
  return {
    protocolName,
    protocolLevel,
    bridge,
    clean,
    keepAlive,
    clientId,
    will,
    userName,
    password,
  }
}

type Protocol = Pick<ConnectPacket, 'protocolName' | 'protocolLevel' | 'bridge'>

function readProtocol(reader: BodyReader): Protocol {
  const protocolName = reader.binary('Protocol Name').toString('latin1')
  if (protocolName !== 'MQTT' && protocolName !== 'MQIsdp') {
    throw reader.malformed(
      `Protocol Name is ${quoted(protocolName)}, neither "MQTT" nor "MQIsdp" [MQTT-3.1.2-1]`,
    )
  }
  const byte = reader.byte('Protocol Level')
  const level = byte & ~BRIDGE
  const bridge = (byte & BRIDGE) !== 0
  if (protocolName === 'MQTT' && level === 4) return { protocolName, protocolLevel: 4, bridge }
  if (protocolName === 'MQIsdp' && level === 3) return { protocolName, protocolLevel: 3, bridge }
  const message = `CONNECT: Protocol Level is ${level} of "${protocolName}", not 4 of "MQTT" or 3 of "MQIsdp" [MQTT-3.1.2-2]`
  throw new ConnectRejected(
    'protocol_level',
    message,
    protocolName === 'MQTT' && level === 5
      ? UNSUPPORTED_PROTOCOL_VERSION
      : encodeConnack(UNACCEPTABLE_PROTOCOL_LEVEL, false),
  )
}

function checkFlags(reader: BodyReader, flags: number): void {
  if ((flags & Flag.RESERVED) !== 0) {
    throw reader.malformed('the reserved Connect Flag is set [MQTT-3.1.2-3]')
  }
  if ((flags & Flag.WILL) !== 0) return
  if (willQosBits(flags) !== 0) {
    throw reader.malformed(
      `Will QoS is ${willQosBits(flags)} without Will Flag [MQTT-3.1.2-11, -13]`,
    )
  }
  if ((flags & Flag.WILL_RETAIN) !== 0) {
    throw reader.malformed('Will Retain is set without Will Flag [MQTT-3.1.2-11, -15]')
  }
}

function willQosBits(flags: number): number {
  return (flags >> 3) & 0b11
}

function readWill(reader: BodyReader, flags: number): Will | undefined {
  const qos = willQosBits(flags)
  if (qos !== 0 && qos !== 1 && qos !== 2) {
    throw reader.malformed('Will QoS is 3 [MQTT-3.1.2-14]')
  }
  if ((flags & Flag.WILL) === 0) return undefined
  const text = reader.string('Will Topic')
  const topic = readTopicName(text, 'CONNECT: Will Topic', 'MQTT-4.7.1-1')
  const payload = reader.binary('Will Message')
  return { topic, payload, qos, retain: (flags & Flag.WILL_RETAIN) !== 0 }
}

function readCredentials(
  reader: BodyReader,
  flags: number,
  protocolLevel: 3 | 4,
): Pick<ConnectPacket, 'userName' | 'password'> {
  const hasUserName = (flags & Flag.USER_NAME) !== 0
  const hasPassword = (flags & Flag.PASSWORD) !== 0
  if (hasPassword && !hasUserName) {
    throw reader.malformed('Password Flag without User Name Flag [MQTT-3.1.2-22]')
  }
  // MQTT 3.1 §3.1: the Remaining Length takes precedence over these flags.
  const leftOut = () => protocolLevel === 3 && reader.remaining === 0
  const userName = hasUserName && !leftOut() ? reader.string('User Name') : undefined
  const password = hasPassword && !leftOut() ? reader.binary('Password') : undefined
  return { userName, password }
}

function clientIdMissing(protocolLevel: 3 | 4): ConnectRejected {
  const why = protocolLevel === 3 ? 'in MQTT 3.1' : 'with Clean Session 0 [MQTT-3.1.3-8]'
  return new ConnectRejected(
    'client_id',
    `CONNECT: Client Identifier is empty ${why}`,
    encodeConnack(IDENTIFIER_REJECTED, false),
  )
}
