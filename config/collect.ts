/**
 * Lines to blocks. The order of lines matters: `listener` (or `port`), `connection` and `plugin`
 * open a block, and the directives after them belong to the one opened last in the same file.
 * A line that opens a block with a bad value opens it all the same, so that its own directives do
 * not become errors too.
 */
import { Block } from './blocks.ts'
import type { Blocks, BridgeBlock, ListenerBlock, PluginBlock } from './blocks.ts'
import { PluginLines } from './collect-plugins.ts'
import { directiveNamed } from './directives.ts'
import { spelled } from './directives/directive.ts'
import type { Directive } from './directives/directive.ts'
import { shown } from './lines.ts'
import type { ConfLine } from './mosquitto-conf.ts'
import type { Problems } from './problems.ts'
import { settingNamed } from './settings.ts'
import type { Place } from './types.ts'
import { duplicate, empty, integer, invalid, requires, text, wordsOf } from './values.ts'
import type { Value } from './values.ts'

/** What is open in one file. */
interface Open {
  listener?: ListenerBlock | undefined
  bridge?: BridgeBlock | undefined
  plugin?: PluginBlock | undefined
}

/** @param file the main file, for what is wrong with none of its lines in particular */
export function collect(file: string, lines: readonly ConfLine[], problems: Problems): Blocks {
  const collector = new Collector({ file, line: undefined }, problems)
  for (const line of lines) {
    if (problems.isFull) break
    collector.take(line)
  }
  return collector.blocks
}

const PORT = integer({ min: 0, max: 65_535, outside: (_label, port) => invalid('port', port) })
const LATE = 'per_listener_settings must be set before any other security settings.'
const NO_PATH = 'A listener with port 0 must provide a Unix socket path.'

class Collector {
  readonly #problems: Problems
  readonly #global: Block
  readonly #security: Block
  readonly #listeners: ListenerBlock[] = []
  readonly #bridges: BridgeBlock[] = []
  readonly #plugins: PluginLines
  readonly #settings = new Map<string, { text: string; place: Place }>()
  readonly #open = new Map<number, Open>()
  readonly #warned = new Set<string>()
  #default: ListenerBlock | undefined
  #perListener = false
  #securityGiven = false
  #localOnly = true

  constructor(main: Place, problems: Problems) {
    this.#problems = problems
    this.#global = new Block(main)
    this.#security = new Block(main)
    this.#plugins = new PluginLines(problems)
  }

  get blocks(): Blocks {
    return {
      global: this.#global,
      security: this.#security,
      listeners: this.#listeners,
      bridges: this.#bridges,
      plugins: this.#plugins.blocks,
      settings: this.#settings,
      perListener: this.#perListener,
      localOnly: this.#localOnly,
    }
  }

  take(line: ConfLine): void {
    if (line.name.startsWith('midge_')) return this.#setting(line)
    const directive = directiveNamed(line.name)
    if (directive === undefined) return this.#unknown(line.name, line.place)
    const open = this.#openIn(line)
    switch (directive.block) {
      case 'opening':
        return this.#opening(line, directive, open)
      case 'global':
        return this.#keep(line, directive, this.#global)
      case 'security':
        return this.#inSecurity(line, directive, open)
      case 'listener':
      case 'own listener':
        if (open.listener === undefined) return this.#requires(line, 'a listener')
        if (directive.block === 'own listener' && open.listener.opening === undefined) {
          return this.#requires(line, 'a listener')
        }
        return this.#keep(line, directive, open.listener.settings)
      case 'listener or default':
        open.listener ??= this.#defaultListener(line)
        return this.#keep(line, directive, open.listener.settings)
      case 'bridge':
        if (open.bridge === undefined) return this.#requires(line, 'a bridge')
        return this.#keep(line, directive, open.bridge.settings)
      case 'plugin':
        return this.#inPlugin(line, directive, open)
    }
  }

