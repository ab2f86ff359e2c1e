import { ConfigError, ConfigErrors, MAX_ERRORS } from './errors.ts'
import type { ConfigWarning, Place } from './types.ts'

/**
 * What one load found wrong or worth a look. It is found in several passes, and told in the order
 * of the lines, what belongs to no line of its file first.
 */
export class Problems {
  readonly #errors: ConfigError[] = []
  readonly #warnings: ConfigWarning[] = []

  error(place: Place, problem: string): void {
    if (!this.isFull) this.#errors.push(new ConfigError(place, problem))
  }

  warn(place: Place, problem: string): void {
    if (this.#warnings.length < MAX_ERRORS) this.#warnings.push({ place, problem })
  }

  get warnings(): readonly ConfigWarning[] {
    return inOrder(this.#warnings)
  }

  get isFull(): boolean {
    return this.#errors.length >= MAX_ERRORS
  }

  /** @throws ConfigErrors when there is any */
  throwIfAny(): void {
    if (this.#errors.length > 0) throw new ConfigErrors(inOrder(this.#errors))
  }
}

/** Files stay in the order in which something was found in them. */
function inOrder<T extends { readonly place: Place }>(found: readonly T[]): readonly T[] {
  const files = new Map<string, number>()
  for (const { place } of found) {
    if (!files.has(place.file)) files.set(place.file, files.size)
  }
  const rank = ({ place }: T): number => files.get(place.file) ?? 0
  return found.toSorted((a, b) => rank(a) - rank(b) || (a.place.line ?? 0) - (b.place.line ?? 0))
}

/** The place of a variable: it has no line. */
export const ENVIRONMENT: Place = { file: 'environment', line: undefined }
export const COMMAND_LINE: Place = { file: 'command line', line: undefined }
