import type { Metrics } from '../../core/metrics.ts'
import type { CacheStatistics } from './ttl-cache.ts'

type CacheName = 'device' | 'certificate'

interface Cache {
  readonly statistics: CacheStatistics
}

/** Hits and misses are counted in plain numbers and carried over now and then: labels cost too much per message. */
export class CacheMetrics {
  readonly #metrics: Pick<Metrics, 'ingestCacheHits' | 'ingestCacheMisses' | 'ingestCacheSize'>
  readonly #caches: readonly (readonly [CacheName, Cache])[]
  readonly #told = new Map<CacheName, CacheStatistics>()

  constructor(
    metrics: Pick<Metrics, 'ingestCacheHits' | 'ingestCacheMisses' | 'ingestCacheSize'>,
    caches: readonly (readonly [CacheName, Cache])[],
  ) {
    this.#metrics = metrics
    this.#caches = caches
  }

  update(): void {
    for (const [cache, { statistics }] of this.#caches) {
      const { hits = 0, misses = 0 } = this.#told.get(cache) ?? {}
      this.#metrics.ingestCacheHits.inc({ cache }, statistics.hits - hits)
      this.#metrics.ingestCacheMisses.inc({ cache }, statistics.misses - misses)
      this.#metrics.ingestCacheSize.set({ cache }, statistics.size)
      this.#told.set(cache, statistics)
    }
  }
}
