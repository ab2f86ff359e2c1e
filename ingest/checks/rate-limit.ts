import { deviceKey } from '../registry/device-key.ts'
import type { TokenBuckets } from '../registry/token-buckets.ts'
import type { Check } from './check.ts'

/** RATE_LIMITED: more messages of one device than its bucket has tokens for. Takes a token. */
export function rateLimit(buckets: Pick<TokenBuckets, 'take'>): Check {
  return ({ telemetry }) => (buckets.take(deviceKey(telemetry)) ? undefined : 'RATE_LIMITED')
}
