/**
 * From notifications to queries. However many come, they cost a few queries a second and the memory
 * of one round: what is named while a round is under way goes into the next one, once each, and what
 * there is no room for makes that a look at everything.
 */
import type { Clock } from '../../core/clock.ts'
import { backoffMs } from '../batch.ts'
import type { Hint } from './hint.ts'
import type { DeviceName } from './records.ts'

/** Devices in one round, which is one query. */
const MAX_NAMES = 500
/** From one round of devices to the next; at least as long as the round took. */
const PAUSE_MS = 100
/** The same of looks at everything: they leave nothing remembered. */
const LONG_PAUSE_MS = 1_000

export interface HintsParts {
  /** Forgets what is remembered of one device, or of all. */
  readonly invalidate: (name?: DeviceName) => void
  /** Either: false when there was no answer, and it should be asked again. Never rejects. */
  readonly look: (names: readonly DeviceName[]) => Promise<boolean>
  readonly lookAtAll: () => Promise<boolean>
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>
  /** 0 to 1. */
  readonly random: () => number
  readonly signal: AbortSignal
}

export class Hints {
  readonly #parts: HintsParts
  readonly #names = new Map<string, DeviceName>()
  #everything = false
  /** A look at everything may have to wait for its turn, and those at devices not for it. */
  readonly #looks: Rounds
  readonly #looksAtAll: Rounds

  constructor(parts: HintsParts) {
    this.#parts = parts
    this.#looks = new Rounds(parts, {
      pauseMs: PAUSE_MS,
      isWanted: () => this.#names.size > 0,
      round: () => this.#look(),
    })
    this.#looksAtAll = new Rounds(parts, {
      pauseMs: LONG_PAUSE_MS,
      isWanted: () => this.#everything,
      round: () => this.#lookAtAll(),
    })
  }

  /** Never throws; memory only. A device already waiting costs nothing more. */
  take(hint: Hint): void {
    if (hint === 'everything') this.#takeAll()
    else this.#take(hint)
  }

  #take(name: DeviceName): void {
    const key = `${name.tenantId}/${name.deviceId}`
    if (this.#names.size >= MAX_NAMES && !this.#names.has(key)) return this.#takeAll()
    this.#names.set(key, name)
    this.#looks.begin()
  }

  #takeAll(): void {
    this.#everything = true
    this.#looksAtAll.begin()
  }

  async #look(): Promise<boolean> {
    const names = [...this.#names.values()]
    this.#names.clear()
    for (const name of names) this.#parts.invalidate(name)
    const isAnswered = await this.#parts.look(names)
    if (!isAnswered) for (const name of names) this.#take(name)
    return isAnswered
  }

  async #lookAtAll(): Promise<boolean> {
    this.#everything = false
    this.#parts.invalidate()
    const isAnswered = await this.#parts.lookAtAll()
    this.#everything ||= !isAnswered
    return isAnswered
  }
}

interface RoundsParts {
  readonly pauseMs: number
  /** Asked before each round. */
  readonly isWanted: () => boolean
  /** False: there was no answer. Never rejects. */
  readonly round: () => Promise<boolean>
}

/** Rounds one after the other, with a pause after each, as long as they are wanted. */
class Rounds {
  readonly #around: Pick<HintsParts, 'clock' | 'random' | 'signal'>
  readonly #parts: RoundsParts
  #isRunning = false

  constructor(around: Pick<HintsParts, 'clock' | 'random' | 'signal'>, parts: RoundsParts) {
    this.#around = around
    this.#parts = parts
  }

  begin(): void {
    if (this.#isRunning || this.#around.signal.aborted) return
    this.#isRunning = true
    void this.#run()
  }

  async #run(): Promise<void> {
    const { clock, random, signal } = this.#around
    const { pauseMs, isWanted, round } = this.#parts
    // What arrived in the same packet is one round.
    await Promise.resolve()
    for (let failures = 0; isWanted() && !signal.aborted; ) {
      const began = clock.monotonic()
      const isAnswered = await round()
      failures = isAnswered ? 0 : failures + 1
      await clock.sleep(
        isAnswered
          ? Math.max(pauseMs, clock.monotonic() - began)
          : backoffMs(failures - 1, random()),
        signal,
      )
    }
    this.#isRunning = false
  }
}
