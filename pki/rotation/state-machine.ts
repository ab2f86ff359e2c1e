/**
 * What becomes of certificate files, from look to look:
 *
 *     initialize → check → parse → validate → stability → cooldown → hash → probe → swap → update
 *
 * Each look begins at `check` again and goes as far as it can; the state it rests in says why it went
 * no further (`check`: a file is missing; `parse`: broken; `validate`: not valid now; `stability`:
 * still changing; `cooldown`: too soon after the last swap; `hash`: nothing new; `probe`: a handshake
 * with it failed; `swap`: swaps are off; `update`: swapped in).
 *
 * No I/O and no clock of its own: the time of each look comes in, in milliseconds of a clock that
 * never jumps. It cannot loop: a candidate is let through to `probe` once, and after a failure not
 * before a delay that doubles.
 */

export type RotationState =
  | 'initialize'
  | 'check'
  | 'parse'
  | 'validate'
  | 'stability'
  | 'cooldown'
  | 'hash'
  | 'probe'
  | 'swap'
  | 'update'

/** Files that could be served with. */
export interface Candidate {
  /** Equal when they mean the same: key, certificates, CAs. */
  readonly hash: string
}

/** What one look at the files found; `identity` is equal for equal bytes of all of them. */
export type Reading<C extends Candidate> = { readonly identity: string } & (
  | { readonly kind: 'missing'; readonly problem: string }
  | {
      readonly kind: 'malformed'
      readonly code: string
      readonly problem: string
      /** What to throw where nothing else is in use. */
      readonly cause?: Error
    }
  | { readonly kind: 'expired' | 'not_yet_valid'; readonly problem: string }
  | { readonly kind: 'valid'; readonly candidate: C }
)

export type Note<C extends Candidate> =
  | { readonly what: 'parsed'; readonly candidate: C }
  | { readonly what: 'missing' | 'expired' | 'not_yet_valid'; readonly problem: string }
  | { readonly what: 'malformed'; readonly problem: string; readonly code: string }
  | { readonly what: 'suppressed'; readonly reason: 'cooldown' | 'disabled' }
  /** What was wrong is over, and what is in use stayed. */
  | { readonly what: 'restored' }

export interface Outcome<C extends Candidate> {
  readonly state: RotationState
  /** To be probed and swapped in now; then call `swapped` or `failed`. */
  readonly candidate: C | undefined
  readonly notes: readonly Note<C>[]
  /** Milliseconds to a look that must not wait for the next regular one. */
  readonly lookInMs: number | undefined
}

export interface StateMachineSettings {
  readonly stabilityWindowMs: number
  readonly cooldownMs: number
  /** The first delay after a failure. */
  readonly checkIntervalMs: number
  readonly swap: boolean
}

const MAX_RETRY_MS = 300_000

interface Failure {
  readonly hash: string
  readonly delayMs: number
  readonly retryAt: number
}

export class RotationStateMachine<C extends Candidate> {
  readonly #settings: StateMachineSettings
  #state: RotationState = 'initialize'
  #problem: string | undefined
  /** What the note of the present problem was about; its text may hold the time. */
  #told: string | undefined
  #inUse: string | undefined
  #swappedAt = Number.NEGATIVE_INFINITY
  /** The bytes seen last, since when, and whether the note of them was given. */
  #seen: { readonly identity: string; readonly since: number } | undefined
  #parsed: string | undefined
  #suppressed: string | undefined
  #failure: Failure | undefined

  constructor(settings: StateMachineSettings) {
    this.#settings = settings
  }

  get state(): RotationState {
    return this.#state
  }

  /** Why the files on disk are not the ones in use, once they stood still. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** What was served with from the start. */
  begin(candidate: C): void {
    this.#inUse = candidate.hash
    this.#parsed = candidate.hash
    this.#state = 'update'
  }

