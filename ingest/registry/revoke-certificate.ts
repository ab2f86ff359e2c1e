/** Rows of device_certificates from ACTIVE to REVOKED, by those who revoke. */
import type { DatabaseConfig } from '../../config/types.ts'
import { acrossTenants, asTenant, type OperatorClient, withClient } from './operator-client.ts'
import { RegistrationRefused } from './register-device.ts'

export interface CertificateRevocation {
  readonly certificates: readonly {
    /** Hex; colons and leading zeros are taken out. */
    readonly serialNumber: string
    /** Undefined: looked for among all tenants. */
    readonly tenantId: string | undefined
  }[]
  /** As rows name it (its CN): another CA may have used the same serial number. */
  readonly issuer: string
  /** Cut after 100 characters. */
  readonly reason: string
  readonly revokedAt: Date
}

export interface RevokedRow {
  readonly tenantId: string
  readonly deviceId: string
  readonly serialNumber: string
  readonly fingerprint: string
  /** REVOKED, or EXPIRED: that is as final. */
  readonly status: string
  /** False: it was so before, and keeps its date and reason. */
  readonly isNew: boolean
}

const MAX_REASON = 100

/**
 * One transaction for each tenant; again and again the same outcome.
 *
 * @returns the rows found; a certificate without one is not among them
 * @throws RegistrationRefused without a table device_certificates
 */
export async function revokeCertificateIn(
  config: DatabaseConfig,
  revocation: CertificateRevocation,
): Promise<readonly RevokedRow[]> {
  return await withClient(config, (client) => revokeCertificates(client, revocation))
}

async function revokeCertificates(
  client: OperatorClient,
  { certificates, issuer, reason, revokedAt }: CertificateRevocation,
): Promise<readonly RevokedRow[]> {
  const { rows } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('device_certificates') IS NOT NULL AS there`,
  )
  if (rows[0]?.there !== true) {
    throw new RegistrationRefused('the database has no table device_certificates')
  }
  const byTenant = new Map<string, string[]>()
  const add = (tenant: string, serial: string): void => {
    byTenant.set(tenant, [...(byTenant.get(tenant) ?? []), serial])
  }
  const homeless: string[] = []
  for (const { serialNumber, tenantId } of certificates) {
    const serial = serialNumber
      .replaceAll(':', '')
      .toLowerCase()
      .replace(/^0+(?=.)/u, '')
    if (tenantId === undefined) homeless.push(serial)
    else add(tenantId, serial)
  }
  for (const { tenant_id: tenant, serial } of await tenantsOf(client, homeless, issuer)) {
    add(tenant, serial)
  }
  const found: RevokedRow[] = []
  for (const [tenantId, serials] of byTenant) {
    found.push(
      ...(await revokeOf(client, tenantId, {
        serials,
        issuer,
        reason: reason.slice(0, MAX_REASON),
        revokedAt,
      })),
    )
  }
  return found
}

async function tenantsOf(
  client: OperatorClient,
  serials: readonly string[],
  issuer: string,
): Promise<readonly { tenant_id: string; serial: string }[]> {
  if (serials.length === 0) return []
  return await acrossTenants(client, [['device_certificates', 'SELECT']], async () => {
    const { rows } = await client.query<{ tenant_id: string; serial: string }>(
      `SELECT DISTINCT tenant_id, serial_number AS serial FROM device_certificates
        WHERE serial_number = ANY ($1) AND issuer = $2`,
      [serials, issuer],
    )
    return rows
  })
}

interface OfTenant {
  readonly serials: readonly string[]
  readonly issuer: string
  readonly reason: string
  readonly revokedAt: Date
}

async function revokeOf(
  client: OperatorClient,
  tenantId: string,
  { serials, issuer, reason, revokedAt }: OfTenant,
): Promise<readonly RevokedRow[]> {
  const needs = [
    ['device_certificates', 'SELECT'],
    ['device_certificates', 'UPDATE'],
  ] as const
  return await asTenant(client, tenantId, needs, async () => {
    const changed = await client.query<{ id: string }>(
      `UPDATE device_certificates
          SET status = 'REVOKED', revoked_at = $4, revoked_reason = $5, updated_at = now()
        WHERE tenant_id = $1 AND serial_number = ANY ($2) AND issuer = $3 AND status = 'ACTIVE'
        RETURNING fingerprint_sha256 AS id`,
      [tenantId, serials, issuer, revokedAt.toISOString(), reason],
    )
    const isNew = new Set(changed.rows.map(({ id }) => id))
    const { rows } = await client.query<{
      device_id: string
      serial_number: string
      fingerprint_sha256: string
      status: string
    }>(
      `SELECT device_id, serial_number, fingerprint_sha256, status FROM device_certificates
        WHERE tenant_id = $1 AND serial_number = ANY ($2) AND issuer = $3 AND status <> 'ACTIVE'
        ORDER BY id`,
      [tenantId, serials, issuer],
    )
    return rows.map((row) => ({
      tenantId,
      deviceId: row.device_id,
      serialNumber: row.serial_number,
      fingerprint: row.fingerprint_sha256,
      status: row.status,
      isNew: isNew.has(row.fingerprint_sha256),
    }))
  })
}
