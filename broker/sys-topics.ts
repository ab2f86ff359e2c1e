/** `$SYS/broker/…` under Mosquitto's names: retained, QoS 2, sent when the value changed. */
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Connections } from './connections.ts'
import type { Router } from './router.ts'
import type { MemoryStore } from './store/index.ts'

export interface SysTopicsParts {
  readonly config: Pick<Config, 'sysInterval'>
  readonly clock: Clock
  readonly metrics: Metrics
  readonly version: string
  readonly store: MemoryStore
  readonly router: Router
  readonly connections: Connections
}

export class SysTopics {
  readonly #parts: SysTopicsParts
  readonly #sent = new Map<string, string>()
  readonly #startedAt: number
  #maximumClients = 0
  #stop: (() => void) | undefined

  constructor(parts: SysTopicsParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.monotonic()
  }

  start(): void {
    const { clock, config } = this.#parts
    if (config.sysInterval === 0) return
    void this.#publish()
    this.#stop = clock.every(config.sysInterval * 1000, () => void this.#publish())
  }

  stop(): void {
    this.#stop?.()
  }

  async #publish(): Promise<void> {
    for (const [name, value] of Object.entries(await this.#values())) {
      const text = String(value)
      if (this.#sent.get(name) === text) continue
      this.#sent.set(name, text)
      this.#parts.router.publish({
        topic: `$SYS/broker/${name}`,
        payload: Buffer.from(text),
        qos: 2,
        retain: true,
      })
    }
  }

  async #values(): Promise<Record<string, string | number>> {
    const { clock, connections, metrics, store, version } = this.#parts
    let connected = 0
    for (const connection of connections) if (connection.open !== undefined) connected++
    const total = store.sessions.size
    this.#maximumClients = Math.max(this.#maximumClients, connected)
    const counts = store.counts()
    const received = await valueOf(metrics.publishReceived)
    const sent = await valueOf(metrics.publishSent)
    const dropped = await valueOf(metrics.publishDropped)
    return {
      version: `midge version ${version}`,
      uptime: `${Math.floor((clock.monotonic() - this.#startedAt) / 1000)} seconds`,
      'clients/total': total,
      'clients/maximum': this.#maximumClients,
      'clients/connected': connected,
      'clients/active': connected,
      'clients/disconnected': total - connected,
      'clients/inactive': total - connected,
      'connections/socket/count': connections.size,
      'messages/stored': counts.queuedMessages + store.retained.size,
      'store/messages/count': counts.queuedMessages + store.retained.size,
      'store/messages/bytes': counts.queuedBytes + store.retained.bytes,
      'subscriptions/count': counts.subscriptions,
      'retained messages/count': store.retained.size,
      'publish/messages/received': received,
      'publish/messages/sent': sent,
      'publish/messages/dropped': dropped,
      'heap/current': process.memoryUsage().heapUsed,
    }
  }
}

async function valueOf(
  counter: Metrics['publishReceived'] | Metrics['publishDropped'],
): Promise<number> {
  const { values } = await counter.get()
  return values.reduce((sum, { value }) => sum + value, 0)
}
