/**
 * The CRL from the revocations in the database, for those who have nobody else to write it: ingest
 * knows what is revoked, pki can sign, and this joins them.
 */
import type { Config, CrlWriterConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Ingest } from '../ingest/index.ts'
import { type PassphraseSource, writeCrlOutput } from '../pki/index.ts'

const HOUR_MS = 3_600_000
const RETRY_MS = 60_000
/** A list is signed in less; a database that is away must not hold up the end. */
const STOP_MS = 1_000
/** Serial numbers named in a warning. */
const MAX_NAMED = 10

export interface CrlWriterParts {
  readonly files: CrlWriterConfig
  readonly ingest: Pick<Ingest, 'onBarred' | 'revokedCertificates'>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'crlWritten'>
  /** Of an encrypted key. */
  readonly passphrase?: PassphraseSource | undefined
}

export class CrlWriter {
  readonly #parts: CrlWriterParts
  readonly #stopTimer: () => void
  /** Fingerprints that the list was written with, or was asked to be. */
  #seen = new Set<string>()
  #writing: Promise<void> | undefined
  #again = false
  #cancelRetry: () => void = () => undefined
  #isStopped = false

  /** Writes the first list at once, and others hourly and whenever a revocation is seen. */
  static start(parts: CrlWriterParts): CrlWriter {
    const writer = new CrlWriter(parts)
    void writer.write()
    return writer
  }

  private constructor(parts: CrlWriterParts) {
    const { clock, ingest } = parts
    this.#parts = parts
    this.#stopTimer = clock.every(HOUR_MS, () => void this.write())
    ingest.onBarred(({ fingerprint }) => {
      // The same revocation is told again and again for a minute.
      if (fingerprint === undefined || this.#seen.has(fingerprint)) return
      this.#seen.add(fingerprint)
      void this.write()
    })
  }

  /** Settles when a list was written that was begun after this call, or was not; never rejects. */
  write(): Promise<void> {
    if (this.#writing === undefined) {
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined
      })
    } else this.#again = true
    return this.#writing
  }

  /** Settles when nothing is being written any more, or after a second: the database may be away. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#stopTimer()
    this.#cancelRetry()
    if (this.#writing === undefined) return
    const over = new AbortController()
    await Promise.race([this.#writing, this.#parts.clock.sleep(STOP_MS, over.signal)])
    over.abort()
  }

  async #write(): Promise<void> {
    do {
      this.#again = false
      this.#cancelRetry()
      await this.#attempt()
    } while (this.#again && !this.#isStopped)
  }

  async #attempt(): Promise<void> {
    const { files, ingest, clock, log, metrics, passphrase } = this.#parts
    if (this.#isStopped) return
    try {
      const revoked = await ingest.revokedCertificates()
      if (this.#isStopped) return
      const { crlNumber, entries, skipped } = await writeCrlOutput(
        files,
        revoked,
        clock,
        passphrase,
      )
      this.#seen = new Set(revoked.map(({ fingerprint }) => fingerprint))
      metrics.crlWritten.set(clock.now() / 1000)
      if (skipped.length > 0) {
        const serials = skipped.slice(0, MAX_NAMED)
        log.warn(
          { event: 'crl.serial_skipped', certificates: skipped.length, serials },
          'revoked certificates are not on the CRL: their serial_number is not hexadecimal',
        )
      }
      const event = { event: 'crl.written', file: files.output, entries }
      log.info({ ...event, crl_number: String(crlNumber) }, 'CRL written from the database')
    } catch (err) {
      if (this.#isStopped) return
      log.error(
        { event: 'crl.unwritten', err, file: files.output },
        `the CRL was not written, again in a minute: ${messageOf(err)}`,
      )
      this.#cancelRetry = clock.after(RETRY_MS, () => void this.write())
    }
  }
}

/** Undefined: the configuration does not want one. */
export function startCrlWriter({
  config,
  ingest,
  log,
  ...parts
}: Omit<CrlWriterParts, 'files' | 'ingest'> & {
  readonly config: Pick<Config, 'crlWriter'>
  readonly ingest: CrlWriterParts['ingest'] | undefined
}): CrlWriter | undefined {
  const { crlWriter: files } = config
  if (files === undefined || ingest === undefined) return undefined
  return CrlWriter.start({ ...parts, files, ingest, log: log.child({ part: 'pki' }) })
}
