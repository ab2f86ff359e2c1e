/** Telemetry into PostgreSQL: what is acknowledged is committed. */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { Database, waitForDatabase } from './database.ts'
import { inspectDownlink, type DownlinkTables } from './downlink/tables.ts'
import { durabilityWarnings } from './durability.ts'
import type { Ingest } from './ingest.ts'
import { DatabaseUnreachable } from './errors.ts'
import { migrate } from './migrate.ts'
import { Registry } from './registry/index.ts'
import { wantedRegistry, type RegistrySchema } from './registry/registry-schema.ts'
import { RunningIngest } from './running.ts'
import { inspectSchema, type Schema } from './schema.ts'

export type { AuditEvent } from './audit-rows.ts'
export type { DeviceApi, DesiredShadow, TokenDevice } from './downlink/device-api.ts'
export type { DeviceReport } from './downlink/report.ts'
export {
  initDatabase,
  type InitialisedDatabase,
} from './database-init.ts'
export { IngestOverloaded, IngestStopped } from './errors.ts'
export {
  openQuarantine,
  type OpenQuarantine,
} from './quarantine-access.ts'
export type { ReplayOutcome } from './quarantine-replay.ts'
export {
  isEventId,
  type QuarantinedEvent,
  type QuarantinedMessage,
  type QuarantineFilter,
} from './quarantined-message.ts'
export { readLastRows, type StoredRow } from './reader.ts'
export { isCalled, type AccountDevice, type AccountRefusal } from './registry/account-devices.ts'
export type { Barred, ConnectDecision, DeviceStatus } from './registry/connections.ts'
export type { RevokedCertificate } from './registry/revoked-certificates.ts'
export type {
  CertificateName,
  ConnectingDevice,
  DeviceAccount,
  DeviceName,
} from './registry/records.ts'
export {
  registerDeviceIn,
  RegistrationRefused,
  type CertificateRegistration,
  type DeviceRegistration,
  type RegisteredDevice,
} from './registry/register-device.ts'
export { registerDevicesIn, type RegisteredMember } from './registry/register-fleet.ts'
export {
  revokeCertificateIn,
  type CertificateRevocation,
  type RevokedRow,
} from './registry/revoke-certificate.ts'
export { siteOfDeviceIn } from './registry/site-of-device.ts'
export { standingOfDeviceIn, type RegistryStanding } from './registry/standing-of-device.ts'
export type { Counters, Ingest, Readiness } from './ingest.ts'
export type { Denied, Publisher, Telemetry } from './telemetry.ts'

const START_MS = 60_000

/**
 * Settles when rows can be written. Waits up to a minute for a server that takes connections and has
 * the tables (another service may be making them); once started, an absent server is waited for
 * without end and nothing is acknowledged meanwhile.
 *
 * Logs a warning for each reason why a COMMIT of this server may not survive a crash.
 *
 * @param options.random 0 to 1
 * @throws DatabaseUnreachable with the last problem in its message
 */
export async function createIngest(options: {
  readonly config: IngestConfig
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly random: () => number
}): Promise<Ingest> {
  const { config, clock, log } = options
  const database = new Database(config.database, config.statementTimeoutMs, clock, log)
  let schema: Schema | undefined
  let registrySchema: RegistrySchema | undefined
  let tables: DownlinkTables | undefined
  const failure = await waitForDatabase(
    async () => {
      if (config.database.migrate) await migrate(database, log)
      registrySchema = await wantedRegistry(config, database)
      schema = await inspectSchema(database)
      tables = await inspectDownlink(database)
    },
    START_MS,
    clock,
    log,
  )
  if (schema === undefined || tables === undefined) {
    await database.end()
    throw new DatabaseUnreachable(START_MS, failure, messageOf(failure))
  }
  const warnings = await durabilityWarnings(database, schema)
  for (const text of warnings) log.warn({ event: 'durability.missing' }, text)
  if (!schema.quarantineColumns.has('payload')) {
    log.warn(
      { event: 'quarantine.missing' },
      'no table quarantine_events: rejections are counted only',
    )
  }
  if (config.messageKey === true && !schema.telemetryHasMessageKey) {
    log.warn(
      { event: 'message_key.missing' },
      'table telemetry has no column message_key with its unique index: a message sent again is stored again',
    )
  }
  const registry = await startRegistry(options, database, registrySchema)
  return new RunningIngest({ ...options, database, schema, tables, registry, warnings })
}

async function startRegistry(
  options: Parameters<typeof createIngest>[0],
  database: Database,
  schema: RegistrySchema | undefined,
): Promise<Registry | undefined> {
  const { config, log } = options
  if (config.registry === undefined || config.registry.mode === 'off') return undefined
  if (schema === undefined) {
    log.warn(
      { event: 'registry.absent' },
      'no table device_registry: telemetry of every device that may publish is stored',
    )
    return undefined
  }
  if (schema.seesPartly) {
    log.warn(
      { event: 'registry.hidden' },
      'row-level security may hide devices: let the login role become pulse_operator',
    )
  }
  return Registry.start({ ...options, registry: config.registry, database, schema })
}
