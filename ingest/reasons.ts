/** Why a message is not stored as telemetry. */

/**
 * In the order of asking: the first that applies is the one. AUTH_FAILED is also what access control
 * refuses, which it does before anything here is asked.
 */
export const REASONS = [
  'INVALID_JSON',
  'INVALID_PAYLOAD',
  'PAYLOAD_TOO_LARGE',
  'BAD_TOPIC_FORMAT',
  'RATE_LIMITED',
  'TENANT_MISMATCH_TOPIC_VS_PAYLOAD',
  'MISSING_SITE_ID',
  'NO_SUBSCRIPTION_CAPACITY',
  'UNREGISTERED_DEVICE',
  'SUBSCRIPTION_SUSPENDED',
  'SUBSCRIPTION_EXPIRED',
  'DEVICE_REVOKED',
  'SITE_MISMATCH_REGISTRY_VS_PAYLOAD',
  'TOKEN_NOT_SET_IN_REGISTRY',
  'TOKEN_MISSING',
  'TOKEN_INVALID',
  'AUTH_FAILED',
  'INVALID_FIELD:site_id',
  'INVALID_FIELD:seq',
  'INVALID_FIELD:metrics',
  'TOO_MANY_METRICS',
  'METRIC_KEY_TOO_LONG',
  'METRIC_KEY_INVALID',
] as const

/** What goes wrong later, or through us; something specific follows the colon. */
export type LateReason = `ROW_REJECTED:${string}` | `INGEST_EXCEPTION:${string}`

/** A closed set but for what follows a colon. */
export type Reason = (typeof REASONS)[number] | LateReason
