import type { Publisher } from './telemetry.ts'

/**
 * The tenant as a metric's label: only one that a certificate vouches for, so that nobody who may
 * publish anywhere can make series at will. `unknown` otherwise.
 */
export function tenantLabel(publisher: Publisher, tenantId: string | undefined): string {
  return publisher.kind === 'device' && tenantId !== undefined ? tenantId : 'unknown'
}
