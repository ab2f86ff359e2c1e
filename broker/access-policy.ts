/** The access rules of one listener, replaced as a whole by a reload. */
import type { AccessRules } from './access/index.ts'

export class AccessPolicy {
  #rules: AccessRules
  #version = 0

  constructor(rules: AccessRules) {
    this.#rules = rules
  }

  get rules(): AccessRules {
    return this.#rules
  }

  /** Grows with each replacement: what was decided under an older one is asked again. */
  get version(): number {
    return this.#version
  }

  replace(rules: AccessRules): void {
    this.#rules = rules
    this.#version++
  }
}
