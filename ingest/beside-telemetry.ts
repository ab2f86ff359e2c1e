/** What ingest does beside telemetry: shadows and commands, the audit log, connection events, statistics. */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { AuditLog } from './audit.ts'
import type { BatchSurroundings } from './batch.ts'
import { ConnectionEvents } from './connection-events.ts'
import type { Database } from './database.ts'
import { DatabaseDeviceApi, type DeviceApi } from './downlink/device-api.ts'
import { Downlink } from './downlink/downlink.ts'
import { DownlinkStore } from './downlink/store.ts'
import type { DownlinkTables } from './downlink/tables.ts'
import type { LogLimit } from './log-limit.ts'
import { logStatistics } from './statistics.ts'
import type { Rejection, Row } from './telemetry.ts'

export interface BesideTelemetryParts {
  readonly config: IngestConfig
  readonly database: Database
  readonly tables: DownlinkTables
  /** A report that is to be kept with the rejected messages. */
  readonly rejected: (rejection: Rejection) => void
  /** For the line of statistics. */
  readonly counters: () => object
  readonly around: BatchSurroundings
  readonly clock: Clock
  readonly log: Log
  readonly limit: LogLimit
  readonly metrics: Metrics
}

export class BesideTelemetry {
  readonly audit: AuditLog
  readonly connections: ConnectionEvents
  readonly downlink: Downlink
  readonly devices: DeviceApi
  readonly #auditsTelemetry: boolean
  readonly #stopStatistics: () => void

  constructor(parts: BesideTelemetryParts) {
    const { config, database, tables, metrics, log } = parts
    const { random } = parts.around
    const wantsEvents = config.connectionEvents === true
    if (wantsEvents && !tables.hasConnectionEvents) {
      log.warn(
        { event: 'connections.missing' },
        'no table device_connection_events: connection events are not kept',
      )
    }
    const shared = { ...parts, random }
    const mode = config.registry?.mode ?? 'off'
    const asksRegistry = tables.hasRegistry && mode !== 'off'
    this.audit = new AuditLog({ ...shared, columns: tables.auditColumns })
    this.connections = new ConnectionEvents({
      ...shared,
      audit: this.audit,
      transactions:
        wantsEvents && tables.hasConnectionEvents ? tables.eventTransactions : undefined,
    })
    this.downlink = new Downlink({ ...parts, store: new DownlinkStore(tables, asksRegistry) })
    this.devices = new DatabaseDeviceApi(database, tables, (kind, outcome) =>
      metrics.ingestReports.inc({ kind, outcome }),
    )
    this.#auditsTelemetry = config.auditTelemetry === true
    this.#stopStatistics = logStatistics(
      config.statisticsEverySeconds ?? 0,
      () => ({ ...parts.counters(), reports_waiting: this.downlink.waiting }),
      parts,
    )
  }

  /** After a COMMIT; must not throw. */
  committed(rows: readonly Row[]): void {
    if (this.#auditsTelemetry) this.audit.stored(rows)
  }

  /** Settles when the journals are written. */
  async idle(): Promise<void> {
    await Promise.all([this.audit.idle(), this.connections.idle()])
  }

  close(): void {
    this.#stopStatistics()
    this.audit.close()
    this.connections.close()
  }
}
