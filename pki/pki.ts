/**
 * Everything about certificates that a running broker needs, joined: the credentials of each TLS
 * listener, who may come in with a certificate, and the CRLs, all of them followed on disk.
 */
import type { RevocationConfig, RotationConfig, TlsConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { RevocationPolicy } from './chain.ts'
import { type CrlFileStatus, CrlSources } from './crl-sources.ts'
import { CrlStore } from './crl-store.ts'
import { PinnedCertificates } from './pinned-certificates.ts'
import type { AwaitedAdmission } from './rotation/awaited-admission.ts'
import { ListenerCertificates } from './rotation/listener-certificates.ts'
import type { ServerCertificate } from './server-certificate.ts'
import type { TrustSet } from './trust.ts'

export interface PkiListener {
  readonly name: string
  readonly tls: Pick<TlsConfig, 'certfile' | 'keyfile' | 'cafile' | 'crlfile'> &
    Partial<
      Pick<
        TlsConfig,
        'capath' | 'dhparamfile' | 'ignoreCertificateDates' | 'minVersion' | 'ciphers'
      >
    > & {
      /** See server-certificate.ts. */
      readonly deviceCafile?: string | undefined
    }
}

export interface PkiOptions {
  readonly listeners: readonly PkiListener[]
  readonly revocation: RevocationConfig
  /** Directory of pinned certificates (pins.ts). Absent: nobody is let in by a pin. */
  readonly pinnedCertificates?: string | undefined
  /** Absent: what changed on disk is put in force at once. */
  readonly rotation?: RotationConfig | undefined
  /** Where a listener can be reached now, for a handshake after a swap; undefined: it is closed. */
  readonly addressOf?: (listener: string) => { host: string; port: number } | undefined
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Milliseconds, as in core/watch-files.ts. */
  readonly settleMs?: number
  /** Of the CRLs; and of certificates, when `rotation` is absent. */
  readonly pollMs?: number
}

/** A listener whose files on disk are refused, and why. */
export interface PkiProblem {
  readonly listener: string
  readonly message: string
}

export interface PkiEvents {
  /**
   * Serve with these from the next connection on; open ones stay. The first ones of a listener that
   * waited come here too. Throwing keeps the old in use.
   */
  credentials(listener: string, credentials: ServerCertificate): unknown
  /** The first certificate of a listener is in force; ask `isReady`. A promise is waited for. */
  arrival(listener: string): unknown
  /** Ask `stillGood` for every certificate that is connected, on whatever listener. */
  revocation(): void
  /** A crlfile's state has changed; ask `isReady` again. */
  readiness(status: CrlFileStatus): void
}

/** For parts that bring no settings: no window, as each look follows a quiet moment anyway. */
function rotationAtOnce(pollMs = 2000): RotationConfig {
  return {
    checkIntervalMs: pollMs,
    stabilityWindowMs: 0,
    cooldownMs: 0,
    expiryWarnDays: 14,
    swap: true,
    probe: { upstream: undefined, servername: undefined, timeoutMs: 5000 },
  }
}

/**
 * A listener whose files do not exist yet, or are not valid now, waits for them; see `waitingFor`.
 *
 * @throws CertificateRejected when a listener's files are broken and stay so for a stability window
 */
export async function createPki(options: PkiOptions): Promise<Pki> {
  const { listeners, revocation, clock, log, metrics, settleMs, pollMs } = options
  const requireNumber = revocation.requireCrlNumber ?? false
  const { whenStale, withoutCrl, intermediatesWithoutCrl = 'accept' } = revocation
  const policy: RevocationPolicy = { whenStale, withoutCrl, intermediatesWithoutCrl }
  const store = new CrlStore({ clock, authorities: [], requireNumber })
  const served = new Map<string, ListenerCertificates>()
  const directory = options.pinnedCertificates
  const pins =
    directory === undefined
      ? undefined
      : await PinnedCertificates.open({
          directory,
          clock,
          log,
          metrics,
          ...(settleMs === undefined ? {} : { settleMs }),
          ...(pollMs === undefined ? {} : { pollMs }),
        })
  let pki: Pki | undefined
  for (const { name, tls } of listeners) {
    const each = await ListenerCertificates.open({
      name,
      tls,
      rotation: options.rotation ?? rotationAtOnce(pollMs),
      chain: { store, policy, pins },
      clock,
      log,
      metrics,
      settleMs,
      address: () => options.addressOf?.(name),
      inForce: async (now, before) => await pki?.inForce(name, now, before),
    })
    served.set(name, each)
  }
  store.replaceAuthorities(authoritiesOf(served.values()))
  const files = listeners.map(({ tls }) => tls.crlfile).filter((file) => file !== undefined)
  const sources = await CrlSources.open({
    files: [...new Set(files)],
    store,
    whenMissing: revocation.whenMissing,
    clock,
    log,
    metrics,
    ...(settleMs === undefined ? {} : { settleMs }),
    ...(pollMs === undefined ? {} : { pollMs }),
  })
  pki = new Pki({ served, store, sources, policy, pins })
  for (const each of served.values()) await each.follow()
  pins?.follow()
  return pki
}

function authoritiesOf(served: Iterable<ListenerCertificates>): Uint8Array[] {
  return [...served].flatMap(({ trust }) => [...(trust?.encodings ?? [])])
}

interface PkiParts {
  readonly served: ReadonlyMap<string, ListenerCertificates>
  readonly store: CrlStore
  readonly sources: CrlSources
  readonly policy: RevocationPolicy
  readonly pins: PinnedCertificates | undefined
}

export class Pki {
  /** Lists in force, for readiness and administration. */
  readonly crls: CrlStore
  readonly #served: ReadonlyMap<string, ListenerCertificates>
  readonly #sources: CrlSources
  readonly #policy: RevocationPolicy
  readonly #pins: PinnedCertificates | undefined
  readonly #listeners = new Set<Partial<PkiEvents>>()

  constructor({ served, store, sources, policy, pins }: PkiParts) {
    this.#served = served
    this.crls = store
    this.#sources = sources
    this.#policy = policy
    this.#pins = pins
    pins?.onNews(() => this.#emit((listener) => listener.revocation?.()))
    store.onNews(() => this.#emit((listener) => listener.revocation?.()))
    sources.onStatus((status) => this.#emit((listener) => listener.readiness?.(status)))
  }

  /** What the listener serves with now; throws while it waits for its files. */
  credentials(listener: string): ServerCertificate {
    const { credentials } = this.#get(listener)
    if (credentials === undefined) throw new Error(`listener ${listener} has no certificate yet`)
    return credentials
  }

  /** Undefined: the listener has no cafile, so no certificate is asked for. */
  clientCertificates(listener: string): AwaitedAdmission | undefined {
    return this.#get(listener).admission
  }

  /** May it be opened: its certificate files were taken, and its crlfile was. */
  isReady(listener: string): boolean {
    return this.waitingFor(listener) === undefined
  }

  /** What keeps the listener closed; undefined: nothing of ours. */
  waitingFor(listener: string): string | undefined {
    const { credentials, problem } = this.#get(listener)
    if (credentials === undefined) return problem ?? 'its certificate files'
    const { crlfile } = this.#get(listener).tls
    if (crlfile === undefined || this.#sources.isReady(crlfile)) return undefined
    const status = this.crlFiles.find(({ file }) => file === crlfile)
    return status?.problem?.message ?? 'its CRL'
  }

  get crlFiles(): readonly CrlFileStatus[] {
    return this.#sources.status
  }

  /** Listeners whose files on disk are not the ones in use, or that have none. */
  get problems(): readonly PkiProblem[] {
    return [...this.#served].flatMap(([listener, { problem }]) =>
      problem === undefined ? [] : [{ listener, message: problem }],
    )
  }

  /** @returns stops the calls */
  on(events: Partial<PkiEvents>): () => void {
    this.#listeners.add(events)
    return () => this.#listeners.delete(events)
  }

  /** Other policies from now on, also for certificates that are connected: they are asked about. */
  replaceRevocation(revocation: RevocationConfig): void {
    const { whenMissing, whenStale, withoutCrl, requireCrlNumber } = revocation
    const { intermediatesWithoutCrl = 'accept' } = revocation
    const before = JSON.stringify(this.#policy)
    Object.assign(this.#policy, { whenStale, withoutCrl, intermediatesWithoutCrl })
    this.#sources.replaceWhenMissing(whenMissing)
    this.crls.requireNumbers(requireCrlNumber ?? false)
    if (before === JSON.stringify(this.#policy)) return
    this.#emit((listener) => listener.revocation?.())
  }

  /**
   * Reads every file again, as on SIGHUP: what changed is in force when this settles. Never rejects;
   * what was refused is in `problems`.
   */
  async reload(): Promise<void> {
    for (const each of this.#served.values()) await each.reload()
    await this.#sources.reload()
    await this.#pins?.reload()
  }

  close(): void {
    for (const each of this.#served.values()) each.close()
    this.#sources.close()
    this.#pins?.close()
  }

  /** Called by a listener's rotation; what throws here before anything changed keeps the old. */
  async inForce(
    name: string,
    now: ServerCertificate,
    before: ServerCertificate | undefined,
  ): Promise<void> {
    // One turn of the event loop from here …
    this.#emit((events) => events.credentials?.(name, now))
    const sameTrust = isSameTrust(before?.trust, now.trust)
    if (!sameTrust && now.trust !== undefined) {
      this.#get(name).admission?.replaceTrust(now.trust)
      this.crls.replaceAuthorities(authoritiesOf(this.#served.values()))
    }
    // … to here: no handshake meets the new certificate with the old CAs.
    if (!sameTrust) {
      // A new CA's list may stand in a file that has not changed.
      await this.#sources.reload()
      this.#emit((listener) => listener.revocation?.())
    }
    if (before !== undefined) return
    await Promise.allSettled([...this.#listeners].map((events) => events.arrival?.(name)))
  }

  #get(listener: string): ListenerCertificates {
    const served = this.#served.get(listener)
    if (served === undefined) throw new Error(`no TLS listener ${listener}`)
    return served
  }

  #emit(call: (listener: Partial<PkiEvents>) => unknown): void {
    for (const listener of this.#listeners) call(listener)
  }
}

function isSameTrust(a: TrustSet | undefined, b: TrustSet | undefined): boolean {
  return a?.identity === b?.identity
}
