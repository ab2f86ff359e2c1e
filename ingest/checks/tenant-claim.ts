import type { Check } from './check.ts'

/** TENANT_MISMATCH_TOPIC_VS_PAYLOAD: a payload may name its tenant, but no other than the topic's. */
export const tenantClaim: Check = ({ claimedTenant, telemetry }) =>
  claimedTenant === undefined || claimedTenant === telemetry.tenantId
    ? undefined
    : 'TENANT_MISMATCH_TOPIC_VS_PAYLOAD'
