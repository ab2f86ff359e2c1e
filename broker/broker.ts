import type { Duplex } from 'node:stream'
import type { Config } from '../config/types.ts'
import type { AccessRules } from './access/index.ts'
import { assemble, type Assembly } from './assemble.ts'
import type { BrokerOptions, ListenerAccess, SessionSummary } from './broker-options.ts'
import { Connection } from './connection.ts'
import {
  closeAccounts,
  closeDevice,
  closeRevoked,
  closeUnwelcome,
  type BarredDevice,
} from './evictions.ts'
import type { Arrival } from './listeners/arrival.ts'
import { Listener } from './listeners/listener.ts'
import type { ServerCredentials } from './ports.ts'
import type { Publication } from './router.ts'
import type { StoreCounts } from './store/index.ts'

const DRAIN_LOOK_MS = 20

export class Broker {
  readonly #parts: Assembly['parts']
  readonly #rules: Assembly['rules']
  readonly #connections: Assembly['connections']
  readonly #sys: Assembly['sys']
  readonly #stopSweeping: () => void
  readonly #listeners = new Map<string, Listener>()

  private constructor({ parts, rules, connections, sys, stopSweeping }: Assembly) {
    this.#parts = parts
    this.#rules = rules
    this.#connections = connections
    this.#sys = sys
    this.#stopSweeping = stopSweeping
  }

  /** Builds everything and opens no port yet. */
  static async start(options: BrokerOptions): Promise<Broker> {
    const broker = new Broker(await assemble(options))
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

  /** Whether packets are written down follows the log's configuration, also for open connections. */
  replaceLog(config: Config['log']): void {
    this.#parts.wire.replaceLog(config)
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
    return closeAccounts(this.#connections, name, isGone)
  }

  /**
   * Puts other rules in force, all of them within this call, and then asks about every connection
   * again: who would not come in by them is closed, and subscriptions that are no longer allowed stop
   * delivering. What is queued or in flight beyond a smaller bound drains; an open connection keeps
   * the largest packet it was let in with.
   *
   * Call it first thing in a task of its own: a CONNECT that was accepted by the old rules has its
   * identity by then, and is found.
   *
   * @param config differs from the one in force in nothing but what may change live
   * @param access by the listener's name; one that is left out keeps its own
   * @returns how many connections were closed
   */
  replaceRules(config: Config, access: ReadonlyMap<string, ListenerAccess>): number {
    const { sysInterval } = this.#rules
    this.#rules.replace(config)
    for (const next of config.listeners) {
      const behind = access.get(next.name)
      if (behind !== undefined) this.#listener(next.name).replaceRules(next, behind)
    }
    const closed = closeUnwelcome(this.#connections, access)
    for (const { open } of this.#connections) open?.dropDisallowed()
    if (config.sysInterval !== sysInterval) {
      this.#sys.stop()
      this.#sys.start()
    }
    return closed
  }

  /**
   * Asks again about every certificate with a live connection and closes those that are no longer
   * good: revoked, past notAfter, or of a CA no longer trusted.
   *
   * @returns how many were closed
   */
  closeRevoked(): number {
    return closeRevoked(this.#connections)
  }

  /**
   * Whom to trust has changed, by a CRL or by other CAs: as `closeRevoked`, and stored Sessions of
   * revoked certificates are discarded (unless they are to be kept), and TLS sessions that were begun
   * before are not resumed.
   *
   * @returns how many connections were closed
   */
  trustChanged(): number {
    const { log, revokedSessions } = this.#parts
    for (const listener of this.#listeners.values()) listener.forgetTlsSessions()
    const closed = this.closeRevoked()
    const discarded = revokedSessions.discardAbsent()
    if (discarded > 0) {
      const text = `${discarded} stored Sessions discarded: their certificates are revoked`
      log.warn({ event: 'sessions.discarded', discarded }, text)
    }
    return closed
  }

  /**
   * Ends the connections of a device that the registry bars, all of them or only those with one
   * certificate, and discards its stored Sessions (unless they are to be kept).
   *
   * @returns how many connections were closed
   */
  closeDevice(barred: BarredDevice): number {
    const closed = closeDevice(this.#connections, barred)
    this.#parts.revokedSessions.discardDevice(barred)
    return closed
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
    const total = {
      open: 0,
      get max() {
        return limits.maxConnections
      },
    }
    for (const listenerConfig of config.listeners) {
      const { name } = listenerConfig
      const behind = files.get(name)
      if (behind === undefined) throw new Error(`no files for listener ${name}`)
      const listener = new Listener(listenerConfig, {
        ...behind,
        tenancy: config.tenancy,
        limits,
        mqtt,
        total,
        clock,
        log,
        metrics,
        refusals,
        observer,
        registry,
        keylog,
        connected: (at, stream, arrival) => this.#connected(at, stream, arrival),
      })
      this.#listeners.set(name, listener)
    }
  }

  #connected(listener: Listener, stream: Duplex, arrival: Arrival): void {
    const { tenantConnections } = this.#parts
    const tenant = listener.tenantOf(arrival)
    if (tenant !== undefined) {
      if (!tenantConnections.arrive(tenant)) return this.#turnAway(listener, stream, arrival)
      stream.once('close', () => tenantConnections.depart(tenant))
    }
    this.#connections.add(new Connection(this.#parts, listener, stream, arrival))
  }

  #turnAway({ name }: Listener, stream: Duplex, { address: peer }: Arrival): void {
    const { log, metrics, refusals } = this.#parts
    const reason = 'too_many_connections'
    metrics.connectsRefused.inc({ reason })
    refusals.note(reason, () => {
      const detail = 'too many connections of its tenant have not sent CONNECT'
      const fields = { event: 'peer.refused', reason, detail, listener: name, peer }
      log.warn(fields, `refused before CONNECT: ${reason}`)
    })
    stream.destroy()
  }

  #listener(name: string): Listener {
    const listener = this.#listeners.get(name)
    if (listener === undefined) throw new Error(`no listener ${name}`)
    return listener
  }
}
