/** All MQTT state in memory: Sessions, subscriptions, queues, retained messages, Wills. */
export { AedesPersistence } from './aedes-persistence.ts'
export type {
  AcknowledgementOutcome,
  DeliveryOutcome,
  Link,
  MayReceive,
  PublishOptions,
} from './link.ts'
export { MemoryStore, type StoreCounts, type StoreLimits } from './memory.ts'
export { createMessage, type Message, type MessageSource, type QoS } from './message.ts'
export type { DeliveryRules } from './delivery-rules.ts'
export { FairShare, type ShareLimits, type Tenant } from './fair-share.ts'
export type { RetainedMessages } from './retained.ts'
export type { RetainedSource } from './retained-walks.ts'
export type { Session } from './session.ts'
export { parseSubscriptionFilter, type SubscriptionFilter } from './subscription-filter.ts'