  /**
   * @param at when the files were read
   * @param insist an operator asks (SIGHUP): no window, cooldown, retry delay or switch holds it up
   */
  look(reading: Reading<C>, at: number, insist = false): Outcome<C> {
    const since = this.#seen?.identity === reading.identity ? this.#seen.since : at
    // What is there at the start is taken as it is: nobody says that it just changed.
    const isFirst = this.#state === 'initialize'
    this.#seen = { identity: reading.identity, since }
    const unstableMs = isFirst || insist ? 0 : since + this.#settings.stabilityWindowMs - at
    if (reading.kind !== 'valid') return this.#refuse(reading, unstableMs)

    const { candidate } = reading
    const notes: Note<C>[] = []
    if (this.#parsed !== candidate.hash) notes.push({ what: 'parsed', candidate })
    this.#parsed = candidate.hash
    if (unstableMs > 0) return this.#rest('stability', { notes, lookInMs: unstableMs })
    const isNew = candidate.hash !== this.#inUse
    const coolMs = insist ? 0 : this.#swappedAt + this.#settings.cooldownMs - at
    if (isNew && coolMs > 0) return this.#suppress('cooldown', candidate, notes, coolMs)
    if (!isNew) {
      if (this.#problem !== undefined) notes.push({ what: 'restored' })
      this.#forget()
      return this.#rest('hash', { notes })
    }
    const failed = this.#failure?.hash === candidate.hash ? this.#failure : undefined
    if (failed !== undefined && failed.retryAt > at && !insist) {
      return this.#rest('probe', { notes, lookInMs: failed.retryAt - at })
    }
    // Files for a listener that has none take nothing from anybody.
    if (!this.#settings.swap && this.#inUse !== undefined && !insist) {
      this.#problem = undefined
      this.#told = undefined
      return this.#suppress('disabled', candidate, notes, undefined)
    }
    this.#state = 'probe'
    return { state: 'probe', candidate, notes, lookInMs: undefined }
  }

  /** The candidate is in use. */
  swapped(candidate: C, at: number): void {
    this.#inUse = candidate.hash
    this.#swappedAt = at
    this.#forget()
    this.#state = 'update'
  }

  /** It could not be served with; the old stays. @returns milliseconds to the next try */
  failed(candidate: C, at: number, problem: string): number {
    const { checkIntervalMs } = this.#settings
    const before = this.#failure?.hash === candidate.hash ? this.#failure.delayMs * 2 : 0
    const delayMs = Math.min(Math.max(before, checkIntervalMs), MAX_RETRY_MS)
    this.#failure = { hash: candidate.hash, delayMs, retryAt: at + delayMs }
    this.#problem = problem
    this.#told = undefined
    this.#state = 'probe'
    return delayMs
  }

  #refuse(reading: Exclude<Reading<C>, { kind: 'valid' }>, unstableMs: number): Outcome<C> {
    const { kind, problem } = reading
    const state = kind === 'missing' ? 'check' : kind === 'malformed' ? 'parse' : 'validate'
    // Half of a pair that is being written is nobody's mistake.
    if (unstableMs > 0) return this.#rest(state, { lookInMs: unstableMs })
    const code = kind === 'malformed' ? reading.code : kind
    const told = `${code} ${reading.identity}`
    if (this.#told === told) return this.#rest(state, {})
    this.#told = told
    this.#problem = problem
    const note: Note<C> =
      kind === 'malformed' ? { what: kind, problem, code } : { what: kind, problem }
    return this.#rest(state, { notes: [note] })
  }

  #suppress(
    reason: 'cooldown' | 'disabled',
    candidate: C,
    notes: Note<C>[],
    lookInMs: number | undefined,
  ): Outcome<C> {
    const told = `${reason} ${candidate.hash}`
    if (this.#suppressed !== told) notes.push({ what: 'suppressed', reason })
    this.#suppressed = told
    const state = reason === 'cooldown' ? 'cooldown' : 'swap'
    return this.#rest(state, { notes, lookInMs })
  }

  #forget(): void {
    this.#problem = undefined
    this.#told = undefined
    this.#failure = undefined
    this.#suppressed = undefined
  }

  #rest(
    state: RotationState,
    { notes = [], lookInMs }: { notes?: readonly Note<C>[]; lookInMs?: number | undefined },
  ): Outcome<C> {
    this.#state = state
    return { state, candidate: undefined, notes, lookInMs }
  }
}
