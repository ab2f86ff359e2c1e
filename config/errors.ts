import { OperationalError } from '../core/errors.ts'
import type { Place } from './types.ts'

/** A parser stops looking for more after this many: a binary file has one on every line. */
export const MAX_ERRORS = 100

/** `file:line`, or the file alone. */
export function placeText(place: Place): string {
  return place.line === undefined ? place.file : `${place.file}:${place.line}`
}

/** One thing wrong at one place: `file:line: problem`. */
export class ConfigError extends OperationalError {
  readonly place: Place

  constructor(place: Place, problem: string, options?: ErrorOptions) {
    super('CONFIG_INVALID', `${placeText(place)}: ${problem}`, options)
    this.place = place
  }
}

/** Everything a load found wrong, one line each; nothing of the load is applied. */
export class ConfigErrors extends OperationalError {
  readonly errors: readonly ConfigError[]

  constructor(errors: readonly ConfigError[]) {
    super('CONFIG_REFUSED', errors.map((error) => error.message).join('\n'))
    this.errors = Object.freeze([...errors])
  }
}
