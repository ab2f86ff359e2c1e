/** A device, its tenant, its site and its certificate into the registry, by those who make them. */
import { Client, type ClientBase } from 'pg'
import type { DatabaseConfig } from '../../config/types.ts'
import { OperationalError } from '../../core/errors.ts'
import { isId } from '../../core/names.ts'
import { connectionOf, literal } from '../database.ts'

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
  client: Pick<ClientBase, 'query'>,
  device: DeviceRegistration,
): Promise<RegisteredDevice> {
  const problem = problemOf(device)
  if (problem !== undefined) throw new RegistrationRefused(problem)
  const { tenantId, deviceId, siteId, moveToSite = false, certificate } = device
  const { rows: tables } = await client.query<{ registry: boolean; tenants: boolean }>(
    `SELECT to_regclass('device_registry') IS NOT NULL AS registry,
            to_regclass('tenants') IS NOT NULL AS tenants`,
  )
  if (tables[0]?.registry !== true) {
    throw new RegistrationRefused(
      `cannot register ${tenantId}/${deviceId}: the database has no table device_registry`,
    )
  }
  await client.query(`BEGIN; SELECT set_config('app.tenant_id', ${literal(tenantId)}, true)`)
  try {
    if (tables[0].tenants) {
      await client.query(
        'INSERT INTO tenants (tenant_id, name) VALUES ($1, $1) ON CONFLICT (tenant_id) DO NOTHING',
        [tenantId],
      )
    }
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
    await client.query('COMMIT')
    const [row] = rows
    if (row === undefined) throw new RegistrationRefused('row-level security hides the device')
    return { siteId: row.site_id, status: row.status, wasKnown: made.rows.length === 0 }
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw err
  }
}

/** `registerDevice` over a connection of its own, for a process without ingest. */
export async function registerDeviceIn(
  config: DatabaseConfig,
  device: DeviceRegistration,
): Promise<RegisteredDevice> {
  const client = new Client(connectionOf(config))
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await registerDevice(client, device)
  } finally {
    await client.end()
  }
}

async function insertCertificate(
  client: Pick<ClientBase, 'query'>,
  { tenantId, deviceId }: DeviceRegistration,
  certificate: CertificateRegistration,
): Promise<void> {
  await client.query(
    `INSERT INTO device_certificates (tenant_id, device_id, cert_pem, fingerprint_sha256,
       common_name, issuer, serial_number, status, not_before, not_after)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'ACTIVE', $8, $9)
     ON CONFLICT (fingerprint_sha256) DO NOTHING`,
    [
      tenantId,
      deviceId,
      certificate.pem,
      fingerprintOf(certificate),
      certificate.commonName,
      certificate.issuer.slice(0, MAX_COLUMN),
      certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/u, ''),
      certificate.notBefore.toISOString(),
      certificate.notAfter.toISOString(),
    ],
  )
}

function fingerprintOf({ fingerprint }: CertificateRegistration): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}

function problemOf({
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
