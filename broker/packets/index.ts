/** The wire format of MQTT 3.1 and 3.1.1, strictly: nothing malformed gets past a parser of these. */
export { checkBodyless, parseAcknowledgement } from './acknowledgement.ts'
export { parseConnect, type ConnectPacket, type Will } from './connect-packet.ts'
export { ConnectRejected } from './connect-rejected.ts'
export { assertClientPacket } from './direction.ts'
export {
  encodeAcknowledgement,
  encodeAcknowledgements,
  encodeConnack,
  encodePublish,
  encodePublishHead,
  PINGRESP,
  type AcknowledgementType,
  type OutgoingPublish,
} from './encode.ts'
export {
  encodeConnect,
  encodeDisconnect,
  encodePingreq,
  encodeSubscribe,
  encodeUnsubscribe,
  type OutgoingConnect,
} from './encode-client.ts'
export { encodeSuback, encodeUnsuback } from './encode-subscription-acks.ts'
export { nameOf, PacketType, type Frame } from './frame.ts'
export { Framer } from './framer.ts'
export { MalformedPacket, PacketTooLarge } from './malformed.ts'
export { parsePublish, type PublishPacket } from './publish-packet.ts'
export {
  MAX_FILTERS_PER_PACKET,
  parseSubscribe,
  parseUnsubscribe,
  type SubscribePacket,
  type UnsubscribePacket,
} from './subscribe-packet.ts'
export { TopicMemo } from './topic-memo.ts'
