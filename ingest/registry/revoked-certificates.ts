import type { Database } from '../database.ts'
import { RowsHidden, SchemaUnusable } from '../errors.ts'
import { blockRows, preamble } from './block.ts'
import type { CertificateName } from './records.ts'
import { inspectRegistry } from './registry-schema.ts'

/** A REVOKED row of device_certificates. */
export interface RevokedCertificate extends CertificateName {
  /** As it was written down: hex, or what somebody took for it. */
  readonly serialNumber: string
  /** Milliseconds since 1970; now, where the row does not say when. */
  readonly revokedAt: number
  readonly reason: string | undefined
  /** Milliseconds since 1970. */
  readonly notAfter: number
}

interface RevokedRow extends Record<string, unknown> {
  readonly tenant_id: string
  readonly device_id: string
  readonly fingerprint: string
  readonly serial: string
  readonly revoked_at: number | null
  readonly reason: string | null
  readonly not_after: number | null
}

/**
 * Every one of every tenant.
 *
 * @param now milliseconds since 1970
 * @throws SchemaUnusable without the table; RowsHidden where row-level security would show only some
 *   of them: a list with gaps reads as if the rest were good
 */
export async function revokedCertificates(
  database: Database,
  now: number,
): Promise<readonly RevokedCertificate[]> {
  const { deviceCertificates: columns, read } = await inspectRegistry(database)
  if (columns.size === 0) throw new SchemaUnusable('there is no table device_certificates')
  if (read.byTenant) throw new RowsHidden('device_certificates')
  const msOf = (column: string) =>
    columns.has(column) ? `(extract(epoch FROM ${column}) * 1000)::float8` : 'NULL::float8'
  const reason = columns.has('revoked_reason') ? 'revoked_reason::text' : 'NULL::text'
  const rows = await blockRows<RevokedRow>(
    database,
    `${preamble(database, read)}
     SELECT tenant_id::text, device_id::text, fingerprint_sha256::text AS fingerprint,
            serial_number::text AS serial, ${msOf('revoked_at')} AS revoked_at, ${reason} AS reason,
            ${msOf('not_after')} AS not_after
       FROM device_certificates WHERE status = 'REVOKED'`,
  )
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    deviceId: row.device_id,
    fingerprint: row.fingerprint,
    serialNumber: row.serial,
    revokedAt: row.revoked_at ?? now,
    reason: row.reason ?? undefined,
    notAfter: row.not_after ?? Infinity,
  }))
}
