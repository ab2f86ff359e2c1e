/**
 * Drives the state machine of one listener: looks at the files when told, at each interval and when
 * a window ends, one look after the other, and carries out what it decides.
 */
import { messageOf } from '../../core/errors.ts'
import type { Clock } from '../../core/clock.ts'
import type { ProbeResult } from './probe.ts'
import {
  type Candidate,
  type Note,
  type Reading,
  type RotationState,
  RotationStateMachine,
  type StateMachineSettings,
} from './state-machine.ts'

/** The edges; all but `swap` never reject. */
export interface RotationPorts<C extends Candidate> {
  read(): Promise<Reading<C>>
  /** A handshake with the candidate before anyone is served with it; undefined: none is wanted. */
  rehearse(candidate: C): Promise<ProbeResult | undefined>
  /** Puts it in force; when it rejects, nothing has changed. */
  swap(candidate: C): Promise<void>
  /** A handshake with what is served now; undefined: there is nobody to ask. */
  verify(candidate: C, signal: AbortSignal): Promise<ProbeResult | undefined>
  readonly notes: RotationNotes<C>
}

/** What is said about it, in log and metrics. */
export interface RotationNotes<C extends Candidate> {
  note(note: Note<C>): void
  swapped(candidate: C, isFirst: boolean): void
  probed(candidate: C, stage: 'rehearsal' | 'verification', result: ProbeResult): void
  failed(candidate: C, problem: string, retryInMs: number): void
  /** After each look: what is wrong with the files on disk now, if anything. */
  looked(problem: string | undefined): void
}

export class Rotation<C extends Candidate> {
  readonly #machine: RotationStateMachine<C>
  readonly #ports: RotationPorts<C>
  readonly #clock: Clock
  readonly #closed = new AbortController()
  readonly #intervalMs: number
  #stopTicking: () => void = () => undefined
  #stopTimer: () => void = () => undefined
  #verifying = new AbortController()
  #looking: Promise<void> | undefined
  #again = false
  #insist = false
  #inUse: C | undefined

  /** @param inUse what the listener was opened with; undefined: it waits for its first files */
  constructor(
    settings: StateMachineSettings,
    clock: Clock,
    ports: RotationPorts<C>,
    inUse: C | undefined,
  ) {
    this.#machine = new RotationStateMachine(settings)
    this.#ports = ports
    this.#clock = clock
    this.#inUse = inUse
    if (inUse !== undefined) this.#machine.begin(inUse)
    this.#intervalMs = settings.checkIntervalMs
  }

  /** Begins the regular looks with one now. */
  async start(): Promise<void> {
    this.#stopTicking = this.#clock.every(this.#intervalMs, () => void this.look())
    await this.look()
  }

  get state(): RotationState {
    return this.#machine.state
  }

  get inUse(): C | undefined {
    return this.#inUse
  }

  get problem(): string | undefined {
    return this.#machine.problem
  }

  /**
   * Settles when the files as they are now have been looked at. Never rejects.
   *
   * @param insist see RotationStateMachine.look
   */
  look(insist = false): Promise<void> {
    if (this.#closed.signal.aborted) return Promise.resolve()
    this.#again = true
    this.#insist ||= insist
    this.#looking ??= this.#run()
    return this.#looking
  }

  /** Nothing is swapped after this. */
  close(): void {
    this.#closed.abort()
    this.#verifying.abort()
    this.#stopTicking()
    this.#stopTimer()
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed.signal.aborted) {
      this.#again = false
      const insist = this.#insist
      this.#insist = false
      await this.#look(insist)
    }
    // In the same turn as the last look at `again`, so that no call in between is lost.
    this.#looking = undefined
  }

  async #look(insist: boolean): Promise<void> {
    const { notes } = this.#ports
    const reading = await this.#ports.read()
    if (this.#closed.signal.aborted) return
    const outcome = this.#machine.look(reading, this.#clock.monotonic(), insist)
    for (const note of outcome.notes) notes.note(note)
    let { lookInMs } = outcome
    if (outcome.candidate !== undefined) lookInMs = await this.#replace(outcome.candidate)
    notes.looked(this.#machine.problem)
    this.#stopTimer()
    if (lookInMs === undefined || this.#closed.signal.aborted) return
    this.#stopTimer = this.#clock.after(lookInMs, () => void this.look())
  }

  /** @returns milliseconds to the next try, when there is to be one */
  async #replace(candidate: C): Promise<number | undefined> {
    const { notes } = this.#ports
    const rehearsal = await this.#ports.rehearse(candidate)
    if (this.#closed.signal.aborted) return undefined
    if (rehearsal !== undefined) notes.probed(candidate, 'rehearsal', rehearsal)
    if (rehearsal?.ok === false) return this.#failed(candidate, rehearsal.diagnosis)
    const before = this.#inUse
    try {
      await this.#ports.swap(candidate)
    } catch (err) {
      return this.#failed(candidate, messageOf(err))
    }
    this.#inUse = candidate
    this.#machine.swapped(candidate, this.#clock.monotonic())
    notes.swapped(candidate, before === undefined)
    void this.#verify(candidate)
    return undefined
  }

  #failed(candidate: C, problem: string): number {
    const retryInMs = this.#machine.failed(candidate, this.#clock.monotonic(), problem)
    this.#ports.notes.failed(candidate, problem, retryInMs)
    return retryInMs
  }

  /** Beside the looks, not in their way; what it finds is only told. */
  async #verify(candidate: C): Promise<void> {
    this.#verifying.abort()
    const verifying = new AbortController()
    this.#verifying = verifying
    const result = await this.#ports.verify(candidate, verifying.signal)
    // A later swap, or the end, has made the question pointless.
    if (result === undefined || verifying.signal.aborted) return
    this.#ports.notes.probed(candidate, 'verification', result)
  }
}
