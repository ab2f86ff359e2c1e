/** Composition root: builds every part, joins their ports, starts and stops in order. */
import { randomBytes } from 'node:crypto'
import { createAdmin, type Admin } from '../admin/index.ts'
import { Broker, type ListenerFiles } from '../broker/index.ts'
import type { Config, DatabaseConfig, ListenerConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { createMetrics, type Metrics } from '../core/metrics.ts'
import type { Ingest } from '../ingest/index.ts'
import { createPki, type Pki } from '../pki/index.ts'
import { AccessFiles } from './access-files.ts'
import { startStorage, type Storage } from './database.ts'
import { refuseAllCertificates } from './no-certificates.ts'
import { listenersWithTls, loopbackAddress, tlsAlarm } from './certificates.ts'

export interface AppOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** See BrokerOptions. */
  readonly keylog?: ((line: Buffer) => void) | undefined
  /** Registers devices before a listener opens: none may be turned away for having been early. */
  readonly enrol?: (ingest: Ingest) => Promise<void>
}

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
  readonly #storage: Storage
  readonly #pki: Pki
  readonly #accessFiles: ReadonlyMap<string, AccessFiles>
  #admin: Admin | undefined
  #metricsAdmin: Admin | undefined
  #opening: Promise<void> = Promise.resolve()
  /** While the only listener waits for its files, nothing else keeps the process alive. */
  #keepAlive: NodeJS.Timeout | undefined
  #stopSweeping: () => void = () => undefined
  #stopping: Promise<void> | undefined

  private constructor(
    options: AppOptions,
    parts: {
      readonly metrics: Metrics
      readonly broker: Broker
      readonly storage: Storage
      readonly pki: Pki
      readonly accessFiles: ReadonlyMap<string, AccessFiles>
    },
  ) {
    this.#options = options
    this.metrics = parts.metrics
    this.broker = parts.broker
    this.ingest = parts.storage.ingest
    this.#storage = parts.storage
    this.#pki = parts.pki
    this.#accessFiles = parts.accessFiles
  }

  /**
   * Settles when every listener is open that can be. Files first, since a mistake in one is the most
   * likely reason not to start; then the database, HTTP, and the listeners last.
   *
   * @throws OperationalError whose message says what, where and what to do
   */
  static async start(options: AppOptions): Promise<App> {
    const { config, clock, log, version } = options
    const metrics = createMetrics()
    const undo: (() => unknown)[] = []
    try {
      const accessFiles = new Map<string, AccessFiles>()
      for (const listener of config.listeners) {
        const { tenancy } = config
        const access = await AccessFiles.open({
          listener,
          tenancy,
          clock,
          log,
          random: randomBytes,
        })
        undo.push(() => access.close())
        accessFiles.set(listener.name, access)
      }
      const { revocation } = config
      const listeners = listenersWithTls(config)
      let started: Broker | undefined
      const pki = await createPki({
        listeners,
        revocation,
        rotation: config.rotation,
        addressOf: (name) => started && loopbackAddress(started, config, name),
        clock,
        log,
        metrics,
      })
      undo.push(() => pki.close())
      const storage = await startStorage({ config, clock, log, metrics })
      const { ingest, postgres } = storage
      if (postgres !== undefined) undo.push(() => postgres.stop())
      if (ingest !== undefined) undo.push(() => ingest.stop(0))
      if (ingest !== undefined) await options.enrol?.(ingest)
      const files = new Map<string, ListenerFiles>()
      for (const [name, { accounts, rules, keys }] of accessFiles) {
        const hasTls = listeners.some((listener) => listener.name === name)
        const admission = hasTls ? pki.clientCertificates(name) : undefined
        const certificates = admission ?? refuseAllCertificates
        files.set(name, { certificates, accounts, rules, keys })
      }
      const broker = await Broker.start({
        config,
        clock,
        log,
        metrics,
        version,
        sink: ingest,
        observer: ingest?.connections,
        registry: ingest,
        keylog: options.keylog,
        files,
      })
      started = broker
      ingest?.onBarred((barred) => broker.closeDevice(barred))
      undo.push(() => broker.stop())
      const app = new App(options, { metrics, broker, storage, pki, accessFiles })
      undo.length = 0
      undo.push(() => app.stop())
      await app.#open()
      return app
    } catch (err) {
      for (const step of undo.toReversed()) await step()
      throw err
    }
  }

  /** The port HTTP is served on; undefined: it is off. */
  get httpPort(): number | undefined {
    return this.#admin?.port
  }

  /** Where telemetry is stored; holds the password. */
  get database(): DatabaseConfig | undefined {
    return this.#storage.database
  }

  /** Listeners that are not open, and what they wait for. */
  get waiting(): ReadonlyMap<string, string> {
    const waiting = new Map<string, string>()
    for (const { name, tls } of this.#options.config.listeners) {
      const reason = tls === undefined ? undefined : this.#pki.waitingFor(name)
      if (reason !== undefined) waiting.set(name, reason)
    }
    return waiting
  }

  /** Why telemetry cannot be taken now, or an operator has to look. */
  get readiness(): { readonly ready: true } | { readonly ready: false; readonly reason: string } {
    if (this.#stopping !== undefined) return { ready: false, reason: 'draining' }
    const { listeners } = this.#options.config
    const closed = listeners.find(
      ({ name, optional }) => optional !== true && !this.broker.isOpen(name),
    )
    if (closed !== undefined) {
      return { ready: false, reason: closed.tls === undefined ? 'mqtt' : 'tls' }
    }
    if (tlsAlarm(this.#pki) !== undefined) return { ready: false, reason: 'tls' }
    return this.ingest?.ready() ?? { ready: true }
  }

  /** Reads access, certificate and CRL files again. Never rejects; bad ones change nothing. */
  async reload(): Promise<void> {
    for (const files of this.#accessFiles.values()) await files.reload()
    await this.#pki.reload()
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
    this.#pki.on({
      credentials: (name, credentials) => this.broker.replaceCredentials(name, credentials),
      arrival: () => this.#openWaiting(),
      revocation: () => {
        this.ingest?.invalidate()
        this.#closeRevoked()
      },
      readiness: () => void this.#openWaiting(),
    })
    for (const listener of config.listeners) {
      const { name } = listener
      this.#accessFiles.get(name)?.follow({
        rulesReplaced: (rules) => this.broker.replaceAccess(name, rules),
        accountsReplaced: (isGone) => this.broker.closeAccounts(name, isGone),
      })
      await this.#inTurn(() => this.#openListener(listener))
    }
    this.broker.publishSysTopics()
    this.#stopSweeping = clock.every(EXPIRY_SWEEP_MS, () => this.#closeRevoked())
    log.info({ event: 'midge.started' }, 'started')
  }

  async #openListener({ name, tls, optional }: ListenerConfig): Promise<void> {
    const { log } = this.#options
    if (this.#stopping !== undefined) return
    if (tls !== undefined && !this.#pki.isReady(name)) {
      const reason = this.waiting.get(name)
      log.warn({ event: 'listener.waiting', listener: name, reason }, `listener ${name} waits`)
      return
    }
    try {
      await this.broker.open(name, tls === undefined ? undefined : this.#pki.credentials(name))
    } catch (err) {
      if (optional !== true) throw err
      log.debug({ event: 'listener.skipped', listener: name, err }, `listener ${name} left out`)
    }
  }

  /** A certificate or a CRL has come: what waited for it opens. Never rejects. */
  async #openWaiting(): Promise<void> {
    for (const listener of this.#options.config.listeners) {
      if (listener.tls === undefined || this.broker.isOpen(listener.name)) continue
      try {
        await this.#inTurn(() => this.#openListener(listener))
      } catch (err) {
        const fields = { event: 'listener.failed', listener: listener.name, err }
        this.#options.log.error(fields, 'a listener that waited could not open')
      }
    }
  }

  /** Two files may come at once; a listener is opened once. */
  #inTurn(open: () => Promise<void>): Promise<void> {
    const turn = this.#opening.then(open)
    this.#opening = turn.catch(() => undefined)
    return turn
  }

  #closeRevoked(): void {
    const closed = this.broker.closeRevoked()
    if (closed === 0) return
    const text = `${closed} connections closed: certificate revoked, expired or no longer trusted`
    this.#options.log.warn({ event: 'certificates.closed', closed }, text)
  }

  async #stop(): Promise<void> {
    clearInterval(this.#keepAlive)
    this.#stopSweeping()
    for (const files of this.#accessFiles.values()) files.close()
    this.#pki.close()
    await this.broker.drain(DRAIN_MS)
    await this.broker.stop()
    await this.ingest?.stop(FLUSH_MS)
    await this.#admin?.close()
    await this.#metricsAdmin?.close()
    await this.#storage.postgres?.stop()
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
