/** The broker: MQTT in and out, who may connect, who may say what. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { AccessRules } from './access/index.ts'
import type { BrokerParts } from './broker-parts.ts'
import { Connection } from './connection.ts'
import { Connections } from './connections.ts'
import { Engine } from './engine/engine.ts'
import type { PasswordAccounts } from './identity/index.ts'
import { Inbound } from './inbound.ts'
import { DEFAULT_MQTT } from './mqtt-rules.ts'
import type { Arrival } from './listeners/arrival.ts'
import { Listener } from './listeners/listener.ts'
import type {
  ClientCertificates,
  ConnectionObserver,
  DeviceRegistry,
  PreSharedKeys,
  ServerCredentials,
  TelemetrySink,
} from './ports.ts'
import { Portions } from './portions.ts'
import { RateLimitedNotes } from './rate-limited-notes.ts'
import { Receiving } from './receiving.ts'
import { Router, type Publication } from './router.ts'
import { MemoryStore, type StoreCounts } from './store/index.ts'
import { SysTopics } from './sys-topics.ts'

export {
  compileAcl,
  mayPublish,
  mayReceive,
  maySubscribe,
  type AccessRules,
  type Decision,
} from './access/index.ts'
export { identityOf, PasswordAccounts, type Identity } from './identity/index.ts'
export type { Publication } from './router.ts'
export type {
  Admission,
  ClientCertificates,
  ConnectionObserver,
  DeviceReport,
  ObservedConnection,
  PeerCertificate,
  ServerCredentials,
  TelemetrySink,
} from './ports.ts'

/** What stands behind one listener; read from its files by the caller. */
export interface ListenerFiles {
  readonly certificates: ClientCertificates
  readonly accounts: PasswordAccounts | undefined
  readonly rules: AccessRules
  /** Of a listener with TLS by pre-shared keys. */
  readonly keys?: PreSharedKeys | undefined
}

export interface BrokerOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly version: string
  /** Undefined: nothing is ingested. */
  readonly sink: TelemetrySink | undefined
  readonly observer?: ConnectionObserver | undefined
  /** Undefined: a good certificate is all a device needs. */
  readonly registry?: DeviceRegistry | undefined
  /** Lines of NSS key log format, for packet analysers: whoever has them reads the traffic. */
  readonly keylog?: ((line: Buffer) => void) | undefined
  /** By the listener's name. */
  readonly files: ReadonlyMap<string, ListenerFiles>
}

/** One row of what is connected now. */
export interface SessionSummary {
  readonly clientId: string
  readonly user: string | undefined
  readonly kind: string
  readonly listener: string
  readonly peer: string
}

const SWEEP_MS = 1000
const DRAIN_LOOK_MS = 20

export class Broker {
  readonly #parts: BrokerParts
  readonly #connections: Connections
  readonly #listeners = new Map<string, Listener>()
  readonly #sys: SysTopics
  readonly #stopSweeping: () => void

  private constructor(
    parts: BrokerParts,
    connections: Connections,
    sys: SysTopics,
    stopSweeping: () => void,
  ) {
    this.#parts = parts
    this.#connections = connections
    this.#sys = sys
    this.#stopSweeping = stopSweeping
  }

  /** Builds everything and opens no port yet. */
  static async start(options: BrokerOptions): Promise<Broker> {
    const { config, clock, metrics, sink } = options
    const log = options.log.child({ part: 'broker' })
    const mqtt = config.mqtt ?? DEFAULT_MQTT
    const store = new MemoryStore(config.limits, mqtt)
    const router = new Router(store, metrics, mqtt)
    const connections = new Connections()
    // Unique per start and sortable by time, should Aedes ever keep records of ours.
    const id = `${clock.now().toString(36)}-${randomBytes(6).toString('hex')}`
    const engine = await Engine.start(store, log, id)
    let sweptAt = clock.monotonic()
    const parts: BrokerParts = {
      limits: config.limits,
      mqtt,
      deniedPublish: config.deniedPublish,
      clock,
      log,
      metrics,
      engine,
      store,
      router,
      inbound: new Inbound({ sink, router, metrics, clock, mqtt }),
      receiving: new Receiving(),
      portions: new Portions(clock, log),
      observer: options.observer,
      connections,
      refusals: new RateLimitedNotes(clock, log),
      sweptAt: () => sweptAt,
    }
    const stopSweeping = clock.every(SWEEP_MS, () => {
      sweptAt = clock.monotonic()
      connections.sweep(sweptAt)
      const { sessionExpirySeconds } = mqtt
      if (sessionExpirySeconds !== undefined) store.expire(sweptAt, sessionExpirySeconds * 1000)
      metrics.sessionsOpen.set(connections.size)
      metrics.sessionsStored.set(store.sessions.size)
      metrics.retainedMessages.set(store.retained.size)
      metrics.queuedMessages.set(store.counts().queuedMessages)
    })
    const sys = new SysTopics({ ...options, store, router, connections })
    const broker = new Broker(parts, connections, sys, stopSweeping)
    broker.#addListeners(options)
    return broker
  }

