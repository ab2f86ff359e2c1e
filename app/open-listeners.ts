/** Opens the listeners, each once: at the start, or when the files it waits for have come. */
import type { Broker } from '../broker/index.ts'
import type { ListenerConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Pki } from '../pki/index.ts'
import { InTurn } from './in-turn.ts'
import { ListenerRetries } from './listener-retries.ts'

export class OpenListeners {
  readonly #broker: Pick<Broker, 'open' | 'isOpen'>
  readonly #pki: Pick<Pki, 'isReady' | 'waitingFor' | 'credentials'>
  readonly #listeners: readonly ListenerConfig[]
  readonly #log: Log
  readonly #turns = new InTurn()
  readonly #retries: ListenerRetries
  #isStopped = false

  constructor(parts: {
    readonly broker: Pick<Broker, 'open' | 'isOpen'>
    readonly pki: Pick<Pki, 'isReady' | 'waitingFor' | 'credentials'>
    readonly listeners: readonly ListenerConfig[]
    readonly clock: Clock
    readonly log: Log
    readonly metrics: Pick<Metrics, 'listenerFailed'>
  }) {
    this.#retries = new ListenerRetries(parts)
    this.#broker = parts.broker
    this.#pki = parts.pki
    this.#listeners = parts.listeners
    this.#log = parts.log
  }

  /** Those that are not open, and what they wait for. */
  get waiting(): ReadonlyMap<string, string> {
    const waiting = new Map<string, string>()
    for (const { name, tls } of this.#listeners) {
      if (tls === undefined) continue
      const reason = this.#pki.waitingFor(name) ?? this.#retries.problemOf(name)
      if (reason !== undefined) waiting.set(name, reason)
    }
    return waiting
  }

  /** One that should be open and is not. */
  get closed(): ListenerConfig | undefined {
    return this.#listeners.find(
      ({ name, optional }) => optional !== true && !this.#broker.isOpen(name),
    )
  }

  /** @throws OperationalError `LISTEN_FAILED` */
  async openAll(): Promise<void> {
    for (const listener of this.#listeners) await this.#turns.run(() => this.#open(listener))
  }

  /**
   * A certificate or a CRL has come: what waited for it opens. A port that is taken by then is tried
   * again until it is free. Never rejects.
   */
  async openWaiting(): Promise<void> {
    for (const listener of this.#listeners) {
      if (listener.tls === undefined || this.#broker.isOpen(listener.name)) continue
      try {
        await this.#turns.run(() => this.#open(listener))
      } catch (err) {
        this.#retries.failed(listener.name, err, () => void this.openWaiting())
      }
    }
  }

  /** None is opened from now on. */
  stop(): void {
    this.#isStopped = true
    this.#retries.stop()
  }

  async #open({ name, tls, optional }: ListenerConfig): Promise<void> {
    const log = this.#log
    if (this.#isStopped) return
    if (tls !== undefined && !this.#pki.isReady(name)) {
      const reason = this.waiting.get(name)
      log.warn({ event: 'listener.waiting', listener: name, reason }, `listener ${name} waits`)
      return
    }
    try {
      await this.#broker.open(name, tls === undefined ? undefined : this.#pki.credentials(name))
      this.#retries.opened(name)
    } catch (err) {
      if (optional !== true) throw err
      log.debug({ event: 'listener.skipped', listener: name, err }, `listener ${name} left out`)
    }
  }
}
