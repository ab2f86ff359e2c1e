import type { LimitsConfig } from '../../config/types.ts'

/** The product's defaults, with what a test wants different. */
export function limits(changes: Partial<LimitsConfig> = {}): LimitsConfig {
  return {
    maxConnectBytes: 8192,
    maxPacketBytes: 262_144,
    connectTimeoutMs: 10_000,
    maxConnections: 1000,
    maxInflightMessages: 20,
    maxQueuedMessages: 1000,
    maxQueuedBytes: 8 << 20,
    maxQueuedBytesTotal: 64 << 20,
    maxSessions: 1000,
    maxSubscriptionsPerSession: 1000,
    maxRetainedMessages: 1000,
    maxRetainedBytes: 16 << 20,
    maxSocketBacklogBytes: 1 << 20,
    maxWaitingPublishes: 1000,
    maxWaitingBytes: 1 << 20,
    ...changes,
  }
}
