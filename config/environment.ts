/**
 * Settings as given: the environment wins over the configuration file, and that over the default.
 * An empty variable is an unset one (compose files write `${X:-}`).
 */
import { shown } from './lines.ts'
import { ENVIRONMENT } from './problems.ts'
import type { Problems } from './problems.ts'
import { SETTINGS } from './settings.ts'
import { NEWCOMER_ONLY } from './settings/general.ts'
import type { Setting } from './settings/setting.ts'
import type { Place } from './types.ts'

/** As `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

type Directives = ReadonlyMap<string, { readonly text: string; readonly place: Place }>

export class SettingValues {
  readonly #environment: Environment
  readonly #directives: Directives
  readonly #problems: Problems
  /** A setting is asked for more than once; what is wrong with it is said once. */
  readonly #refused = new Set<string>()

  constructor(environment: Environment, directives: Directives, problems: Problems) {
    this.#environment = environment
    this.#directives = directives
    this.#problems = problems
  }

  /**
   * @param otherwise what a directive of Mosquitto says, if it was given
   * A value that is none is a problem, and the default stands in for it.
   */
  of<T>(setting: Setting<T>, otherwise?: T): T {
    return this.given(setting) ?? otherwise ?? setting.default
  }

  /** Undefined when neither the environment nor a directive of ours has it, or it is none. */
  given<T>(setting: Setting<T>): T | undefined {
    const variable = this.#variable(setting.variable)
    if (variable !== undefined) {
      const value = setting.parse(variable)
      if (value === undefined && this.#isFirst(setting)) this.#refuseVariable(setting, variable)
      return value
    }
    const directive = this.#directives.get(setting.directive ?? '')
    if (directive === undefined) return undefined
    const value = setting.parse(directive.text)
    if (value === undefined && this.#isFirst(setting)) {
      const found = setting.secret ? '' : ` (${shown(directive.text)})`
      this.#problems.error(
        directive.place,
        `Invalid '${setting.directive}' value${found}: expected ${setting.expected}.`,
      )
    }
    return value
  }

  /** Every setting that may be given, whether or not anything asks for it. */
  checkAll(withFile: boolean): void {
    for (const setting of SETTINGS) {
      if (!withFile || !NEWCOMER_ONLY.has(setting.variable)) this.given(setting)
    }
  }

  #isFirst({ variable }: Setting<unknown>): boolean {
    const first = !this.#refused.has(variable)
    this.#refused.add(variable)
    return first
  }

  #variable(name: string): string | undefined {
    const text = Object.hasOwn(this.#environment, name) ? this.#environment[name] : undefined
    return text === '' ? undefined : text
  }

  #refuseVariable({ variable, expected, secret }: Setting<unknown>, text: string): void {
    const found = secret ? 'has a value (not shown)' : `is "${shown(text)}"`
    const hint = SERVICE_ADDRESS.test(text) ? SERVICE_LINK : ''
    this.#problems.error(ENVIRONMENT, `${variable} ${found}, expected ${expected}.${hint}`)
  }
}

const SERVICE_LINK =
  ' Kubernetes sets it for a Service of that name: rename the Service, or set enableServiceLinks: false.'

const KNOWN: ReadonlySet<string> = new Set(SETTINGS.map(({ variable }) => variable))
/** Passphrases of `midge pki`, read where they are used. */
const OF_COMMANDS: ReadonlySet<string> = new Set([
  'MIDGE_CA_PASSPHRASE',
  'MIDGE_CA_PASSPHRASE_FILE',
  'MIDGE_P12_PASSPHRASE',
])
// A Service called midge makes Kubernetes set MIDGE_SERVICE_HOST, MIDGE_PORT_1883_TCP and so on.
const SERVICE_VARIABLE = /_SERVICE_(HOST|PORT)(_|$)|_PORT_[0-9]+_(TCP|UDP)(_|$)/u
const SERVICE_ADDRESS = /^(tcp|udp):\/\//u

/**
 * Warns of `MIDGE_…` names that are no setting: a policy misspelt is a policy not in force. Other
 * names are not ours to judge.
 *
 * @param withFile a configuration file says what the settings of the newcomer's start would
 */
export function warnOfVariables(
  environment: Environment,
  withFile: boolean,
  problems: Problems,
): void {
  for (const name of Object.keys(environment).sort()) {
    if (!name.startsWith('MIDGE_') || environment[name] === '') continue
    if (OF_COMMANDS.has(name)) continue
    if (!KNOWN.has(name)) {
      if (SERVICE_VARIABLE.test(name) || SERVICE_ADDRESS.test(environment[name] ?? '')) continue
      problems.warn(ENVIRONMENT, `${shown(name)} is not a setting and has no effect.`)
    } else if (withFile && NEWCOMER_ONLY.has(name)) {
      problems.warn(ENVIRONMENT, `${name} has no effect with -c or -p.`)
    }
  }
}
