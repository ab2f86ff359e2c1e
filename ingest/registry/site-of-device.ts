import type { DatabaseConfig } from '../../config/types.ts'
import { asTenant, withClient } from './operator-client.ts'

/** The site a device is registered with; undefined: it is not, or there is no registry. */
export async function siteOfDeviceIn(
  config: DatabaseConfig,
  tenantId: string,
  deviceId: string,
): Promise<string | undefined> {
  return await withClient(config, async (client) => {
    const { rows: tables } = await client.query<{ there: boolean }>(
      `SELECT to_regclass('device_registry') IS NOT NULL AS there`,
    )
    if (tables[0]?.there !== true) return undefined
    return await asTenant(client, tenantId, [['device_registry', 'SELECT']], async () => {
      const { rows } = await client.query<{ site_id: string }>(
        'SELECT site_id FROM device_registry WHERE tenant_id = $1 AND device_id = $2',
        [tenantId, deviceId],
      )
      return rows[0]?.site_id
    })
  })
}