  #openIn({ opened }: ConfLine): Open {
    const known = this.#open.get(opened)
    if (known !== undefined) return known
    const open: Open = {}
    this.#open.set(opened, open)
    return open
  }

  #unknown(name: string, place: Place): void {
    this.#problems.error(place, `Unknown configuration variable '${shown(name)}'.`)
  }

  #requires({ name, place }: ConfLine, what: string): void {
    this.#problems.error(place, requires(name, what))
  }

  #setting({ name, rest, malformed, place }: ConfLine): void {
    if (settingNamed(name) === undefined) return this.#unknown(name, place)
    if (this.#settings.has(name)) return this.#problems.error(place, duplicate(name))
    const parsed = text().parse(name, { rest, malformed })
    if ('problem' in parsed) return this.#problems.error(place, parsed.problem)
    this.#settings.set(name, { text: spelled(parsed.value), place })
  }

  #parse(line: ConfLine, directive: Directive, label = directive.label): Value | undefined {
    const parsed = directive.value.parse(label, line)
    if ('value' in parsed) return parsed.value
    this.#problems.error(line.place, parsed.problem)
    return undefined
  }

  #keep(line: ConfLine, directive: Directive, block: Block, key = directive.key): void {
    const value = this.#parse(line, directive, key === directive.key ? directive.label : key)
    if (value === undefined) return
    if (directive.repeat === 'error' && block.has(key)) {
      return this.#problems.error(line.place, duplicate(directive.label))
    }
    block.add(key, { name: line.name, value, place: line.place })
    this.#judge(line, directive, value)
  }

  #judge({ name, place }: ConfLine, { status, neutral }: Directive, value: Value): void {
    if (neutral.includes(spelled(value))) return
    if (status.is === 'pending') {
      this.#problems.error(place, `The '${name}' option is not supported yet.`)
    } else if (status.is === 'refused') {
      this.#problems.error(place, `The '${name}' option is refused: ${status.because}.`)
    } else if (status.is === 'ignored' && !this.#warned.has(name)) {
      this.#warned.add(name)
      this.#problems.warn(place, `The '${name}' option is ignored: ${status.because}.`)
    }
  }

  #inSecurity(line: ConfLine, directive: Directive, open: Open): void {
    const block = this.#securityOf(line, open)
    if (block !== undefined) this.#keep(line, directive, block)
  }

  /** Where security settings of this line go; undefined, and an error, before the first listener. */
  #securityOf(line: ConfLine, open: Open): Block | undefined {
    this.#securityGiven = true
    if (!this.#perListener) return this.#security
    if (open.listener === undefined) this.#requires(line, 'a listener')
    return open.listener?.security
  }

  #inPlugin(line: ConfLine, directive: Directive, open: Open): void {
    const { name, place } = line
    const isOption = directive.name.endsWith('_opt_')
    if (open.plugin === undefined) {
      return this.#requires(line, 'plugin/global_plugin/plugin_load')
    }
    if (!isOption) return this.#keep(line, directive, open.plugin.options)
    const key = name.slice(directive.name.length)
    if (key === '') return this.#problems.error(place, "Invalid 'plugin_opt_' config option.")
    this.#keep(line, directive, open.plugin.options, key)
  }

  #opening(line: ConfLine, directive: Directive, open: Open): void {
    switch (directive.name) {
      case 'per_listener_settings':
        return this.#perListenerSettings(line, directive)
      case 'listener':
        return this.#listener(line, open)
      case 'port':
      case 'bind_address':
        return this.#defaultDirective(line, directive, open)
      case 'connection':
        return this.#connection(line, open)
      case 'plugin_use':
        open.plugin = this.#plugins.use(line, open.listener)
        return
      default:
        this.#securityGiven ||= line.name !== 'plugin_load'
        open.plugin = this.#plugins.open(line, () =>
          line.name === 'global_plugin' ? this.#security : this.#securityOf(line, open),
        )
    }
  }

  #perListenerSettings(line: ConfLine, directive: Directive): void {
    // Once on it stays on, as in Mosquitto: what came before was sorted by it.
    if (this.#perListener) return
    const value = this.#parse(line, directive)
    if (value?.kind !== 'boolean' || !value.boolean) return
    if (this.#securityGiven) return this.#problems.error(line.place, LATE)
    this.#perListener = true
  }

  #listener(line: ConfLine, open: Open): void {
    this.#localOnly = false
    const { rest, place } = line
    const parsed = PORT.parse('listener port', line)
    const second = wordsOf(rest)[1]
    const address = second?.startsWith('#') === true ? undefined : second
    const port = 'value' in parsed && parsed.value.kind === 'integer' ? parsed.value.integer : 0
    const settings = new Block(place)
    open.listener = { opening: { port, address }, settings, security: new Block(place) }
    if ('problem' in parsed) return this.#problems.error(place, parsed.problem)
    if (port === 0 && address === undefined) return this.#problems.error(place, NO_PATH)
    this.#listeners.push(open.listener)
  }

  #defaultListener({ name, place }: ConfLine): ListenerBlock {
    if (this.#default !== undefined) return this.#default
    this.#default = { opening: undefined, settings: new Block(place), security: new Block(place) }
    this.#listeners.push(this.#default)
    if (name !== 'port' && name !== 'bind_address') {
      this.#problems.warn(place, `Creating default listener due to '${name}' option.`)
    }
    return this.#default
  }

  #defaultDirective(line: ConfLine, directive: Directive, open: Open): void {
    this.#localOnly = false
    const listener = this.#defaultListener(line)
    open.listener = listener
    if (line.name === 'port' && listener.settings.has('port')) {
      this.#problems.warn(
        line.place,
        'Default listener port specified multiple times. Only the latest will be used.',
      )
    }
    this.#keep(line, directive, listener.settings)
    // A bad port must not read as 1883, and so be taken.
    if (line.name === 'port' && !listener.settings.has('port')) this.#drop(listener)
  }

  #drop(listener: ListenerBlock): void {
    const index = this.#listeners.indexOf(listener)
    if (index !== -1) this.#listeners.splice(index, 1)
  }

  #connection(line: ConfLine, open: Open): void {
    const name = wordsOf(line.rest)[0] ?? ''
    open.bridge = { name, settings: new Block(line.place) }
    if (name === '') return this.#problems.error(line.place, empty('connection'))
    if (this.#bridges.some((bridge) => bridge.name === name)) {
      return this.#problems.error(line.place, `Duplicate bridge name '${shown(name)}'.`)
    }
    this.#bridges.push(open.bridge)
  }
}
