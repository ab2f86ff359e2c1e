import { isLive } from './live.ts'
import type { Config } from './types.ts'

export interface Change {
  /** Such as `listener 8883: tls.crlfile`, or `limits.maxSessions`. */
  readonly setting: string
  /** JSON, or `(not shown)` for a secret; undefined: absent. */
  readonly from: string | undefined
  readonly to: string | undefined
}

export interface Difference {
  /** Applied by a reload. */
  readonly live: readonly Change[]
  /** Not in force before a restart; see `withLivePart`. */
  readonly restart: readonly Change[]
}

const SECRET = /(password|connectionString)$/u

/** What changed between two Configs, each change once, in the order of the fields. */
export function difference(before: Config, after: Config): Difference {
  const old = flattened(before, after)
  const now = flattened(after, before)
  const live: Change[] = []
  const restart: Change[] = []
  for (const setting of new Set([...old.keys(), ...now.keys()])) {
    const [from, to] = [old.get(setting), now.get(setting)]
    if (from === to) continue
    const change = SECRET.test(setting)
      ? { setting, from: hidden(from), to: hidden(to) }
      : { setting, from, to }
    const isNow = isFileOfPsk(setting, old, now) || isLive(kindOf(setting), before, after)
    ;(isNow ? live : restart).push(change)
  }
  return { live, restart }
}

const kindOf = (setting: string): string => setting.replace(/^listener .+?: /u, 'listener: ')

/** Live where the listener asks for pre-shared keys before and after: `psk_hint` opens its port so. */
function isFileOfPsk(
  setting: string,
  old: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): boolean {
  if (kindOf(setting) !== 'listener: psk.file') return false
  const hint = setting.replace(/file$/u, 'hint')
  return old.has(hint) && now.has(hint)
}

const hidden = (value: string | undefined): string | undefined =>
  value === undefined ? undefined : '(not shown)'

/**
 * Every field by its path. A listener is found by its name, wherever it stands in the list; one
 * that the other Config lacks is a single entry.
 */
function flattened({ listeners, ...rest }: Config, other: Config): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  flatten('', rest, fields)
  const shared = new Set(other.listeners.map(({ name }) => name))
  for (const { name, ...listener } of listeners) {
    fields.set(`listener ${name}`, 'open')
    if (shared.has(name)) flatten(`listener ${name}: `, listener, fields)
  }
  return fields
}

function flatten(prefix: string, value: object, fields: Map<string, string>): void {
  for (const [key, field] of Object.entries(value)) {
    const path = `${prefix}${key}`
    if (typeof field === 'object' && field !== null && !Array.isArray(field)) {
      flatten(`${path}.`, field, fields)
    } else if (field !== undefined) {
      fields.set(path, JSON.stringify(field))
    }
  }
}
