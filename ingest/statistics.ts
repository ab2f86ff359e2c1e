import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'

/**
 * One line of numbers every so many seconds, for whoever has logs and no metrics.
 *
 * @param everySeconds 0: never
 * @returns ends it
 */
export function logStatistics(
  everySeconds: number,
  read: () => object,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): () => void {
  if (everySeconds <= 0) return () => undefined
  return clock.every(everySeconds * 1000, () => {
    log.info({ event: 'ingest.statistics', ...read() }, 'statistics')
  })
}
