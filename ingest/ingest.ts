/** What ingest is to the rest of the process. */
import type { AuditEvent } from './audit-rows.ts'
import type { ConnectionEvents } from './connection-events.ts'
import type { DeviceApi } from './downlink/device-api.ts'
import type { DeviceReport } from './downlink/report.ts'
import type { StoredRow } from './reader.ts'
import type { AccountDevice } from './registry/account-devices.ts'
import type { Barred, ConnectDecision, DeviceStatus } from './registry/connections.ts'
import type { ConnectingDevice, DeviceAccount, DeviceName } from './registry/records.ts'
import type { DeviceRegistration, RegisteredDevice } from './registry/register-device.ts'
import type { RevokedCertificate } from './registry/revoked-certificates.ts'
import type { Denied, Telemetry } from './telemetry.ts'

/** Numbers since the start, under the names the platform's services read. */
export interface Counters {
  readonly messages_received: number
  /** Rows committed. */
  readonly messages_written: number
  /** Rejections of every kind, and records dropped. */
  readonly messages_rejected: number
  /** Records that are not committed yet. */
  readonly queue_depth: number
  /** Of the last COMMIT, ISO 8601. */
  readonly last_write_at: string | null
}

export type Readiness =
  | { readonly ready: true }
  /** `db_pool`: no server; `batch_writer`: rows are held, or stopping; `backlog`: no room. */
  | { readonly ready: false; readonly reason: 'db_pool' | 'batch_writer' | 'backlog' }

export interface Ingest {
  /**
   * Settles once the record is committed, or quarantined, which commits too. Promises settle in the
   * order of the calls. May wait as long as PostgreSQL is away. The payload must not change before.
   *
   * Storage is at least once: a COMMIT whose outcome got lost is repeated.
   *
   * Rejects with IngestOverloaded or IngestStopped: not stored, do not acknowledge.
   */
  append(telemetry: Telemetry): Promise<void>
  /**
   * A shadow reported, or a command acknowledged. Settles once its effect is committed, or there is
   * none to have; rejects as `append` does. In the order of these calls, apart from `append`.
   */
  report(report: DeviceReport): Promise<void>
  /** False while more is held than is good: the caller should stop taking messages in. */
  readonly hasRoom: boolean
  /** Calls once when there is room (again). */
  onRoom(then: () => void): void
  /** Counts and records a message that access control refused (reason AUTH_FAILED). Never throws. */
  recordDenied(denied: Denied): void
  /** A row of audit_log, by and by. Memory only; never throws. */
  audit(event: AuditEvent): void
  /** To be told what becomes of connections. */
  readonly connections: Pick<ConnectionEvents, 'opened' | 'closed' | 'certificateRefused'>
  /** For devices that ask over HTTP. */
  readonly devices: DeviceApi
  counters(): Counters
  ready(): Readiness
  /** Why what is committed may not survive a crash of this server; empty: it does. */
  readonly warnings: readonly string[]
  /** Latest `time` first, at most 1000. */
  lastRows(limit: number): Promise<readonly StoredRow[]>
  countRows(tenantId: string): Promise<number>
  /**
   * A device, its tenant, and its certificate if it has one, into the registry; idempotent. What is
   * there stays as it is (a suspended device suspended, a revoked certificate revoked), the site too
   * unless `moveToSite` says otherwise. Works with MIDGE_REGISTRY=off as well.
   *
   * @returns the site that the device's payloads have to name
   * @throws RegistrationRefused
   */
  registerDevice(device: DeviceRegistration): Promise<RegisteredDevice>
  /** Of memory only: `unknown` also means that nobody asked the database lately. */
  deviceStatus(tenantId: string, deviceId: string): DeviceStatus
  /**
   * What the registry says to a device that connects with this certificate. Asks the database and
   * waits 3 s at the most; never rejects. Always yes without a registry.
   */
  mayConnect(device: ConnectingDevice): Promise<ConnectDecision>
  /**
   * The device of an account called like one, by the provision token that is its password. Waits 3 s
   * at the most; never rejects. Nobody without a registry.
   */
  deviceOfAccount(account: DeviceAccount): Promise<AccountDevice>
  /**
   * Calls with every device or certificate that is found to be barred now; often more than once.
   * Whoever asked before is still called.
   */
  onBarred(then: (barred: Barred) => void): void
  /** The REVOKED rows of device_certificates, of all tenants. @throws SchemaUnusable, RowsHidden */
  revokedCertificates(): Promise<readonly RevokedCertificate[]>
  /** What memory says of this device and its certificates, or of all, is asked for again. */
  invalidate(device?: DeviceName): void
  /** Settles when nothing is held any more, or after `deadlineMs`. Messages are still taken. */
  flush(deadlineMs: number): Promise<void>
  /**
   * Takes nothing more, stores what is held until `deadlineMs`, rejects the rest with IngestStopped,
   * closes the pool. Never rejects.
   */
  stop(deadlineMs: number): Promise<void>
}
