/**
 * The certificate files of one listener, followed: what it serves with, whom it trusts, and the way
 * of what changes on disk into force.
 */
import type { RotationConfig, TlsConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import { type FileWatch, watchFiles } from '../../core/watch-files.ts'
import { namesCas, readCaFiles } from '../ca-files.ts'
import type { ChainContext } from '../chain.ts'
import { CertificateRejected } from '../errors.ts'
import type { ServerCertificate, ServerCertificateFiles } from '../server-certificate.ts'
import { TrustSet } from '../trust.ts'
import { AwaitedAdmission } from './awaited-admission.ts'
import { type CertificateCandidate, CertificateFiles } from './certificate-files.ts'
import { ExpiryAlarm } from './expiry-alarm.ts'
import { RotationJournal } from './journal.ts'
import { type Address, probe } from './probe.ts'
import { rehearse } from './rehearsal.ts'
import { Rotation, type RotationPorts } from './rotation.ts'

export type FollowedTls = ServerCertificateFiles &
  Pick<TlsConfig, 'crlfile'> &
  Partial<Pick<TlsConfig, 'minVersion' | 'ciphers' | 'ignoreCertificateDates'>>

export interface ListenerCertificatesOptions {
  readonly name: string
  readonly tls: FollowedTls
  readonly rotation: RotationConfig
  readonly chain: Omit<ChainContext, 'clock'>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Milliseconds the file system must be quiet before a look; see core/watch-files.ts. */
  readonly settleMs: number | undefined
  /** Where the listener itself can be reached now, if it is open. */
  address(): Address | undefined
  /** Puts them in force; when it rejects or throws, nothing has changed. */
  inForce(now: ServerCertificate, before: ServerCertificate | undefined): Promise<void>
}

/** Looks at a broken file at the start before it counts as broken and not as being written. */
const MAX_PATIENCE = 6

export class ListenerCertificates {
  readonly tls: FollowedTls
  /** Undefined: no client certificate is asked for. */
  readonly admission: AwaitedAdmission | undefined
  readonly #options: ListenerCertificatesOptions
  readonly #files: CertificateFiles
  readonly #journal: RotationJournal
  readonly #expiry: ExpiryAlarm
  #credentials: ServerCertificate | undefined
  /** Without it the CRLs of a listener that waits for its certificate would be those of strangers. */
  #earlyTrust: TrustSet | undefined
  #rotation: Rotation<CertificateCandidate> | undefined
  #watch: FileWatch | undefined

  private constructor(options: ListenerCertificatesOptions) {
    this.#options = options
    const { name, tls, rotation, chain, clock, log, metrics } = options
    this.tls = tls
    const ignoreDates = tls.ignoreCertificateDates === true
    this.admission = namesCas(tls)
      ? new AwaitedAdmission({ ...chain, clock, ignoreDates })
      : undefined
    this.#files = new CertificateFiles(tls, () => clock.now())
    const isServing = (): boolean => this.#credentials !== undefined
    const warnDays = rotation.expiryWarnDays
    this.#expiry = new ExpiryAlarm({ listener: name, warnDays, clock, log, metrics })
    const looked = (): void => this.#lookAtDates()
    this.#journal = new RotationJournal({ listener: name, log, metrics, isServing, looked })
  }

  /**
   * Takes the files as they are. Missing ones, and ones that are not valid now, are waited for: their
   * listener stays closed. Broken ones are not: but since they may be half-written, only once they
   * have stood still for the stability window.
   *
   * @throws CertificateRejected for files that are broken and stay so
   */
  static async open(options: ListenerCertificatesOptions): Promise<ListenerCertificates> {
    const listener = new ListenerCertificates(options)
    const candidate = await listener.#first()
    if (candidate === undefined) listener.#earlyTrust = await trustOf(options.tls)
    else listener.#take(candidate.credentials)
    const { clock, rotation } = options
    listener.#rotation = new Rotation(rotation, clock, listener.#ports(), candidate)
    return listener
  }

  /** Begins to watch; from now on `inForce` may be called. */
  async follow(): Promise<void> {
    const { clock, rotation, settleMs } = this.#options
    this.#watch = await watchFiles({
      files: this.#files.paths,
      clock,
      onChange: () => void this.#rotation?.look(),
      pollMs: rotation.checkIntervalMs,
      ...(settleMs === undefined ? {} : { settleMs }),
    })
    // What changed between the first reading and the watch; says what is missing.
    await this.#rotation?.start()
  }

  /** What the listener serves with now; undefined: it waits for its files. */
  get credentials(): ServerCertificate | undefined {
    return this.#credentials
  }

  /** The CAs; they may be known before the certificate has come. */
  get trust(): TrustSet | undefined {
    return this.#credentials === undefined ? this.#earlyTrust : this.#credentials.trust
  }

  /** Why the files on disk are not the ones in use. */
  get problem(): string | undefined {
    return this.#rotation?.problem
  }

  /** An operator asks: looked at, and put in force, at once. Never rejects. */
  async reload(): Promise<void> {
    await this.#rotation?.look(true)
  }

  close(): void {
    this.#watch?.close()
    this.#rotation?.close()
  }

  async #first(): Promise<CertificateCandidate | undefined> {
    const { clock, log, rotation } = this.#options
    let reading = await this.#files.read()
    for (let patience = MAX_PATIENCE; reading.kind === 'malformed'; patience--) {
      const { identity, problem, code } = reading
      if (rotation.stabilityWindowMs > 0) {
        const fields = { event: 'certificate.awaited', listener: this.#options.name, code, problem }
        log.warn(fields, 'certificate files are broken, or still being written')
        await clock.sleep(rotation.stabilityWindowMs)
        reading = await this.#files.read()
      }
      if (reading.kind !== 'malformed') break
      if (patience > 0 && reading.identity !== identity) continue
      throw reading.cause ?? new CertificateRejected('certificate_unreadable', reading.problem)
    }
    return reading.kind === 'valid' ? reading.candidate : undefined
  }

  #take(credentials: ServerCertificate): void {
    this.#credentials = credentials
    if (credentials.trust !== undefined) this.admission?.replaceTrust(credentials.trust)
    this.#journal.looked(undefined)
    this.#journal.warn(credentials.warnings)
  }

  #ports(): RotationPorts<CertificateCandidate> {
    const { tls, rotation, clock } = this.#options
    const target = rotation.probe
    return {
      read: () => this.#files.read(),
      rehearse: async ({ credentials }) =>
        target === undefined ? undefined : await rehearse(credentials, tls, { ...target, clock }),
      swap: ({ credentials }) => this.#swap(credentials),
      verify: async ({ credentials }, signal) => {
        const address = target?.upstream ?? this.#options.address()
        if (target === undefined || address === undefined) return undefined
        const { fingerprint } = credentials
        return await probe(address, { ...target, fingerprint, clock, signal })
      },
      notes: this.#journal,
    }
  }

  #lookAtDates(): void {
    const { expiredAt } = this.#files
    if (this.#credentials !== undefined) this.#expiry.look(this.#credentials)
    else if (expiredAt !== undefined) this.#expiry.showExpired(expiredAt)
  }

  async #swap(credentials: ServerCertificate): Promise<void> {
    const before = this.#credentials
    this.#credentials = credentials
    try {
      await this.#options.inForce(credentials, before)
    } catch (err) {
      this.#credentials = before
      throw err
    }
  }
}

/** Undefined when the files are not there or no bundle yet: then the listener has more to wait for. */
async function trustOf(tls: FollowedTls): Promise<TrustSet | undefined> {
  try {
    const bundle = await readCaFiles(tls)
    return bundle === undefined ? undefined : new TrustSet(bundle)
  } catch {
    return undefined
  }
}
