/** The directory of pins, followed: what is laid down or taken away counts within a second or two. */
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { PinRejected } from './errors.ts'
import {
  listPins,
  type Pinned,
  type PinFile,
  type PinListing,
  type PinProblem,
  type Pins,
  readPin,
} from './pins.ts'

export interface PinnedCertificatesOptions {
  readonly directory: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Milliseconds between looks. Default 1000. */
  readonly pollMs?: number
  /** Milliseconds the files have to stand still. Default 100. */
  readonly settleMs?: number
}

/** Looks while files keep changing; then they are taken as they are. */
const MAX_PATIENCE = 20
/** A large directory is looked at less often: at most a tenth of the time goes into it. */
const REST = 10
/** Problems that one look writes down: the directory may be another one altogether. */
const MAX_TOLD = 20

type Read = { readonly fingerprint: string } | { readonly problem: PinProblem }

export class PinnedCertificates implements Pins {
  readonly #options: PinnedCertificatesOptions
  readonly #listeners = new Set<() => void>()
  #pins: ReadonlyMap<string, Pinned> = new Map()
  /** By path: the certificate of a file that has not changed is not read again. */
  #read = new Map<string, { readonly stamp: string; readonly read: Read }>()
  #problems: readonly PinProblem[] = []
  #unreadable: string | undefined
  #notBefore = -Infinity
  #stopPolling: () => void = () => undefined
  #last: Promise<void> = Promise.resolve()
  #isFirst = true
  #looking = false
  #closed = false

  private constructor(options: PinnedCertificatesOptions) {
    this.#options = options
  }

  /** Settles once the pins of now are known; none of them is a reason to throw. */
  static async open(options: PinnedCertificatesOptions): Promise<PinnedCertificates> {
    const pins = new PinnedCertificates(options)
    await pins.reload()
    return pins
  }

  /** Looks from time to time from now on, until `close`. */
  follow(): void {
    const { clock, pollMs = 1000 } = this.#options
    this.#stopPolling = clock.every(pollMs, () => void this.#poll())
  }

  pinned(fingerprint: string): Pinned | undefined {
    return this.#pins.get(fingerprint)
  }

  /** Files that do not count, and why. */
  get problems(): readonly PinProblem[] {
    return this.#problems
  }

  /** Called when a certificate stands for another device than before, or for none. */
  onNews(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Looks now. Never rejects. */
  reload(): Promise<void> {
    this.#last = this.#last.then(() => this.#look())
    return this.#last
  }

  close(): void {
    this.#closed = true
    this.#stopPolling()
  }

  async #poll(): Promise<void> {
    const { clock } = this.#options
    const began = clock.monotonic()
    if (this.#looking || began < this.#notBefore) return
    await this.reload()
    this.#notBefore = clock.monotonic() + (clock.monotonic() - began) * REST
  }

  async #look(): Promise<void> {
    const { directory, log } = this.#options
    this.#looking = true
    try {
      const listing = await this.#settled()
      const files = new Map<string, { readonly stamp: string; readonly read: Read }>()
      for (const file of listing.files) files.set(file.path, await this.#readOnce(file))
      this.#unreadable = undefined
      this.#isFirst = false
      this.#read = files
      if (!this.#closed) this.#take(listing)
    } catch (err) {
      const problem = messageOf(err)
      if (this.#unreadable !== problem) {
        const fields = { event: 'pins.unread', directory, problem }
        log.error(fields, 'pinned certificates could not be looked at: those known still count')
      }
      this.#unreadable = problem
    } finally {
      this.#looking = false
    }
  }

  /** The listing once it stands still: a file is not judged while it is being written. */
  async #settled(): Promise<PinListing> {
    const { directory, clock, settleMs = 100 } = this.#options
    let listing = await listPins(directory)
    // Nothing is served yet by the first look, and the next one sees what was half-written.
    if (this.#isFirst || this.#isKnown(listing.files)) return listing
    for (let patience = MAX_PATIENCE; patience > 0; patience--) {
      await clock.sleep(settleMs)
      const later = await listPins(directory)
      const same = stampsOf(later.files) === stampsOf(listing.files)
      listing = later
      if (same) break
    }
    return listing
  }

  #isKnown(files: readonly PinFile[]): boolean {
    return (
      files.length === this.#read.size &&
      files.every(({ path, stamp }) => this.#read.get(path)?.stamp === stamp)
    )
  }

  async #readOnce({ path, stamp }: PinFile): Promise<{ stamp: string; read: Read }> {
    const known = this.#read.get(path)
    if (known?.stamp === stamp) return known
    try {
      return { stamp, read: { fingerprint: await readPin(path) } }
    } catch (err) {
      if (!(err instanceof PinRejected)) throw err
      return { stamp, read: { problem: { code: err.code, message: err.message } } }
    }
  }

  #take({ files, problems }: PinListing): void {
    const { metrics } = this.#options
    const owners = new Map<string, Set<string>>()
    const found = [...problems]
    for (const { path, commonName } of files) {
      const read = this.#read.get(path)?.read
      if (read === undefined) continue
      if ('problem' in read) found.push(read.problem)
      else owners.set(read.fingerprint, (owners.get(read.fingerprint) ?? new Set()).add(commonName))
    }
    const pins = new Map<string, Pinned>()
    for (const [fingerprint, names] of owners) {
      const [commonName, ...others] = names
      if (commonName === undefined) continue
      if (others.length === 0) {
        pins.set(fingerprint, { kind: 'device', commonName })
        continue
      }
      const commonNames = [commonName, ...others]
      pins.set(fingerprint, { kind: 'ambiguous', commonNames })
      const message = `the certificate ${fingerprint} is pinned for ${commonNames.join(' and ')}, expected one device; it is nobody's`
      found.push({ code: 'pin_ambiguous', message })
    }
    this.#announce(found)
    const news = describe(pins) !== describe(this.#pins)
    this.#pins = pins
    metrics.pins.set([...pins.values()].filter(({ kind }) => kind === 'device').length)
    metrics.pinProblems.set(found.length)
    if (news) for (const listener of this.#listeners) listener()
  }

  #announce(problems: readonly PinProblem[]): void {
    const { directory, log } = this.#options
    const before = new Set(this.#problems.map(({ message }) => message))
    this.#problems = problems
    const fresh = problems.filter(({ message }) => !before.has(message))
    for (const { code, message } of fresh.slice(0, MAX_TOLD)) {
      log.error({ event: 'pin.rejected', code, problem: message }, 'a pin does not count')
    }
    const untold = fresh.length - MAX_TOLD
    if (untold <= 0) return
    const fields = { event: 'pins.withheld', directory, withheld: untold }
    log.error(fields, `${untold} more files that do not count: is it the directory of the pins?`)
  }
}

function stampsOf(files: readonly PinFile[]): string {
  return files.map(({ path, stamp }) => `${path}\n${stamp}`).join('\n')
}

function describe(pins: ReadonlyMap<string, Pinned>): string {
  return JSON.stringify([...pins].sort(([a], [b]) => (a < b ? -1 : 1)))
}
