/** `$SYS/broker/…` under Mosquitto's names: retained, QoS 2, sent when the value changed. */
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Connections } from './connections.ts'
import { LoadAverages } from './load-averages.ts'
import type { Router } from './router.ts'
import type { MemoryStore } from './store/index.ts'
import type { Traffic } from './traffic.ts'

export interface SysTopicsParts {
  /** Read at each `start`. */
  readonly config: Pick<Config, 'sysInterval'>
  readonly clock: Clock
  readonly metrics: Pick<Metrics, 'publishDropped'>
  readonly version: string
  readonly store: Pick<MemoryStore, 'sessions' | 'counts'>
  readonly router: Pick<Router, 'publish'>
  readonly connections: Connections
  readonly traffic: Traffic
  /** Bytes the process has taken for what it keeps. Default: V8's heap and the buffers beside it. */
  readonly heapBytes?: () => number
}

export class SysTopics {
  readonly #parts: SysTopicsParts
  readonly #sent = new Map<string, string>()
  readonly #startedAt: number
  readonly #loads: LoadAverages
  #maximumClients = 0
  #maximumHeap = 0
  #stop: (() => void) | undefined

  constructor(parts: SysTopicsParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.monotonic()
    this.#loads = new LoadAverages(this.#startedAt)
  }

  /** Publishes now and at each interval; after `stop` again, at the interval that is then in force. */
  start(): void {
    const { clock, config } = this.#parts
    if (config.sysInterval === 0) return
    void this.#publish()
    this.#stop = clock.every(config.sysInterval * 1000, () => void this.#publish())
  }

  /** What was published stays, as it was last. */
  stop(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  async #publish(): Promise<void> {
    const dropped = await totalOf(this.#parts.metrics.publishDropped)
    for (const [name, value] of Object.entries(this.#values(dropped))) {
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

  #values(dropped: number): Record<string, string | number> {
    const { clock, traffic, version } = this.#parts
    const now = clock.monotonic()
    return {
      version: `midge version ${version}`,
      uptime: `${Math.floor((now - this.#startedAt) / 1000)} seconds`,
      ...this.#clients(),
      ...this.#loadAverages(dropped, now),
      ...this.#stored(),
      ...this.#heap(),
      'messages/received': traffic.packetsReceived,
      'messages/sent': traffic.packetsSent,
      'publish/messages/dropped': dropped,
      'publish/messages/received': traffic.publishesReceived,
      'publish/messages/sent': traffic.publishesSent,
      'publish/bytes/received': traffic.publishBytesReceived,
      'publish/bytes/sent': traffic.publishBytesSent,
      'bytes/received': traffic.bytesReceived,
      'bytes/sent': traffic.bytesSent,
    }
  }

  #clients(): Record<string, number> {
    const { connections, store, traffic } = this.#parts
    let connected = 0
    let packets = 0
    let bytes = 0
    for (const { open, outbox } of connections) {
      if (open !== undefined) connected++
      packets += outbox.backlogPackets
      bytes += outbox.backlogBytes
    }
    this.#maximumClients = Math.max(this.#maximumClients, connected)
    const total = store.sessions.size
    const disconnected = Math.max(0, total - connected)
    return {
      'clients/total': total,
      'clients/maximum': this.#maximumClients,
      'clients/disconnected': disconnected,
      'clients/inactive': disconnected,
      'clients/connected': connected,
      'clients/active': connected,
      'clients/expired': traffic.sessionsExpired,
      'connections/socket/count': connections.size,
      'packet/out/count': packets,
      'packet/out/bytes': bytes,
    }
  }

  #stored(): Record<string, number> {
    const { store } = this.#parts
    const counts = store.counts()
    let messages = counts.queuedMessages + counts.retainedMessages
    for (const session of store.sessions.values()) messages += session.inflight
    return {
      'messages/stored': messages,
      'store/messages/count': messages,
      'store/messages/bytes': counts.queuedBytes + counts.retainedBytes,
      'subscriptions/count': counts.subscriptions - counts.sharedSubscriptions,
      'shared_subscriptions/count': counts.sharedSubscriptions,
      'retained messages/count': counts.retainedMessages,
    }
  }

  #heap(): Record<string, number> {
    const bytes = (this.#parts.heapBytes ?? processHeapBytes)()
    this.#maximumHeap = Math.max(this.#maximumHeap, bytes)
    return { 'heap/current': bytes, 'heap/maximum': this.#maximumHeap }
  }

  #loadAverages(dropped: number, now: number): Record<string, string> {
    const { traffic } = this.#parts
    const counts = {
      'load/messages/received': traffic.packetsReceived,
      'load/messages/sent': traffic.packetsSent,
      'load/publish/dropped': dropped,
      'load/publish/received': traffic.publishesReceived,
      'load/publish/sent': traffic.publishesSent,
      'load/bytes/received': traffic.bytesReceived,
      'load/bytes/sent': traffic.bytesSent,
      'load/sockets': traffic.socketsOpened,
      'load/connections': traffic.connectsReceived,
    }
    return { ...this.#loads.update(counts, now) }
  }
}

function processHeapBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function totalOf(counter: Metrics['publishDropped']): Promise<number> {
  const { values } = await counter.get()
  return values.reduce((sum, { value }) => sum + value, 0)
}
