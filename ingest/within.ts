import type { Clock } from '../core/clock.ts'

/** Settles with `work`, or after `ms`; rejects as `work` does. */
export async function within(
  ms: number,
  work: Promise<unknown>,
  clock: Pick<Clock, 'sleep'>,
): Promise<void> {
  const over = new AbortController()
  try {
    await Promise.race([work, clock.sleep(ms, over.signal)])
  } finally {
    over.abort()
  }
}
