/**
 * The crlfiles: read at start, on every change and on `reload`, and offered to the store. Whatever
 * is wrong with a file, the last good lists stay in force; a problem is logged once, counted, and
 * shown by `status` until the file is good again.
 */
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { missingPermission } from '../core/file-access.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { type FileWatch, watchFiles } from '../core/watch-files.ts'
import { CrlAlarms } from './crl-alarms.ts'
import { MAX_CRL_BYTES } from './crl-reader.ts'
import type { CrlRefusal } from './crl-reading.ts'
import type { CrlInForce, CrlStore, OfferResult } from './crl-store.ts'
import { CrlRejected, type CrlRejection } from './errors.ts'

export interface CrlSourcesOptions {
  readonly files: readonly string[]
  readonly store: CrlStore
  /** What a file that does not exist at start means (config/types.ts). */
  readonly whenMissing: 'wait' | 'open'
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** Milliseconds, as in core/watch-files.ts. */
  readonly settleMs?: number
  readonly pollMs?: number
}

/**
 * `waiting`: configured, and never yet taken in full. `open`: does not exist, and `whenMissing`
 * lets connections in without it. `in_force`: was taken in full, whatever happened to it since.
 */
export interface CrlFileStatus {
  readonly file: string
  readonly state: 'waiting' | 'open' | 'in_force'
  readonly problem: CrlRefusal | undefined
}

/** Only a part of the file is meant. */
const LEFT_OUT: ReadonlySet<CrlRejection> = new Set(['crl_unsupported'])

/** How often a list that was ahead of our clock is tried again, and staleness looked at. */
const TICK_MS = 15_000

