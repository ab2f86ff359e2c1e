import type { DatabaseConfig } from '../../config/types.ts'
import { asTenant, withClient, type OperatorClient } from './operator-client.ts'

export interface RegistryStanding {
  /** Undefined: not registered. */
  readonly device: { readonly siteId: string; readonly status: string } | undefined
  /** The row of the fingerprint asked about; undefined: there is none, or none was asked about. */
  readonly certificate:
    | {
        /** `tenant/device` it is registered for. */
        readonly owner: string
        readonly status: string
        /** As PostgreSQL writes it. */
        readonly notAfter: string | undefined
      }
    | undefined
}

/**
 * What an operator is told about a device and one of its certificates. One transaction that can only
 * read. Undefined: the database has no registry.
 */
export async function standingOfDeviceIn(
  config: DatabaseConfig,
  name: { readonly tenantId: string; readonly deviceId: string },
  fingerprint: string | undefined,
): Promise<RegistryStanding | undefined> {
  return await withClient(config, async (client) => {
    if (!(await isThere(client, 'device_registry'))) return undefined
    const { tenantId, deviceId } = name
    const device = await asTenant(client, tenantId, [['device_registry', 'SELECT']], async () => {
      await client.query('SET TRANSACTION READ ONLY')
      const { rows } = await client.query<{ site_id: string; status: string }>(
        'SELECT site_id::text, status::text FROM device_registry WHERE tenant_id = $1 AND device_id = $2',
        [tenantId, deviceId],
      )
      return rows[0]
    })
    const certificate =
      fingerprint === undefined || !(await isThere(client, 'device_certificates'))
        ? undefined
        : await certificateRow(client, tenantId, fingerprint)
    return { device: device && { siteId: device.site_id, status: device.status }, certificate }
  })
}

async function certificateRow(
  client: OperatorClient,
  tenantId: string,
  fingerprint: string,
): Promise<RegistryStanding['certificate']> {
  return await asTenant(client, tenantId, [['device_certificates', 'SELECT']], async () => {
    await client.query('SET TRANSACTION READ ONLY')
    // As JSON: not every schema has a not_after.
    const { rows } = await client.query<{
      owner: string
      status: string
      not_after: string | null
    }>(
      `SELECT c.tenant_id || '/' || c.device_id AS owner, c.status::text AS status,
              to_jsonb(c) ->> 'not_after' AS not_after
         FROM device_certificates c WHERE c.fingerprint_sha256 = $1`,
      [fingerprint],
    )
    const [row] = rows
    if (row === undefined) return undefined
    return { owner: row.owner, status: row.status, notAfter: row.not_after ?? undefined }
  })
}

async function isThere(client: OperatorClient, table: string): Promise<boolean> {
  const { rows } = await client.query<{ there: boolean }>(
    'SELECT to_regclass($1) IS NOT NULL AS there',
    [table],
  )
  return rows[0]?.there === true
}
