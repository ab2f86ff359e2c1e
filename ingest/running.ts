/** Ingest at work: its parts joined, its state told, and its end. */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { AuditEvent } from './audit-rows.ts'
import type { BatchSurroundings } from './batch.ts'
import { BesideTelemetry } from './beside-telemetry.ts'
import { checksOf } from './checks/index.ts'
import type { ConnectionEvents } from './connection-events.ts'
import type { Database } from './database.ts'
import type { DeviceApi } from './downlink/device-api.ts'
import type { DeviceReport } from './downlink/report.ts'
import type { DownlinkTables } from './downlink/tables.ts'
import { IngestStopped } from './errors.ts'
import type { Counters, Ingest, Readiness } from './ingest.ts'
import { LogLimit } from './log-limit.ts'
import { Notifier } from './notifier.ts'
import { Pipeline } from './pipeline.ts'
import { QuarantineCounters } from './quarantine-counters.ts'
import { QuarantineStore } from './quarantine-store.ts'
import { Quarantine } from './quarantine.ts'
import { Reachability } from './reachability.ts'
import { countRows, lastRows, type StoredRow } from './reader.ts'
import { expireHourly } from './registry/certificate-expiry.ts'
import type { AccountDevice } from './registry/account-devices.ts'
import type { Barred, ConnectDecision, DeviceStatus } from './registry/connections.ts'
import type { Registry } from './registry/index.ts'
import type { ConnectingDevice, DeviceAccount, DeviceName } from './registry/records.ts'
import {
  registerDevice,
  type DeviceRegistration,
  type RegisteredDevice,
} from './registry/register-device.ts'
import { revokedCertificates, type RevokedCertificate } from './registry/revoked-certificates.ts'
import { RowsWriter } from './rows-writer.ts'
import type { Schema } from './schema.ts'
import { TelemetryStore } from './store.ts'
import { rejectionOf, type Denied, type Telemetry } from './telemetry.ts'
import { Turns } from './turns.ts'
import { within } from './within.ts'

const COUNTERS_EVERY_MS = 1_000
/** For counters, notifications and the pool, after the records. */
const CLOSING_MS = 1_000

export class RunningIngest implements Ingest {
  readonly warnings: readonly string[]
  readonly #database: Database
  readonly #clock: Clock
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #turns: Turns
  readonly #pipeline: Pipeline
  readonly #rows: RowsWriter
  readonly #registry: Registry | undefined
  readonly #quarantine: Quarantine
  readonly #counters: QuarantineCounters | undefined
  readonly #notifier: Notifier
  readonly #beside: BesideTelemetry
  readonly #abort = new AbortController()
  readonly #reachability: Reachability
  readonly #stopTimers: (() => void)[]
  readonly #acknowledgesEarly: boolean
  #stopping: Promise<void> | undefined

