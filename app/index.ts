/** The running app: opens every part in order, reloads, and stops in order. */
import { createAdmin, type Admin } from '../admin/index.ts'
import type { Broker } from '../broker/index.ts'
import type { Config, DatabaseConfig } from '../config/types.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Ingest } from '../ingest/index.ts'
import { tlsAlarm } from './certificates.ts'
import type { Replacement } from './listener-access.ts'
import { OpenListeners } from './open-listeners.ts'
import { startParts, type AppOptions, type AppParts } from './parts.ts'

export type { Replacement } from './listener-access.ts'
export type { AppOptions } from './parts.ts'

/** How often certificates with a live connection are looked at for their notAfter. */
const EXPIRY_SWEEP_MS = 10_000
/** Any long time: nothing is done then. */
const KEEP_ALIVE_MS = 3_600_000
/** Time for what was received before the stop to be stored and acknowledged, … */
const DRAIN_MS = 6000
/** … and for the Wills and QoS 0 after it to be stored. */
const FLUSH_MS = 2000

export class App {
  readonly metrics: Metrics
  readonly broker: Broker
  readonly ingest: Ingest | undefined
  readonly #options: AppOptions
  readonly #parts: AppParts
  readonly #listeners: OpenListeners
  #admin: Admin | undefined
  #metricsAdmin: Admin | undefined
  /** While the only listener waits for its files, nothing else keeps the process alive. */
  #keepAlive: NodeJS.Timeout | undefined
  #stopSweeping: () => void = () => undefined
  #stopping: Promise<void> | undefined

  private constructor(options: AppOptions, parts: AppParts) {
    this.#options = options
    this.#parts = parts
    this.metrics = parts.metrics
    this.broker = parts.broker
    this.ingest = parts.storage.ingest
    const { listeners } = options.config
    this.#listeners = new OpenListeners({ ...parts, ...options, listeners })
  }

  /**
   * Settles when every listener is open that can be: HTTP before them, and they last.
   *
   * @throws OperationalError whose message says what, where and what to do; nothing is left running
   */
  static async start(options: AppOptions): Promise<App> {
    const app = new App(options, await startParts(options))
    try {
      await app.#open()
      return app
    } catch (err) {
      await app.stop()
      throw err
    }
  }

  /** The port HTTP is served on; undefined: it is off. */
  get httpPort(): number | undefined {
    return this.#admin?.port
  }

  /** Where telemetry is stored; holds the password. */
  get database(): DatabaseConfig | undefined {
    return this.#parts.storage.database
  }

  /** Listeners that are not open, and what they wait for. */
  get waiting(): ReadonlyMap<string, string> {
    return this.#listeners.waiting
  }

  /** Why telemetry cannot be taken now, or an operator has to look. */
  get readiness(): { readonly ready: true } | { readonly ready: false; readonly reason: string } {
    if (this.#stopping !== undefined) return { ready: false, reason: 'draining' }
    const { closed } = this.#listeners
    if (closed !== undefined) {
      return { ready: false, reason: closed.tls === undefined ? 'mqtt' : 'tls' }
    }
    if (tlsAlarm(this.#parts.pki) !== undefined) return { ready: false, reason: 'tls' }
    return this.ingest?.ready() ?? { ready: true }
  }

  /** Reads access, certificate and CRL files again. Never rejects; bad ones change nothing. */
  async reload(): Promise<void> {
    await this.#parts.access.reload()
    await this.#parts.pki.reload()
  }

  /** Reads certificate and CRL files again. Never rejects; bad ones change nothing. */
  async reloadCertificates(): Promise<void> {
    await this.#parts.pki.reload()
  }

  /**
   * Another Config, and the access files it names, in force together: all of it is read and checked
   * first, then applied in one step, and every connected client is asked about again.
   *
   * @param config differs from the one in force in nothing but what may change live
   * @param applied called within that step
   * @returns how many connections were closed, or what is wrong: then nothing was changed
   */
  replaceConfig(config: Config, applied: () => void): Promise<Replacement<number>> {
    const { access, broker, pki } = this.#parts
    return access.replace(config, (files) => {
      const closed = broker.replaceRules(config, files)
      pki.replaceRevocation(config.revocation)
      applied()
      return closed
    })
  }

  /**
   * No new connections; what was received is stored and acknowledged; connections end; the writer
   * and the embedded database stop. Within about ten seconds.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #open(): Promise<void> {
    const { config, clock, log } = this.#options
    const { access, pki } = this.#parts
    if (config.admin !== undefined) {
      const { host, metricsPort } = config.admin
      const ports = {
        counters: () => this.#counters(),
        readiness: () => this.readiness,
        devices: this.ingest?.devices,
        metrics: this.metrics.registry,
      }
      this.#admin = await createAdmin(config.admin, ports)
      if (metricsPort !== undefined) {
        this.#metricsAdmin = await createAdmin({ host, port: metricsPort }, ports)
      }
    }
    this.#keepAlive = setInterval(() => undefined, KEEP_ALIVE_MS)
    // Before the listeners open: files may change while they do.
    pki.on({
      credentials: (name, credentials) => this.broker.replaceCredentials(name, credentials),
      arrival: () => this.#listeners.openWaiting(),
      revocation: () => {
        this.ingest?.invalidate()
        this.#noteClosed(this.broker.trustChanged())
      },
      readiness: () => void this.#listeners.openWaiting(),
    })
    access.follow(this.broker)
    await this.#listeners.openAll()
    this.broker.publishSysTopics()
    this.#stopSweeping = clock.every(EXPIRY_SWEEP_MS, () =>
      this.#noteClosed(this.broker.closeRevoked()),
    )
    log.info({ event: 'midge.started' }, 'started')
  }

  #noteClosed(closed: number): void {
    if (closed === 0) return
    const text = `${closed} connections closed: certificate revoked, expired or no longer trusted`
    this.#options.log.warn({ event: 'certificates.closed', closed }, text)
  }

  async #stop(): Promise<void> {
    const { access, pki, crlWriter, storage } = this.#parts
    clearInterval(this.#keepAlive)
    this.#stopSweeping()
    this.#listeners.stop()
    access.close()
    pki.close()
    await this.broker.drain(DRAIN_MS)
    await this.broker.stop()
    await crlWriter?.stop()
    await this.ingest?.stop(FLUSH_MS)
    await this.#admin?.close()
    await this.#metricsAdmin?.close()
    await storage.postgres?.stop()
  }

  #counters(): ReturnType<Parameters<typeof createAdmin>[1]['counters']> {
    return (
      this.ingest?.counters() ?? {
        messages_received: 0,
        messages_written: 0,
        messages_rejected: 0,
        queue_depth: 0,
        last_write_at: null,
      }
    )
  }
}
