/** Many devices with their certificates into the registry, some hundred at a time. */
import type { DatabaseConfig } from '../../config/types.ts'
import { asTenant, type OperatorClient, withClient } from './operator-client.ts'
import {
  certificateValues,
  type DeviceRegistration,
  ensureTenant,
  MAY_REGISTER,
  registrationProblem,
  RegistrationRefused,
  requireTables,
} from './register-device.ts'

export interface RegisteredMember {
  readonly tenantId: string
  readonly deviceId: string
  /** What its payloads must name. */
  readonly siteId: string
  readonly status: string
  readonly wasKnown: boolean
}

/** Devices of one statement. */
const MAX_ROWS = 500

/**
 * As `registerDeviceIn` for each of them: what is there stays as it is. One transaction for up to 500
 * devices of a tenant; when one fails, those before it are registered.
 *
 * @returns the devices in another order
 * @throws RegistrationRefused before anything is written when one of them names no device
 */
export async function registerDevicesIn(
  config: DatabaseConfig,
  devices: readonly DeviceRegistration[],
): Promise<readonly RegisteredMember[]> {
  const byTenant = new Map<string, DeviceRegistration[]>()
  for (const device of devices) {
    const problem = registrationProblem(device)
    if (problem !== undefined) throw new RegistrationRefused(problem)
    const { tenantId } = device
    const known = byTenant.get(tenantId)
    if (known === undefined) byTenant.set(tenantId, [device])
    else known.push(device)
  }
  if (devices.length === 0) return []
  return await withClient(config, async (client) => {
    const tables = await requireTables(client, `${devices.length} devices`)
    const registered: RegisteredMember[] = []
    for (const [tenantId, all] of byTenant) {
      for (let at = 0; at < all.length; at += MAX_ROWS) {
        const part = all.slice(at, at + MAX_ROWS)
        const done = await asTenant(client, tenantId, MAY_REGISTER, async () => {
          if (tables.tenants) await ensureTenant(client, tenantId)
          return await registerPart(client, tenantId, part)
        })
        registered.push(...done)
      }
    }
    return registered
  })
}

async function registerPart(
  client: OperatorClient,
  tenantId: string,
  devices: readonly DeviceRegistration[],
): Promise<readonly RegisteredMember[]> {
  const ids = devices.map(({ deviceId }) => deviceId)
  const made = await client.query<{ device_id: string }>(
    `INSERT INTO device_registry (tenant_id, device_id, site_id, status)
     SELECT $1, d.device_id, d.site_id, 'ACTIVE'
       FROM unnest($2::text[], $3::text[]) AS d (device_id, site_id)
     ON CONFLICT (tenant_id, device_id) DO NOTHING RETURNING device_id`,
    [tenantId, ids, devices.map(({ siteId }) => siteId)],
  )
  const rows = devices.flatMap((device) =>
    device.certificate === undefined ? [] : [certificateValues(device, device.certificate)],
  )
  const column = (n: number) => rows.map((row) => row[n])
  await client.query(
    `INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
       common_name, issuer, serial_number, status, not_before, not_after)
     SELECT c.tenant_id, c.device_id, c.pem, c.fingerprint, c.common_name, c.issuer, c.serial,
            'ACTIVE', c.not_before, c.not_after
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                   $7::text[], $8::timestamptz[], $9::timestamptz[])
            AS c (tenant_id, device_id, pem, fingerprint, common_name, issuer, serial,
                  not_before, not_after)
     ON CONFLICT (fingerprint_sha256) DO NOTHING`,
    Array.from({ length: 9 }, (_, n) => column(n)),
  )
  const isNew = new Set(made.rows.map(({ device_id: id }) => id))
  const { rows: found } = await client.query<{
    device_id: string
    site_id: string
    status: string
  }>(
    `SELECT device_id, site_id, status FROM device_registry
      WHERE tenant_id = $1 AND device_id = ANY ($2)`,
    [tenantId, ids],
  )
  if (found.length < new Set(ids).size) {
    throw new RegistrationRefused(`row-level security hides devices of tenant ${tenantId}`)
  }
  return found.map((row) => ({
    tenantId,
    deviceId: row.device_id,
    siteId: row.site_id,
    status: row.status,
    wasKnown: !isNew.has(row.device_id),
  }))
}