  /** Opens the listener's port; `credentials` where it speaks TLS. Throws LISTEN_FAILED. */
  async open(name: string, credentials?: ServerCredentials): Promise<void> {
    const listener = this.#listener(name)
    if (listener.isOpen) return
    await listener.open(credentials)
    const { address, protocol, family, socketPath } = listener.config
    const [port = listener.config.port] = listener.ports
    this.#parts.log.info(
      { event: 'listener.opened', listener: name, address, port, protocol, family, socketPath },
      `listening on ${listener.config.socketPath ?? `port ${listener.ports.join(', ')}`}`,
    )
  }

  isOpen(name: string): boolean {
    return this.#listener(name).isOpen
  }

  /** The port a listener got (its configured one, or the system's choice for 0). */
  portOf(name: string): number {
    const [port] = this.#listener(name).ports
    if (port === undefined) throw new Error(`listener ${name} is not open`)
    return port
  }

  /** Begins publishing `$SYS/broker/…`. */
  publishSysTopics(): void {
    this.#sys.start()
  }

  /** New handshakes use these; open connections go on. */
  replaceCredentials(name: string, credentials: ServerCredentials): void {
    this.#listener(name).replaceCredentials(credentials)
  }

  /**
   * Puts other access rules in force at once: subscriptions that are no longer allowed stop
   * delivering, whatever they are; publishing is decided anew.
   */
  replaceAccess(name: string, rules: AccessRules): void {
    const listener = this.#listener(name)
    listener.policy.replace(rules)
    for (const connection of this.#connections) {
      if (connection.listener === listener) connection.open?.dropDisallowed()
    }
  }

  /** Ends connections of accounts for which `isGone` answers true (password file changed). */
  closeAccounts(name: string, isGone: (userName: string) => boolean): number {
    return this.#connections.closeWhere((connection) => {
      const identity = connection.open?.subject.identity
      if (connection.listener.name !== name || identity?.kind !== 'account') return undefined
      return isGone(identity.userName) ? 'not_authorised' : undefined
    })
  }

  /**
   * Asks again about every certificate with a live connection and closes those that are no longer
   * good: revoked, past notAfter, or of a CA no longer trusted.
   *
   * @returns how many were closed
   */
  closeRevoked(): number {
    return this.#connections.closeWhere(({ certificate, listener }) => {
      if (certificate === undefined) return undefined
      const state = listener.certificates.stillGood(certificate)
      if (state.good) return undefined
      if (state.reason === 'revoked') return 'certificate_revoked'
      return state.reason === 'expired' ? 'certificate_expired' : 'certificate_untrusted'
    })
  }

  /**
   * Ends the connections of a device that the registry bars, all of them or only those with one
   * certificate.
   *
   * @returns how many were closed
   */
  closeDevice(barred: {
    readonly tenantId: string
    readonly deviceId: string
    readonly fingerprint: string | undefined
  }): number {
    const { tenantId, deviceId, fingerprint } = barred
    return this.#connections.closeWhere(({ open }) => {
      const identity = open?.subject.identity
      if (identity?.kind !== 'device') return undefined
      if (identity.tenantId !== tenantId || identity.deviceId !== deviceId) return undefined
      if (fingerprint === undefined) return 'not_authorised'
      return identity.certificate.fingerprint === fingerprint ? 'certificate_revoked' : undefined
    })
  }

  /** A message of our own: routed, never ingested. */
  publish(publication: Publication): void {
    this.#parts.router.publish(publication)
  }

  /** How much there is of everything, for an operator who asks. */
  counts(): StoreCounts & { readonly connections: number } {
    return { ...this.#parts.store.counts(), connections: this.#connections.size }
  }

  sessions(): SessionSummary[] {
    const summaries: SessionSummary[] = []
    for (const { open, listener, peer } of this.#connections) {
      if (open === undefined) continue
      const { identity, clientId } = open.subject
      const { kind, userName: user } = identity
      summaries.push({ clientId, user, kind, listener: listener.name, peer: peer.address })
    }
    return summaries
  }

  /** Stops accepting new connections. */
  async closeListeners(): Promise<void> {
    for (const listener of this.#listeners.values()) await listener.close()
  }

  /**
   * Takes nothing new, and waits until every PUBLISH that was taken is acknowledged, or for
   * `deadlineMs`.
   */
  async drain(deadlineMs: number): Promise<void> {
    await this.closeListeners()
    const { clock } = this.#parts
    const connections = this.#connections
    for (const connection of connections) connection.drain()
    const end = clock.monotonic() + deadlineMs
    const isWaiting = () => [...connections].some(({ open }) => open?.isWaiting === true)
    while (isWaiting() && clock.monotonic() < end) await clock.sleep(DRAIN_LOOK_MS)
  }

  /** Ends every connection; Wills go out, and to ingest. */
  async stop(): Promise<void> {
    await this.closeListeners()
    this.#sys.stop()
    this.#stopSweeping()
    this.#connections.closeWhere(() => 'stopping')
    for (const listener of this.#listeners.values()) listener.destroySockets()
    await this.#parts.engine.stop()
  }

  #addListeners({ config, files, keylog, registry }: BrokerOptions): void {
    const { clock, log, metrics, limits, mqtt, refusals, observer } = this.#parts
    const total = { open: 0, max: limits.maxConnections }
    for (const listenerConfig of config.listeners) {
      const { name } = listenerConfig
      const behind = files.get(name)
      if (behind === undefined) throw new Error(`no files for listener ${name}`)
      const listener = new Listener(listenerConfig, {
        ...behind,
        tenancy: config.tenancy,
        limits,
        total,
        clock,
        log,
        metrics,
        refusals,
        observer,
        registry,
        noDelay: mqtt.tcpNoDelay,
        keylog,
        connected: (at, stream, arrival) => this.#connected(at, stream, arrival),
      })
      this.#listeners.set(name, listener)
    }
  }

  #connected(listener: Listener, stream: Duplex, arrival: Arrival): void {
    this.#connections.add(new Connection(this.#parts, listener, stream, arrival))
  }

  #listener(name: string): Listener {
    const listener = this.#listeners.get(name)
    if (listener === undefined) throw new Error(`no listener ${name}`)
    return listener
  }
}
