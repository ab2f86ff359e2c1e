import type { Check } from './check.ts'
import { metricLimits } from './metric-limits.ts'
import { payloadSize } from './payload-size.ts'
import { siteId } from './site-id.ts'
import { storableFields } from './storable-fields.ts'
import { tenantClaim } from './tenant-claim.ts'
import { topicGrammar } from './topic-grammar.ts'

/** The checks of a database with a registry of devices. */
export interface RegistryChecks {
  readonly rateLimit: Check
  /** From UNREGISTERED_DEVICE to AUTH_FAILED. */
  readonly admission: Check
}

const PASSES: Check = () => undefined
const NO_REGISTRY: RegistryChecks = { rateLimit: PASSES, admission: PASSES }

/**
 * Every check in the order of asking, which decides the reason of a message that would fail several.
 * Before them stands decode.ts (INVALID_JSON, INVALID_PAYLOAD). The database is asked late, so that
 * garbage never reaches it.
 *
 * @param limits may change its value at any time
 * @param hasMetricLimits number and names of the metrics are bounded
 */
export function checksOf(
  limits: { readonly maxPayloadBytes: number },
  registry: RegistryChecks = NO_REGISTRY,
  hasMetricLimits = false,
): readonly Check[] {
  return [
    payloadSize(limits),
    topicGrammar,
    registry.rateLimit,
    tenantClaim,
    siteId,
    registry.admission,
    storableFields,
    ...(hasMetricLimits ? [metricLimits] : []),
  ]
}
