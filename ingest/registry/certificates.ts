/** What device_certificates says of the certificates presented, remembered for a while. */
import type { Clock } from '../../core/clock.ts'
import { BatchLoader } from './batch-loader.ts'
import type { Persistence } from './persistence.ts'
import type { RegistryReader } from './reader.ts'
import type { CertificateName, CertificateRecord } from './records.ts'
import { TtlCache, type CacheStatistics } from './ttl-cache.ts'

const TTL_MS = 300_000
/** A device that just got its certificate registered is not to wait long. */
const NEGATIVE_TTL_MS = 30_000
const MAX_ENTRIES = 50_000

export interface CertificatesParts {
  readonly reader: Pick<RegistryReader, 'certificates'>
  readonly persistence: Persistence
  readonly clock: Clock
  readonly maxEntries?: number
  /** An answer has come. */
  readonly seen: (name: CertificateName, record: CertificateRecord) => void
}

export class Certificates {
  readonly #cache: TtlCache<{ readonly commonName: string; readonly record: CertificateRecord }>
  readonly #loader: BatchLoader<CertificateName, CertificateRecord>
  /** Fingerprints remembered, by CN. */
  readonly #byName = new Map<string, Set<string>>()

  constructor({ reader, persistence, clock, seen, maxEntries = MAX_ENTRIES }: CertificatesParts) {
    this.#cache = new TtlCache(maxEntries, clock, (fingerprint, { commonName }) => {
      const fingerprints = this.#byName.get(commonName)
      fingerprints?.delete(fingerprint)
      if (fingerprints?.size === 0) this.#byName.delete(commonName)
    })
    this.#loader = new BatchLoader({
      fetch: (names) => reader.certificates(names),
      loaded: (_, name, record, isFresh) => {
        if (isFresh) this.put(name, record)
        seen(name, record)
      },
      persistence,
    })
  }

  get statistics(): CacheStatistics {
    return this.#cache.statistics
  }

  /** By the fingerprint; what is remembered under it belongs to this CN, or it is not found. */
  get(fingerprint: string, commonName: string): CertificateRecord | undefined {
    const known = this.#cache.get(fingerprint)
    return known?.commonName === commonName ? known.record : undefined
  }

  put({ fingerprint, tenantId, deviceId }: CertificateName, record: CertificateRecord): void {
    const commonName = `${tenantId}/${deviceId}`
    const isGood = record.status === 'ACTIVE'
    this.#cache.put(fingerprint, { commonName, record }, isGood ? TTL_MS : NEGATIVE_TTL_MS)
    const fingerprints = this.#byName.get(commonName)
    if (fingerprints === undefined) this.#byName.set(commonName, new Set([fingerprint]))
    else fingerprints.add(fingerprint)
  }

  /** Asks the database, for as long as it takes. @throws IngestStopped */
  load(name: CertificateName): Promise<CertificateRecord> {
    return this.#loader.load(`${name.fingerprint} ${name.tenantId}/${name.deviceId}`, name)
  }

  /** All certificates of this CN; without one: all there are. */
  invalidate(commonName?: string): void {
    this.#loader.changed()
    if (commonName === undefined) this.#cache.clear()
    else for (const one of this.#byName.get(commonName) ?? []) this.#cache.delete(one)
  }
}
