/** Asking until there is an answer: while it is missing, nothing may be decided. */
import type { Clock } from '../../core/clock.ts'
import { backoffMs } from '../batch.ts'
import { IngestStopped } from '../errors.ts'
import { faultOf, type Fault } from '../sqlstate.ts'

export interface Persistence {
  readonly clock: Pick<Clock, 'sleep'>
  /** 0 to 1. */
  readonly random: () => number
  readonly signal: AbortSignal
  /** After each attempt that gave no answer; may look again at what the tables are like. */
  failed(cause: unknown, fault: Exclude<Fault, 'rejected'>): Promise<void> | void
  answered(): void
}

/**
 * Settles with the first answer. Between attempts it waits 100 ms doubling to 5 s.
 *
 * @throws IngestStopped when the signal aborts; and at once, what says that the question itself is at
 *   fault (a value that PostgreSQL does not take)
 */
export async function untilAnswered<T>(
  attempt: () => Promise<T>,
  { clock, random, signal, failed, answered }: Persistence,
): Promise<T> {
  for (let attempts = 0; ; attempts++) {
    if (signal.aborted) throw new IngestStopped()
    try {
      const answer = await attempt()
      answered()
      return answer
    } catch (cause) {
      const fault = faultOf(cause)
      if (fault === 'rejected') throw cause
      await failed(cause, fault)
    }
    await clock.sleep(backoffMs(attempts, random()), signal)
  }
}
