/**
 * Plugins are machine code for Mosquitto and cannot be loaded. Two of them only hold what used to
 * be built in; they are known by file name, in any folder and with any ending, and served by the
 * same code as `password_file` and `acl_file`.
 */
import type { PluginBlock } from './blocks.ts'
import { shown } from './lines.ts'
import type { Problems } from './problems.ts'
import { duplicate } from './values.ts'

/** Plugin to the directive that means the same, and the option that holds its file. */
const BUILT_IN: ReadonlyMap<string, string> = new Map([
  ['mosquitto_password_file', 'password_file'],
  ['mosquitto_acl_file', 'acl_file'],
])

const NOT_BUILT_IN: ReadonlyMap<string, string> = new Map([
  ['mosquitto_dynamic_security', 'use password_file and acl_file'],
  ['mosquitto_persist_sqlite', 'sessions, queued and retained messages live in memory for now'],
  ['mosquitto_sparkplug_aware', 'Sparkplug births are ordinary messages here'],
])

/** Puts the files of built-in plugins into the security settings they serve; refuses the others. */
export function resolvePlugins(plugins: readonly PluginBlock[], problems: Problems): void {
  for (const plugin of plugins) {
    const name = nameOf(plugin.path)
    const key = BUILT_IN.get(name)
    if (key === undefined) refuse(plugin, name, problems)
    else serve(plugin, name, key, problems)
  }
}

function nameOf(path: string): string {
  const file = path.split(/[/\\]/u).at(-1) ?? ''
  const dot = file.indexOf('.')
  return dot === -1 ? file : file.slice(0, dot)
}

function refuse({ path, options }: PluginBlock, name: string, problems: Problems): void {
  const hint = NOT_BUILT_IN.get(name)
  problems.error(
    options.place,
    hint === undefined
      ? `Plugin '${shown(path)}' cannot be loaded: plugins are machine code for Mosquitto, and without it its checks would be missing.`
      : `Plugin '${shown(path)}' is not supported yet: ${hint}.`,
  )
}

function serve(
  { options, scopes }: PluginBlock,
  name: string,
  key: string,
  problems: Problems,
): void {
  const given = options.each(key).at(-1)
  if (given === undefined) {
    return problems.error(options.place, `Plugin '${name}' needs plugin_opt_${key}.`)
  }
  for (const scope of scopes) {
    if (scope.has(key)) problems.error(given.place, duplicate(key))
    else scope.add(key, given)
  }
}
