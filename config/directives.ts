/**
 * Every directive of mosquitto.conf: what it takes, which block it belongs to, and whether it is
 * honoured, ignored with a warning, refused, or not supported yet. docs/mosquitto.md shows the same
 * table, and a test compares the two.
 */
import { boolean, integer, text, words } from './values.ts'
import { BRIDGE } from './directives/bridge.ts'
import { directive, HONOURED } from './directives/directive.ts'
import type { Directive } from './directives/directive.ts'
import { GLOBAL } from './directives/global.ts'
import { LISTENER, SECURITY } from './directives/listener.ts'
import { PLUGIN } from './directives/plugin.ts'
import { TLS } from './directives/tls.ts'

/** Lines that open a listener, or change how the lines after them are read. */
const STRUCTURE: readonly Directive[] = [
  directive('include_dir', 'opening', text(), HONOURED, { repeat: 'each' }),
  directive('per_listener_settings', 'opening', boolean, HONOURED, { reload: 'yes' }),
  directive('listener', 'opening', words, HONOURED, { label: 'listener port', repeat: 'each' }),
  directive('listener 0', 'opening', text(), HONOURED),
  directive('port', 'opening', integer({ min: 1, max: 65_535 }), HONOURED),
  directive('bind_address', 'opening', text(), HONOURED, {
    label: 'default listener bind_address',
  }),
]

export const DIRECTIVES: readonly Directive[] = [
  ...STRUCTURE,
  ...GLOBAL,
  ...SECURITY,
  ...LISTENER,
  ...TLS,
  ...BRIDGE,
  ...PLUGIN,
]

const BY_NAME = new Map(DIRECTIVES.map((directive) => [directive.name, directive]))
const OPTION_PREFIXES = ['plugin_opt_', 'auth_opt_']

/** Undefined: not a directive of Mosquitto. An option of a plugin is found by its prefix. */
export function directiveNamed(name: string): Directive | undefined {
  const prefix = OPTION_PREFIXES.find((prefix) => name.startsWith(prefix))
  return BY_NAME.get(prefix ?? name)
}
