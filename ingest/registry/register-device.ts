/** A device, its tenant, its site and its certificate into the registry, by those who make them. */
import type { DatabaseConfig } from '../../config/types.ts'
import { OperationalError } from '../../core/errors.ts'
import { isId } from '../../core/names.ts'
import { asTenant, type Needs, type OperatorClient, withClient } from './operator-client.ts'

export interface DeviceRegistration {
  readonly tenantId: string
  readonly deviceId: string
  /** What the device's payloads must name as `site_id`. */
  readonly siteId: string
  /** A registered device moves to `siteId`; otherwise it stays at the site it has. Default false. */
  readonly moveToSite?: boolean
  readonly certificate?: CertificateRegistration
}

export interface CertificateRegistration {
  readonly pem: string
  /** SHA-256 of the DER; colons and capitals are taken out. */
  readonly fingerprint: string
  /** Hex; leading zeros are taken out. */
  readonly serialNumber: string
  readonly commonName: string
  /** Its CN, or the whole name as text. */
  readonly issuer: string
  readonly notBefore: Date
  readonly notAfter: Date
}

export interface RegisteredDevice {
  /** What payloads must name from now on. */
  readonly siteId: string
  readonly status: string
  readonly wasKnown: boolean
}

/** There is no table device_registry, or what should go into it can be nobody's. */
export class RegistrationRefused extends OperationalError {
  constructor(problem: string) {
    super('REGISTRATION_REFUSED', problem)
  }
}

const MAX_COLUMN = 200

/**
 * One transaction; again and again the same outcome. Nothing that is there changes, but the site on
 * request: a suspended device stays suspended, a revoked certificate revoked.
 *
 * @param client outside a transaction
 * @throws RegistrationRefused
 */
export async function registerDevice(
  client: OperatorClient,
  device: DeviceRegistration,
): Promise<RegisteredDevice> {
  const problem = registrationProblem(device)
  if (problem !== undefined) throw new RegistrationRefused(problem)
  const { tenantId, deviceId, siteId, moveToSite = false, certificate } = device
  const tables = await requireTables(client, `${tenantId}/${deviceId}`)
  return await asTenant(client, tenantId, MAY_REGISTER, async () => {
    if (tables.tenants) await ensureTenant(client, tenantId)
    const made = await client.query(
      `INSERT INTO device_registry (tenant_id, device_id, site_id, status)
       VALUES ($1, $2, $3, 'ACTIVE') ON CONFLICT (tenant_id, device_id) DO NOTHING RETURNING 1`,
      [tenantId, deviceId, siteId],
    )
    if (moveToSite) {
      await client.query(
        `UPDATE device_registry SET site_id = $3, updated_at = now()
          WHERE tenant_id = $1 AND device_id = $2 AND site_id <> $3`,
        [tenantId, deviceId, siteId],
      )
    }
    if (certificate !== undefined) await insertCertificate(client, device, certificate)
    const { rows } = await client.query<{ site_id: string; status: string }>(
      'SELECT site_id, status FROM device_registry WHERE tenant_id = $1 AND device_id = $2',
      [tenantId, deviceId],
    )
    const [row] = rows
    if (row === undefined) throw new RegistrationRefused('row-level security hides the device')
    return { siteId: row.site_id, status: row.status, wasKnown: made.rows.length === 0 }
  })
}

/** What a transaction that registers devices does. */
export const MAY_REGISTER: Needs = [
  ['device_registry', 'SELECT'],
  ['device_registry', 'INSERT'],
]

/** @param what that cannot be registered, for the message @throws RegistrationRefused */
export async function requireTables(
  client: OperatorClient,
  what: string,
): Promise<{ readonly tenants: boolean }> {
  const { rows } = await client.query<{ registry: boolean; tenants: boolean }>(
    `SELECT to_regclass('device_registry') IS NOT NULL AS registry,
            to_regclass('tenants') IS NOT NULL AS tenants`,
  )
  const [found] = rows
  if (found?.registry === true) return found
  throw new RegistrationRefused(
    `cannot register ${what}: the database has no table device_registry`,
  )
}

/** A tenant that is there need not be made, and a role that may not make one can still go on. */
export async function ensureTenant(client: OperatorClient, tenantId: string): Promise<void> {
  const { rows } = await client.query<{ may: boolean }>(
    `SELECT has_table_privilege('tenants', 'INSERT') AS may`,
  )
  if (rows[0]?.may !== true) return
  await client.query(
    'INSERT INTO tenants (tenant_id, name) VALUES ($1, $1) ON CONFLICT (tenant_id) DO NOTHING',
    [tenantId],
  )
}

/** `registerDevice` over a connection of its own, for a process without ingest. */
export async function registerDeviceIn(
  config: DatabaseConfig,
  device: DeviceRegistration,
): Promise<RegisteredDevice> {
  return await withClient(config, (client) => registerDevice(client, device))
}

async function insertCertificate(
  client: OperatorClient,
  device: DeviceRegistration,
  certificate: CertificateRegistration,
): Promise<void> {
  await client.query(
    `INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
       common_name, issuer, serial_number, status, not_before, not_after)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'ACTIVE', $8, $9)
     ON CONFLICT (fingerprint_sha256) DO NOTHING`,
    [...certificateValues(device, certificate)],
  )
}

/** In the order of the columns above, but for the status. */
export function certificateValues(
  { tenantId, deviceId }: DeviceRegistration,
  certificate: CertificateRegistration,
): readonly string[] {
  return [
    tenantId,
    deviceId,
    certificate.pem,
    fingerprintOf(certificate),
    certificate.commonName,
    certificate.issuer.slice(0, MAX_COLUMN),
    certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/u, ''),
    certificate.notBefore.toISOString(),
    certificate.notAfter.toISOString(),
  ]
}

function fingerprintOf({ fingerprint }: CertificateRegistration): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}

/** Why it cannot be registered as it is; undefined: it can. */
export function registrationProblem({
  tenantId,
  deviceId,
  siteId,
  certificate,
}: DeviceRegistration): string | undefined {
  const name = `${tenantId}/${deviceId}`
  if (!isId(tenantId) || !isId(deviceId)) {
    return `${JSON.stringify(name)} names no device: expected a tenant and a device of 1 to 200 characters without / + # and control characters`
  }
  if (siteId === '' || siteId.includes('\0') || !siteId.isWellFormed()) {
    return `the site of ${name} is ${JSON.stringify(siteId)}, expected a text that is not empty`
  }
  if (certificate === undefined) return undefined
  if (certificate.commonName !== name) {
    return `the certificate's CN is ${JSON.stringify(certificate.commonName)}, expected ${name}`
  }
  return /^[0-9a-f]{64}$/u.test(fingerprintOf(certificate))
    ? undefined
    : `the fingerprint is ${JSON.stringify(certificate.fingerprint)}, expected SHA-256 as hex`
}
