/** The registry of devices as ingest uses it: its parts joined, kept current, and ended. */
import type { IngestConfig, RegistryConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { RegistryChecks } from '../checks/index.ts'
import { rateLimit } from '../checks/rate-limit.ts'
import type { Database } from '../database.ts'
import type { Message } from '../decode.ts'
import { LogLimit } from '../log-limit.ts'
import { LiveSettings } from '../settings/live-settings.ts'
import { sqlstateOf, type Fault } from '../sqlstate.ts'
import type { Telemetry } from '../telemetry.ts'
import { AccountDevices } from './account-devices.ts'
import { Admission } from './admission.ts'
import { AutoProvision } from './auto-provision.ts'
import { CacheMetrics } from './cache-metrics.ts'
import { Certificates } from './certificates.ts'
import { Changes } from './changes.ts'
import { Connections, type Barred } from './connections.ts'
import { deviceKey } from './device-key.ts'
import { Devices } from './devices.ts'
import { Hints } from './hints.ts'
import { listenToRegistry } from './listener.ts'
import { LocationUpdates } from './location-updates.ts'
import type { Persistence } from './persistence.ts'
import { RegistryReader } from './reader.ts'
import type { DeviceName } from './records.ts'
import { inspectRegistry, type RegistrySchema } from './registry-schema.ts'
import { TokenBuckets } from './token-buckets.ts'

export interface RegistryParts {
  readonly config: Pick<IngestConfig, 'maxPayloadBytes' | 'storeRejects' | 'database'>
  readonly registry: RegistryConfig
  readonly database: Database
  readonly schema: RegistrySchema
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** 0 to 1. */
  readonly random: () => number
}

/** Node's timers take no longer one, and would fire at once. */
const MAX_INTERVAL_MS = 2 ** 31 - 1
/** The tables are not what they were: look again before asking again. */
const ANOTHER_SCHEMA: ReadonlySet<string> = new Set(['42P01', '42703', '42501'])

export class Registry {
  readonly settings: LiveSettings
  readonly checks: RegistryChecks
  readonly connections: Connections
  readonly accounts: AccountDevices
  readonly #parts: RegistryParts
  readonly #limit: LogLimit
  readonly #abort = new AbortController()
  readonly #buckets: TokenBuckets
  readonly #devices: Devices
  readonly #certificates: Certificates
  readonly #locations: LocationUpdates
  readonly #changes: Changes
  readonly #cacheMetrics: CacheMetrics
  readonly #stopTimers: (() => void)[]
  #schema: RegistrySchema
  #trouble: Exclude<Fault, 'rejected'> | undefined

  /** Settles after the first look at the settings. */
  static async start(parts: RegistryParts): Promise<Registry> {
    const registry = new Registry(parts)
    await registry.settings.poll()
    if (parts.registry.listen === 'auto') registry.#listen()
    return registry
  }

  private constructor(parts: RegistryParts) {
    const { config, registry, database, clock, log, metrics } = parts
    this.#parts = parts
    this.#schema = parts.schema
    this.#limit = new LogLimit(clock)
    const schema = () => this.#schema
    const around = { database, schema, clock, log, limit: this.#limit }
    const persistence = this.#persistence()
    const reader = new RegistryReader(database, schema)
    this.settings = new LiveSettings({
      database,
      hasTable: () => this.#schema.appSettings.size > 0,
      defaults: config,
      log,
    })
    this.#buckets = new TokenBuckets(this.settings, clock)
    this.#devices = new Devices({
      ttlMs: registry.authCacheTtlSeconds * 1000,
      maxEntries: registry.authCacheMaxSize,
      reader,
      persistence,
      clock,
      seen: (name, device) => this.connections.deviceSeen(name, device),
    })
    this.#certificates = new Certificates({
      reader,
      persistence,
      clock,
      seen: (name, record) => this.connections.certificateSeen(name, record),
    })
    this.connections = new Connections({
      devices: this.#devices,
      certificates: this.#certificates,
      unlisted: registry.unlistedCertificate,
      clock,
    })
    this.accounts = new AccountDevices({
      maxEntries: registry.authCacheMaxSize,
      reader,
      persistence,
      clock,
    })
    const admission = new Admission({
      rules: registry,
      devices: this.#devices,
      certificates: this.#certificates,
      provision: registry.autoProvision ? new AutoProvision({ ...around, persistence }) : undefined,
      log,
    })
    this.checks = { rateLimit: rateLimit(this.#buckets), admission: admission.check }
    this.#locations = new LocationUpdates(around)
    this.#changes = new Changes({
      ...around,
      reader,
      signal: this.#abort.signal,
      takenAway: (name, fingerprint) => this.#takenAway({ ...name, fingerprint }),
    })
    this.#cacheMetrics = new CacheMetrics(metrics, [
      ['device', this.#devices],
      ['certificate', this.#certificates],
    ])
    const idleMs = registry.bucketTtlSeconds * 1000
    this.#stopTimers = [
      every(clock, registry.settingsPollSeconds, () => {
        void this.settings.poll()
        void this.#changes.poll()
      }),
      every(clock, registry.bucketCleanupSeconds, () => this.#buckets.sweep(idleMs)),
    ]
  }

  /** Why the database gave no answer lately; undefined: it does. */
  get trouble(): Exclude<Fault, 'rejected'> | undefined {
    return this.#trouble
  }

  /** Takes a token of the device for a message that never gets to the check; false: none is left. */
  spend(telemetry: Telemetry): boolean {
    return this.#buckets.take(deviceKey(telemetry))
  }

  /** A message has passed every check. Memory only. */
  accepted({ location, device, telemetry }: Message): void {
    if (location !== undefined) this.#locations.moved(device, telemetry, location)
  }

  /** Every answer about this device, or about all of them, is asked for again when it is needed. */
  invalidate(name?: DeviceName): void {
    const key = name === undefined ? undefined : `${name.tenantId}/${name.deviceId}`
    this.#devices.invalidate(key)
    this.#certificates.invalidate(key)
  }

  /** To be called about once a second. */
  tick(): void {
    this.#cacheMetrics.update()
    this.#parts.metrics.ingestCacheSize.set({ cache: 'rate' }, this.#buckets.size)
    void this.#locations.flush()
  }

  /** Messages that still wait for an answer get IngestStopped. */
  stop(): void {
    for (const stop of this.#stopTimers) stop()
    this.#abort.abort()
  }

  #listen(): void {
    const { config, database, clock, log, metrics, random } = this.#parts
    const shared = { clock, random, signal: this.#abort.signal }
    const hints = new Hints({
      ...shared,
      invalidate: (name) => this.invalidate(name),
      look: (names) => this.#changes.look(names),
      lookAtAll: () => this.#changes.pollAgain(),
    })
    void listenToRegistry({
      ...shared,
      connection: config.database,
      database,
      log,
      hinted: (hint) => hints.take(hint),
      changed: (isListening) => metrics.ingestRegistryListening.set(isListening ? 1 : 0),
    })
  }

  #takenAway(barred: Barred): void {
    this.invalidate(barred)
    this.connections.bar(barred)
  }

  #persistence(): Persistence {
    const { clock, log, random } = this.#parts
    return {
      clock,
      random,
      signal: this.#abort.signal,
      answered: () => {
        this.#trouble = undefined
      },
      failed: async (err, fault) => {
        this.#trouble = fault
        this.#limit.pass(`registry.${fault}`, (suppressed) => {
          const event = { event: 'registry.awaited', err, suppressed }
          if (fault === 'transient') {
            log.warn(event, 'messages wait for the device registry and are not acknowledged')
          } else log.error(event, 'the device registry cannot be read: messages are held')
        })
        const isGone = this.#schema.deviceRegistry.size === 0
        if (isGone || ANOTHER_SCHEMA.has(sqlstateOf(err) ?? '')) await this.#inspect()
      },
    }
  }

  async #inspect(): Promise<void> {
    try {
      this.#schema = await inspectRegistry(this.#parts.database)
    } catch {
      // The next attempt fails as well, and says why.
    }
  }
}

function every(clock: Clock, seconds: number, tick: () => void): () => void {
  return clock.every(Math.min(seconds * 1000, MAX_INTERVAL_MS), tick)
}
