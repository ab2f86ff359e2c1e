import type { TokenBuckets } from '../registry/token-buckets.ts'
import type { Check } from './check.ts'

/** RATE_LIMITED: more messages of one device than its bucket has tokens for. Takes a token. */
export function rateLimit(buckets: Pick<TokenBuckets, 'take'>): Check {
  return ({ device }) => (buckets.take(device) ? undefined : 'RATE_LIMITED')
}
