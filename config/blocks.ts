import type { Place } from './types.ts'
import type { Value } from './values.ts'

/** One directive of a block, as it was given. */
export interface Given {
  readonly name: string
  readonly value: Value
  readonly place: Place
}

/** The directives of one block, by key. Asking for the wrong kind of value is a bug and throws. */
export class Block {
  /** The line that opened the block; the file itself for what belongs to no block. */
  readonly place: Place
  readonly #given = new Map<string, Given[]>()

  constructor(place: Place) {
    this.place = place
  }

  add(key: string, given: Given): void {
    const earlier = this.#given.get(key)
    if (earlier === undefined) this.#given.set(key, [given])
    else earlier.push(given)
  }

  /** In the order of the lines. */
  each(key: string): readonly Given[] {
    return this.#given.get(key) ?? []
  }

  has(key: string): boolean {
    return this.#given.has(key)
  }

  /** The last line that gave it, or the line that opened the block. */
  placeOf(key: string): Place {
    return this.each(key).at(-1)?.place ?? this.place
  }

  text(key: string): string | undefined {
    const value = this.#last(key)
    if (value === undefined) return undefined
    if (value.kind !== 'text') throw new TypeError(`${key} is no text`)
    return value.text
  }

  boolean(key: string): boolean | undefined {
    const value = this.#last(key)
    if (value === undefined) return undefined
    if (value.kind !== 'boolean') throw new TypeError(`${key} is no boolean`)
    return value.boolean
  }

  integer(key: string): number | undefined {
    const value = this.#last(key)
    if (value === undefined) return undefined
    if (value.kind !== 'integer') throw new TypeError(`${key} is no integer`)
    return value.integer
  }

  /** The words of one line. */
  words(key: string): readonly string[] | undefined {
    const value = this.#last(key)
    if (value === undefined) return undefined
    if (value.kind !== 'words') throw new TypeError(`${key} is no list of words`)
    return value.words
  }

  /** The texts of a directive that counts each time it is given. */
  texts(key: string): readonly string[] {
    return this.each(key).map(({ value }) => {
      if (value.kind !== 'text') throw new TypeError(`${key} is no text`)
      return value.text
    })
  }

  #last(key: string): Value | undefined {
    return this.each(key).at(-1)?.value
  }
}

export interface ListenerBlock {
  /** Undefined: the default listener, whose port and address are directives of their own. */
  readonly opening: { readonly port: number; readonly address: string | undefined } | undefined
  readonly settings: Block
  /** Filled by `per_listener_settings true` and by plugins used here only. */
  readonly security: Block
}

export interface BridgeBlock {
  readonly name: string
  readonly settings: Block
}

export interface PluginBlock {
  readonly path: string
  readonly options: Block
  /** The security settings it serves. */
  readonly scopes: Block[]
}

/** A whole mosquitto.conf, sorted into blocks; nothing across blocks was checked yet. */
export interface Blocks {
  readonly global: Block
  /** Security settings of the whole broker. */
  readonly security: Block
  readonly listeners: readonly ListenerBlock[]
  readonly bridges: readonly BridgeBlock[]
  readonly plugins: readonly PluginBlock[]
  /** `midge_*` directives: our own settings. */
  readonly settings: ReadonlyMap<string, { readonly text: string; readonly place: Place }>
  readonly perListener: boolean
  /** No `listener`, `port` or `bind_address` anywhere. */
  readonly localOnly: boolean
}
