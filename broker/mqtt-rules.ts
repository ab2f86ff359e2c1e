/** What a listener and mosquitto.conf allow beyond the protocol, asked of each CONNECT and PUBLISH. */
import type { ListenerConfig, MqttConfig } from '../config/types.ts'
import type { Identity } from './identity/index.ts'
import type { ConnectPacket, PublishPacket } from './packets/index.ts'

/** Of a start without mosquitto.conf: Mosquitto's defaults, but for small packets waiting for others. */
export const DEFAULT_MQTT: MqttConfig = {
  checkRetainSource: true,
  clientIdPrefix: undefined,
  connectionMessages: true,
  maxInflightBytes: 0,
  maxKeepAlive: 0,
  maxPayloadBytes: 0,
  queueQos0: false,
  retainAvailable: true,
  sessionExpirySeconds: undefined,
  tcpNoDelay: true,
  upgradeOutgoingQos: false,
}

export interface ConnectRefusal {
  /** Of CONNACK (MQTT 3.1.1 §3.2.2.3); undefined: closed without one, as Mosquitto does. */
  readonly returnCode: 1 | 2 | 5 | undefined
  /** One word of a closed set, for logs and metrics. */
  readonly reason: string
}

/** Before anybody asks who it is: what of this CONNECT is not allowed here, whoever sends it. */
export function connectRefusal(
  packet: ConnectPacket,
  listener: ListenerConfig,
  mqtt: MqttConfig,
): ConnectRefusal | undefined {
  const { protocolLevel, keepAlive, clientId, will } = packet
  if (listener.protocolLevels?.includes(protocolLevel) === false) {
    return { returnCode: 1, reason: 'protocol_level' }
  }
  if (clientId === '' && listener.allowZeroLengthClientId === false) {
    return { returnCode: 2, reason: 'client_id' }
  }
  // MQTT 3.1.1 cannot tell a client another Keep Alive; Mosquitto answers so, and counts 0 (none) as
  // longer than any.
  const { maxKeepAlive } = mqtt
  if (maxKeepAlive > 0 && (keepAlive === 0 || keepAlive > maxKeepAlive)) {
    return { returnCode: 2, reason: 'keep_alive_too_long' }
  }
  if (will === undefined) return undefined
  if (will.retain && !mqtt.retainAvailable) {
    return { returnCode: undefined, reason: 'retain_not_available' }
  }
  if (will.qos > (listener.maxQos ?? 2))
    return { returnCode: undefined, reason: 'qos_not_supported' }
  if (isTooLarge(will.payload, mqtt)) return { returnCode: 5, reason: 'will_too_large' }
  return undefined
}

/**
 * The Client Identifier the Session goes by.
 *
 * @param assigned what an empty one is replaced with, behind the listener's prefix [MQTT-3.1.3-6]
 */
export function clientIdOf(
  packet: ConnectPacket,
  identity: Identity,
  rules: { readonly listener: ListenerConfig; readonly mqtt: MqttConfig },
  assigned: string,
): { readonly clientId: string } | ConnectRefusal {
  const { listener, mqtt } = rules
  const given =
    packet.clientId === '' ? `${listener.autoIdPrefix ?? 'auto-'}${assigned}` : packet.clientId
  // As Mosquitto: it is what the client sent that is compared, not what takes its place.
  if (mqtt.clientIdPrefix !== undefined && !given.startsWith(mqtt.clientIdPrefix)) {
    return { returnCode: 5, reason: 'client_id_prefix' }
  }
  if (listener.useUsernameAsClientId !== true) return { clientId: given }
  const { userName } = identity
  if (userName === undefined || userName === '') return { returnCode: 5, reason: 'no_user_name' }
  return { clientId: userName }
}

/** Why this PUBLISH ends its connection, MQTT 3.1.1 having no way to say so. */
export function publishProblem(
  { qos, retain }: Pick<PublishPacket, 'qos' | 'retain'>,
  { maxQos = 2 }: ListenerConfig,
  { retainAvailable }: MqttConfig,
): string | undefined {
  if (qos > maxQos) return `PUBLISH with QoS ${qos}, this listener takes at most ${maxQos}`
  if (retain && !retainAvailable) return 'PUBLISH with RETAIN, which is not available here'
  return undefined
}

export function isTooLarge(payload: Buffer, { maxPayloadBytes }: MqttConfig): boolean {
  return maxPayloadBytes > 0 && payload.length > maxPayloadBytes
}