  constructor(parts: {
    readonly config: IngestConfig
    readonly database: Database
    readonly schema: Schema
    readonly tables: DownlinkTables
    /** Undefined: nothing is asked about devices. */
    readonly registry: Registry | undefined
    readonly warnings: readonly string[]
    readonly clock: Clock
    readonly log: Log
    readonly metrics: Metrics
    readonly random: () => number
  }) {
    const { config, database, schema, registry, clock, log, metrics, random } = parts
    this.#registry = registry
    this.warnings = parts.warnings
    this.#database = database
    this.#clock = clock
    this.#log = log
    this.#metrics = metrics
    this.#acknowledgesEarly = config.acknowledge === 'buffer'
    const limit = new LogLimit(clock)
    const around = (): BatchSurroundings => ({
      clock,
      random,
      signal: this.#abort.signal,
      commits: 0,
    })
    const shared = { config, clock, log, limit, metrics }
    this.#turns = new Turns(config.maxWaitingRecords, config.maxWaitingBytes)
    this.#notifier = new Notifier(database, clock, log, limit)
    this.#beside = new BesideTelemetry({
      ...shared,
      database,
      tables: parts.tables,
      rejected: (rejection) => this.#quarantine.record(rejection, undefined),
      counters: () => ({ ...this.counters(), ...this.#rows.statistics }),
      around: around(),
    })
    const counts = schema.hasQuarantineCounters && config.registry?.countersEnabled !== false
    this.#counters = counts ? new QuarantineCounters(database, log, limit) : undefined
    this.#quarantine = new Quarantine({
      ...shared,
      store: new QuarantineStore(database, schema),
      get storesRejects() {
        return registry?.settings.storeRejects ?? config.storeRejects
      },
      counters: this.#counters,
      audit: this.#beside.audit,
      around: around(),
    })
    const duplicates = config.messageKey === true ? metrics.ingestDuplicates : undefined
    this.#rows = new RowsWriter({
      ...shared,
      store: new TelemetryStore(database, schema, log, duplicates),
      committed: (rows) => {
        this.#notifier.committed(rows)
        this.#beside.committed(rows)
      },
      refused: ({ telemetry, turn }, code) => {
        this.#quarantine.record(rejectionOf(telemetry, `ROW_REJECTED:${code}`), turn)
      },
      around: around(),
    })
    this.#pipeline = new Pipeline({
      ...shared,
      checks: checksOf(registry?.settings ?? config, registry?.checks, config.metricLimits),
      turns: this.#turns,
      rows: this.#rows,
      quarantine: this.#quarantine,
      registry,
    })
    this.#reachability = new Reachability(database, this.#rows, clock)
    this.#stopTimers = [
      clock.every(COUNTERS_EVERY_MS, () => this.#tick()),
      () => this.#reachability.stop(),
      ...(config.expireCertificates === true ? [expireHourly({ database, clock, log })] : []),
    ]
  }

  append(telemetry: Telemetry): Promise<void> {
    return this.#pipeline.append(telemetry)
  }

  report(report: DeviceReport): Promise<void> {
    return this.#beside.downlink.report(report)
  }

  get hasRoom(): boolean {
    return this.#turns.hasRoom && this.#beside.downlink.hasRoom
  }

  onRoom(then: () => void): void {
    if (this.#turns.hasRoom) this.#beside.downlink.onRoom(then)
    else this.#turns.onRoom(then)
  }

  audit(event: AuditEvent): void {
    this.#beside.audit.record(event)
  }

  get connections(): ConnectionEvents {
    return this.#beside.connections
  }

  get devices(): DeviceApi {
    return this.#beside.devices
  }

  recordDenied(denied: Denied): void {
    this.#beside.audit.denied(denied)
    this.#pipeline.recordDenied(denied)
  }

  counters(): Counters {
    const { lastWriteAt } = this.#rows
    return {
      messages_received: this.#pipeline.received,
      messages_written: this.#rows.written,
      messages_rejected: this.#quarantine.rejected + this.#pipeline.dropped,
      queue_depth: this.#turns.records,
      last_write_at: lastWriteAt === undefined ? null : new Date(lastWriteAt).toISOString(),
    }
  }

  ready(): Readiness {
    if (this.#stopping !== undefined) return { ready: false, reason: 'batch_writer' }
    const { trouble } = this.#rows
    if (this.#reachability.isAway || trouble === 'transient') {
      return { ready: false, reason: 'db_pool' }
    }
    const asking = this.#registry?.trouble
    if (asking === 'transient') return { ready: false, reason: 'db_pool' }
    if (trouble === 'unclear' || asking === 'unclear')
      return { ready: false, reason: 'batch_writer' }
    return this.#turns.hasRoom ? { ready: true } : { ready: false, reason: 'backlog' }
  }

  lastRows(limit: number): Promise<readonly StoredRow[]> {
    return lastRows((sql, values) => this.#database.rows(sql, values), limit)
  }

  countRows(tenantId: string): Promise<number> {
    return countRows((sql, values) => this.#database.rows(sql, values), tenantId)
  }

  async registerDevice(device: DeviceRegistration): Promise<RegisteredDevice> {
    const registered = await this.#database.run((client) => registerDevice(client, device))
    this.#registry?.invalidate(device)
    return registered
  }

  deviceStatus(tenantId: string, deviceId: string): DeviceStatus {
    return this.#registry?.connections.statusOf(`${tenantId}/${deviceId}`) ?? 'unknown'
  }

  async mayConnect(device: ConnectingDevice): Promise<ConnectDecision> {
    const { tenantId, deviceId } = device
    if (this.#registry === undefined) return { admitted: true }
    return this.#registry.connections.mayConnect(`${tenantId}/${deviceId}`, device)
  }

  async deviceOfAccount(account: DeviceAccount): Promise<AccountDevice> {
    return this.#registry?.accounts.find(account) ?? { found: false, reason: 'registry_off' }
  }

  onBarred(then: (barred: Barred) => void): void {
    this.#registry?.connections.onBarred(then)
  }

  revokedCertificates(): Promise<readonly RevokedCertificate[]> {
    return revokedCertificates(this.#database, this.#clock.now())
  }

  invalidate(device?: DeviceName): void {
    this.#registry?.invalidate(device)
  }

  flush(deadlineMs: number): Promise<void> {
    // Denied messages hold no turn.
    return within(deadlineMs, this.#drained(), this.#clock)
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs)
    return this.#stopping
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#pipeline.stop()
    this.#beside.downlink.stop()
    await this.flush(deadlineMs)
    for (const stop of this.#stopTimers) stop()
    const isDrained = this.#turns.records === 0 && this.#beside.downlink.waiting === 0
    this.#abort.abort()
    this.#registry?.stop()
    if (!isDrained) {
      this.#database.cut()
      const stopped = new IngestStopped()
      const lost = this.#turns.giveUp(stopped) + this.#beside.downlink.giveUp(stopped)
      const event = { event: 'records.given_up', records: lost }
      if (this.#acknowledgesEarly) this.#log.error(event, 'acknowledged records are lost')
      else this.#log.warn(event, 'records were not stored in time and stay unacknowledged')
    }
    await within(CLOSING_MS, this.#finish(), this.#clock)
    this.#beside.close()
    this.#database.cut()
    await within(CLOSING_MS, this.#database.end(), this.#clock)
    this.#log.info({ event: 'ingest.stopped' }, 'ingest stopped')
  }

  async #drained(): Promise<void> {
    await this.#turns.drained()
    await this.#beside.downlink.drained()
    await this.#quarantine.idle()
  }

  async #finish(): Promise<void> {
    await this.#counters?.flush()
    await this.#notifier.finish()
    await this.#beside.idle()
  }

  #tick(): void {
    void this.#counters?.flush()
    this.#registry?.tick()
    const service = 'ingest'
    this.#metrics.ingestQueueDepth.set(this.#turns.records)
    this.#metrics.dbPoolSize.set({ service }, this.#database.size)
    this.#metrics.dbPoolFree.set({ service }, this.#database.free)
  }
}