export class CrlSources {
  readonly #options: CrlSourcesOptions
  readonly #alarms: CrlAlarms
  readonly #status = new Map<string, CrlFileStatus>()
  /** By file, the lists it has held in force: they have to stand in the next one too. */
  readonly #carried = new Map<string, Map<string, CrlInForce>>()
  readonly #leftOut = new Map<string, ReadonlySet<string>>()
  readonly #listeners = new Set<(status: CrlFileStatus) => void>()
  #whenMissing: CrlSourcesOptions['whenMissing']
  #watch: FileWatch | undefined
  #stopTicking: () => void = () => undefined
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: CrlSourcesOptions) {
    this.#options = options
    this.#whenMissing = options.whenMissing
    this.#alarms = new CrlAlarms(options)
    for (const file of options.files) {
      this.#status.set(file, { file, state: 'waiting', problem: undefined })
    }
  }

  /** Settles once every file was read, or found missing or bad. */
  static async open(options: CrlSourcesOptions): Promise<CrlSources> {
    const sources = new CrlSources(options)
    const { files, clock, settleMs, pollMs } = options
    // Watching first: a change between reading and watching would be lost.
    sources.#watch = await watchFiles({
      files,
      clock,
      onChange: () => void sources.reload(),
      ...(settleMs === undefined ? {} : { settleMs }),
      ...(pollMs === undefined ? {} : { pollMs }),
    })
    await sources.#readAll(files, true)
    sources.#stopTicking = clock.every(TICK_MS, () => sources.#tick())
    return sources
  }

  get status(): readonly CrlFileStatus[] {
    return [...this.#status.values()]
  }

  /** May connections that depend on this file be let in? False for a file not followed here. */
  isReady(file: string): boolean {
    const state = this.#status.get(file)?.state
    return state === 'in_force' || state === 'open'
  }

  /** Called when a file's state or problem has changed. */
  onStatus(listener: (status: CrlFileStatus) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads every file again, changed or not. Never rejects. */
  async reload(): Promise<readonly CrlFileStatus[]> {
    await this.#readAll(this.#options.files, false)
    return this.status
  }

  /** `open` lets connections in without the files that were never there; what is open stays so. */
  replaceWhenMissing(whenMissing: CrlSourcesOptions['whenMissing']): void {
    const opens = whenMissing === 'open' && this.#whenMissing === 'wait'
    this.#whenMissing = whenMissing
    const waiting = this.status.filter(({ state }) => state === 'waiting').map(({ file }) => file)
    if (opens) void this.#readAll(waiting, true)
  }

  close(): void {
    this.#watch?.close()
    this.#stopTicking()
  }

  #tick(): void {
    this.#alarms.look()
    const now = this.#options.clock.now()
    const due = this.status.filter(({ problem }) => (problem?.retryAt ?? Infinity) <= now)
    void this.#readAll(
      due.map(({ file }) => file),
      false,
    )
  }

  #readAll(files: readonly string[], first: boolean): Promise<void> {
    const reading = this.#last.then(async () => {
      for (const file of files) await this.#read(file, first)
      this.#alarms.look()
    })
    this.#last = reading
    return reading
  }

  async #read(file: string, first: boolean): Promise<void> {
    const { log, store } = this.#options
    const before = this.#status.get(file)
    try {
      const result = await store.offer(await bytesOf(file))
      for (const { issuerName, crlNumber, thisUpdate, nextUpdate, entries } of result.taken) {
        const number = crlNumber?.toString()
        const [from, until] = [thisUpdate, nextUpdate].map(isoOf)
        const fields = { event: 'crl.replaced', file, issuer: issuerName, number, entries }
        log.info({ ...fields, thisUpdate: from, nextUpdate: until }, 'CRL in force')
      }
      this.#noteLeftOut(file, result)
      const wrong = wrongIn(result)
      const missing = this.#missingIn(file, result)
      const problem = wrong ?? missing ?? this.#leftOutOf(result)
      const state = wrong === undefined ? 'in_force' : (before?.state ?? 'waiting')
      this.#settle(file, state, problem)
    } catch (err) {
      if (!(err instanceof CrlRejected)) throw err
      const missing = isMissing(err)
      const mayOpen = missing && first && this.#whenMissing === 'open'
      if (mayOpen) store.startEmpty()
      const state = before?.state === 'waiting' && mayOpen ? 'open' : (before?.state ?? 'waiting')
      this.#settle(file, state, { code: err.code, message: err.message })
    }
  }

  /**
   * A list that stood in the file before, and is not there now or cannot be used any more. The one
   * taken then stays in force, so nobody comes back; but it will never be renewed.
   */
  #missingIn(file: string, { complete }: OfferResult): CrlRefusal | undefined {
    const { store } = this.#options
    const present = new Map(complete.map((crl) => [keyOf(crl), crl]))
    const elsewhere = [...this.#carried].filter(([other]) => other !== file)
    const missing = [...(this.#carried.get(file) ?? [])].filter(
      ([key, { issuer }]) =>
        !present.has(key) &&
        store.isAuthority(issuer) &&
        !elsewhere.some(([, lists]) => lists.has(key)),
    )
    this.#carried.set(file, new Map([...missing, ...present]))
    const [first] = missing
    if (first === undefined) return undefined
    const names = missing.map(([, { issuerName }]) => issuerName).join(', ')
    const message = `${file} has no usable CRL of ${names} any more; the last good one stays in force`
    return { code: 'crl_list_missing', message, issuer: first[1].issuer }
  }

  /** A list that cannot be used, of a CA that no other list speaks for. */
  #leftOutOf({ refused }: OfferResult): CrlRefusal | undefined {
    const { store } = this.#options
    return refused.find(
      ({ code, issuer }) =>
        code === 'crl_unsupported' && (issuer === undefined || !store.covers(issuer)),
    )
  }

  /** Each once: also those that do no harm, for their CA has another list. */
  #noteLeftOut(file: string, { refused }: OfferResult): void {
    const left = refused.filter(({ code }) => code === 'crl_unsupported')
    const before = this.#leftOut.get(file)
    this.#leftOut.set(file, new Set(left.map(({ message }) => message)))
    for (const { message } of left) {
      if (before?.has(message) === true) continue
      this.#options.log.warn({ event: 'crl.left_out', file, problem: message }, 'CRL left out')
    }
  }

  #settle(file: string, state: CrlFileStatus['state'], problem: CrlRefusal | undefined): void {
    const before = this.#status.get(file)
    this.#status.set(file, { file, state, problem })
    const same = before?.problem?.message === problem?.message && before?.state === state
    if (same && problem?.retryAt === before?.problem?.retryAt) return
    if (problem !== undefined && before?.problem?.message !== problem.message) {
      this.#options.metrics.crlRejected.inc()
      const { code, message } = problem
      const consequence = {
        in_force: LEFT_OUT.has(code)
          ? 'its other lists are in force'
          : 'the last good lists stay in force',
        open: 'connections are let in without this list',
        waiting: 'no connection that depends on it is let in',
      }[state]
      this.#options.log.error(
        { event: 'crl.rejected', file, code, problem: message, state },
        `CRL file refused${LEFT_OUT.has(code) ? ' in part' : ''}: ${consequence}`,
      )
    }
    for (const listener of this.#listeners) listener({ file, state, problem })
  }
}

/**
 * What keeps the file as a whole from counting as taken. A list of a CA that is not ours does no
 * harm beside one that is, nor does one that cannot be used: who needs that is told "no CRL".
 */
function wrongIn({ taken, unchanged, refused }: OfferResult): CrlRefusal | undefined {
  const useful = taken.length + unchanged.length > 0
  const harmless = ['crl_issuer_unknown', 'crl_unsupported']
  return refused.find(({ code }) => !useful || !harmless.includes(code))
}

function keyOf({ issuer, part }: CrlInForce): string {
  return `${issuer}:${part}`
}

async function bytesOf(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const entry = await stat(file)
    if (!entry.isFile()) throw new CrlRejected('crl_unreadable', `${file} is not a file`)
    if (entry.size > MAX_CRL_BYTES) {
      const text = `${file} has ${entry.size} bytes, expected at most ${MAX_CRL_BYTES}`
      throw new CrlRejected('crl_too_large', text)
    }
    return await readFile(file)
  } catch (err) {
    if (err instanceof CrlRejected) throw err
    const found = `${messageOf(err)}${missingPermission(file, err)}`
    const what = codeOf(err) === 'ENOENT' ? `${file} does not exist` : found
    throw new CrlRejected('crl_unreadable', what, { cause: err })
  }
}

function isMissing(err: CrlRejected): boolean {
  return err.code === 'crl_unreadable' && codeOf(err.cause) === 'ENOENT'
}

function isoOf(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString()
}
