/** A device that was given a certificate is known to ingest too: its tenant, site and certificate. */
import { X509Certificate } from 'node:crypto'
import type { Environment } from '../config/index.ts'
import type { DatabaseConfig } from '../config/types.ts'
import { messageOf, OperationalError } from '../core/errors.ts'
import {
  type DeviceRegistration,
  registerDevicesIn,
  revokeCertificateIn,
  siteOfDeviceIn,
} from '../ingest/index.ts'
import type { Enrolled, Enrolment } from '../pki/index.ts'
import { ingestConfigOf } from './operator-database.ts'

/** @param certificatePem of the device, CN `{tenant}/{device}` */
export function registrationOf(
  tenantId: string,
  deviceId: string,
  siteId: string,
  certificatePem: string,
): DeviceRegistration {
  const certificate = new X509Certificate(certificatePem)
  const issuer = /^CN=(.*)$/mu.exec(certificate.issuer)?.[1] ?? certificate.issuer
  return {
    tenantId,
    deviceId,
    siteId,
    certificate: {
      pem: certificatePem,
      fingerprint: certificate.fingerprint256,
      serialNumber: certificate.serialNumber,
      commonName: `${tenantId}/${deviceId}`,
      issuer,
      notBefore: new Date(certificate.validFrom),
      notAfter: new Date(certificate.validTo),
    },
  }
}

export interface EnrolmentOptions {
  /** Of the start without a configuration file. */
  readonly data: string
  /** The command works on the certificates of that start: its Midge may be told. */
  readonly isOfData: boolean
  readonly environment: Environment
}

/**
 * The rows of device_registry and device_certificates: in the database that DATABASE_URL or PG_*
 * names, else in that of the Midge that runs on the data directory.
 */
export function enrolmentOf(options: EnrolmentOptions): Enrolment {
  return {
    registerIssued: (certificates) =>
      written(options, async (database) => {
        const devices = certificates.map(({ tenant, device, site, certificatePem }) =>
          // A device that is registered keeps its site, whatever is said here.
          registrationOf(tenant, device, site ?? tenant, certificatePem),
        )
        const rows = await registerDevicesIn(database, devices)
        return rows.map(({ tenantId, deviceId, siteId, status, wasKnown }) => {
          return { name: `${tenantId}/${deviceId}`, site: siteId, status, wasKnown }
        })
      }),
    revokeRows: ({ certificates, issuer, reason, revokedAt }) =>
      written(options, async (database) => {
        const rows = await revokeCertificateIn(database, {
          certificates: certificates.map(({ serialNumber, tenant }) => {
            return { serialNumber, tenantId: tenant }
          }),
          issuer,
          reason,
          revokedAt: new Date(revokedAt),
        })
        return rows.map(({ tenantId, deviceId, serialNumber, status, isNew }) => {
          return { name: `${tenantId}/${deviceId}`, serialNumber, status, isNew }
        })
      }),
    siteOf: async (tenant, device) => {
      const found = await written(options, async (database) => [
        await siteOfDeviceIn(database, tenant, device),
      ])
      return found.kind === 'written' ? found.rows[0] : undefined
    },
  }
}

async function written<T>(
  options: EnrolmentOptions,
  write: (database: DatabaseConfig) => Promise<readonly T[]>,
): Promise<Enrolled<T>> {
  try {
    const database = await databaseOf(options)
    if (typeof database === 'string') return { kind: 'none', text: database }
    return { kind: 'written', rows: await write(database) }
  } catch (err) {
    if (err instanceof TypeError || err instanceof ReferenceError) throw err
    return { kind: 'failed', text: textOf(err) }
  }
}

/** @returns why there is none */
async function databaseOf({
  data,
  isOfData,
  environment,
}: EnrolmentOptions): Promise<DatabaseConfig | string> {
  try {
    const { database } = await ingestConfigOf(data, environment)
    if (isOfData || !isEmbedded(environment)) return database
    return 'no DATABASE_URL or PG_HOST is set'
  } catch (err) {
    if (!(err instanceof OperationalError)) throw err
    if (err.code === 'NOT_RUNNING') {
      return `no Midge runs on ${data} and no DATABASE_URL or PG_HOST is set`
    }
    if (err.code === 'INGEST_OFF') return 'MIDGE_INGEST is off'
    throw err
  }
}

function isEmbedded(environment: Environment): boolean {
  return !['DATABASE_URL', 'PG_HOST'].some((name) => (environment[name] ?? '') !== '')
}

/** Of several addresses of one host, each with its own refusal. */
function textOf(err: unknown): string {
  if (err instanceof AggregateError) return err.errors.map(messageOf).join(', ')
  return messageOf(err)
}
