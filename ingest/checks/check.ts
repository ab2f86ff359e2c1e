import type { Message } from '../decode.ts'
import type { Reason } from '../reasons.ts'

/**
 * One question asked of every message: undefined lets it pass, a Reason sends it to the quarantine.
 *
 * Answers at once whenever memory holds the answer; a promise only when it must be fetched, and then
 * the check itself waits out an absent database. The message keeps its place meanwhile. What a check
 * throws becomes INGEST_EXCEPTION, so it throws for bugs only.
 */
export type Check = (message: Message) => Reason | undefined | Promise<Reason | undefined>

/** Asks in order; the first Reason decides. A promise only when a check gave one. */
export function runChecks(
  checks: readonly Check[],
  message: Message,
  from = 0,
): Reason | undefined | Promise<Reason | undefined> {
  for (let i = from; i < checks.length; i++) {
    const answer = checks[i]?.(message)
    if (typeof answer === 'string') return answer
    if (answer !== undefined) {
      return answer.then((reason) => reason ?? runChecks(checks, message, i + 1))
    }
  }
  return undefined
}
