import { Block } from './blocks.ts'
import type { ListenerBlock, PluginBlock } from './blocks.ts'
import { shown, trimBlanks } from './lines.ts'
import type { ConfLine } from './mosquitto-conf.ts'
import type { Problems } from './problems.ts'
import { empty, requires, wordsOf } from './values.ts'

/**
 * Lines that open a plugin: `plugin`, `auth_plugin` and `global_plugin` load and use it at once,
 * `plugin_load` gives it a name and `plugin_use` says where it serves.
 */
export class PluginLines {
  readonly #problems: Problems
  readonly #blocks: PluginBlock[] = []
  readonly #loaded = new Map<string, PluginBlock>()

  constructor(problems: Problems) {
    this.#problems = problems
  }

  get blocks(): readonly PluginBlock[] {
    return this.#blocks
  }

  /**
   * The block is open even when the line is wrong: its options are no errors then.
   *
   * @param scope the security settings it serves; undefined when that was an error
   */
  open(line: ConfLine, scope: () => Block | undefined): PluginBlock {
    const { name, rest, place } = line
    const [first = '', ...others] = wordsOf(rest)
    const isLoad = name === 'plugin_load'
    const path = isLoad ? others.join(' ') : first
    const block: PluginBlock = { path, options: new Block(place), scopes: [] }
    if (path === '') {
      this.#problems.error(place, empty(name))
    } else if (isLoad) {
      this.#load(first, block)
    } else {
      const served = scope()
      if (served === undefined) return block
      block.scopes.push(served)
      this.#blocks.push(block)
    }
    return block
  }

  #load(name: string, block: PluginBlock): void {
    if (this.#loaded.has(name)) {
      this.#problems.error(block.options.place, `Duplicate plugin name '${shown(name)}'.`)
      return
    }
    this.#loaded.set(name, block)
    this.#blocks.push(block)
  }

  /** Undefined, and an error, before the first listener or for a name that was not loaded. */
  use(line: ConfLine, listener: ListenerBlock | undefined): PluginBlock | undefined {
    const name = trimBlanks(line.rest)
    const plugin = this.#loaded.get(name)
    if (listener?.opening === undefined) {
      this.#problems.error(line.place, requires('plugin_use', 'a listener'))
    } else if (name === '') {
      this.#problems.error(line.place, empty('plugin_use'))
    } else if (plugin === undefined) {
      this.#problems.error(line.place, `Plugin '${shown(name)}' not previously loaded.`)
    } else {
      plugin.scopes.push(listener.security)
      return plugin
    }
    return undefined
  }
}
