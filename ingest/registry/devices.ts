/** Devices of the registry, remembered for a while; asked of the database when they are not. */
import type { Clock } from '../../core/clock.ts'
import { BatchLoader } from './batch-loader.ts'
import type { Persistence } from './persistence.ts'
import type { RegistryReader } from './reader.ts'
import type { DeviceAnswer, DeviceName } from './records.ts'
import { TtlCache, type CacheStatistics } from './ttl-cache.ts'

/** How long it is believed that a device is not there: somebody may be registering it right now. */
const ABSENT_MS = 5_000

export interface DevicesParts {
  readonly ttlMs: number
  readonly maxEntries: number
  readonly reader: Pick<RegistryReader, 'devices'>
  readonly persistence: Persistence
  readonly clock: Clock
  /** An answer has come: a device that is registered, whatever its state. */
  readonly seen: (name: DeviceName, device: DeviceAnswer) => void
}

export class Devices {
  readonly #ttlMs: number
  readonly #cache: TtlCache<DeviceAnswer>
  readonly #loader: BatchLoader<DeviceName, DeviceAnswer>

  constructor({ ttlMs, maxEntries, reader, persistence, clock, seen }: DevicesParts) {
    this.#ttlMs = ttlMs
    this.#cache = new TtlCache(maxEntries, clock)
    this.#loader = new BatchLoader({
      fetch: (names) => reader.devices(names),
      loaded: (key, name, device, isFresh) => {
        if (isFresh) this.put(key, device)
        seen(name, device)
      },
      persistence,
    })
  }

  get statistics(): CacheStatistics {
    return this.#cache.statistics
  }

  /** What is remembered; undefined: it has to be asked for. */
  get(key: string): DeviceAnswer | undefined {
    return this.#cache.get(key)
  }

  /** Like `get`, and counts neither as a hit nor as a miss. */
  peek(key: string): DeviceAnswer | undefined {
    return this.#cache.peek(key)
  }

  put(key: string, device: DeviceAnswer): void {
    this.#cache.put(key, device, typeof device === 'string' ? ABSENT_MS : this.#ttlMs)
  }

  /** Asks the database, for as long as it takes. @throws IngestStopped */
  load(key: string, name: DeviceName): Promise<DeviceAnswer> {
    return this.#loader.load(key, name)
  }

  /** Without a key: all of them. */
  invalidate(key?: string): void {
    this.#loader.changed()
    if (key === undefined) this.#cache.clear()
    else this.#cache.delete(key)
  }
}
