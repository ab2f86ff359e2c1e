/** What the clock does to lists in force: gauges, and one log line as each nears and passes its end. */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { CrlInForce, CrlStore } from './crl-store.ts'

export interface CrlAlarmsOptions {
  readonly store: CrlStore
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

type Age = 'fresh' | 'expiring' | 'stale'

export class CrlAlarms {
  readonly #options: CrlAlarmsOptions
  /** By list, so that each is announced once. */
  #announced = new Map<string, Age>()

  constructor(options: CrlAlarmsOptions) {
    this.#options = options
  }

  /** To be called after each change and from time to time. */
  look(): void {
    const { store, clock, metrics } = this.#options
    const gauges = [metrics.crlNextUpdate, metrics.crlEntries, metrics.crlStale]
    // A CA that is no longer configured leaves no line behind.
    for (const gauge of gauges) gauge.reset()
    const announced = new Map<string, Age>()
    for (const crl of store.inForce) {
      const issuer = `${crl.issuerName} (${crl.issuer.slice(0, 8)})`
      const age = ageOf(crl, clock.now())
      if (crl.nextUpdate !== undefined) metrics.crlNextUpdate.set({ issuer }, crl.nextUpdate / 1000)
      metrics.crlEntries.set({ issuer }, crl.entries)
      metrics.crlStale.set({ issuer }, age === 'stale' ? 1 : 0)
      const list = `${crl.issuer}:${crl.part}:${crl.crlNumber}:${crl.thisUpdate}`
      if (age !== (this.#announced.get(list) ?? 'fresh')) this.#announce(crl, age)
      announced.set(list, age)
    }
    this.#announced = announced
  }

  #announce(crl: CrlInForce, age: Age): void {
    const { log } = this.#options
    const nextUpdate =
      crl.nextUpdate === undefined ? undefined : new Date(crl.nextUpdate).toISOString()
    const fields = { issuer: crl.issuerName, nextUpdate }
    if (age === 'expiring')
      log.warn({ event: 'crl.expiring', ...fields }, 'CRL nears its nextUpdate')
    if (age === 'stale') {
      const text = crl.behind ? 'CRL is older than its delta' : 'CRL is past its nextUpdate'
      log.error({ event: 'crl.stale', ...fields }, text)
    }
  }
}

/** Expiring: less than a quarter of its period is left. */
function ageOf({ thisUpdate, nextUpdate, behind }: CrlInForce, now: number): Age {
  if (behind) return 'stale'
  if (nextUpdate === undefined) return 'fresh'
  if (nextUpdate < now) return 'stale'
  return nextUpdate - now < (nextUpdate - thisUpdate) / 4 ? 'expiring' : 'fresh'
}
