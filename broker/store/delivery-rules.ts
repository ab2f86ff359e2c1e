/** What mosquitto.conf and the limits say about the way out to a client. */
import type { LimitsConfig, MqttConfig } from '../../config/types.ts'

/** Taken literally: what 0 means in mosquitto.conf has been settled where that was read. */
export type OutboundLimits = Pick<
  LimitsConfig,
  'maxInflightMessages' | 'maxQueuedMessages' | 'maxQueuedBytes' | 'maxSocketBacklogBytes'
>

/** What mosquitto.conf may want otherwise. */
export type DeliveryRules = Pick<
  MqttConfig,
  'maxInflightBytes' | 'queueQos0' | 'upgradeOutgoingQos'
>

export const PLAIN_DELIVERY: DeliveryRules = {
  maxInflightBytes: 0,
  queueQos0: false,
  upgradeOutgoingQos: false,
}
