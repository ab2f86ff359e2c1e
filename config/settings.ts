/**
 * Every setting of our own: its environment variable, its directive, its default and unit, and what
 * it means. docs/configuration.md shows the same table, and a test compares the two.
 */
import { DATABASE, GENERAL } from './settings/general.ts'
import { INGEST } from './settings/ingest.ts'
import { LIMITS } from './settings/limits.ts'
import { PLATFORM } from './settings/platform.ts'
import { ROTATION } from './settings/rotation.ts'
import type { Setting } from './settings/setting.ts'

export const SETTING_GROUPS: readonly {
  readonly title: string
  readonly settings: readonly Setting<unknown>[]
}[] = [
  { title: 'The process and its policies', settings: Object.values(GENERAL) },
  { title: 'Database', settings: Object.values(DATABASE) },
  { title: 'Ingest', settings: Object.values(INGEST) },
  { title: 'Limits', settings: Object.values(LIMITS) },
  { title: 'Rotation of certificates', settings: Object.values(ROTATION) },
  { title: 'The platform', settings: Object.values(PLATFORM) },
]

export const SETTINGS: readonly Setting<unknown>[] = SETTING_GROUPS.flatMap(
  ({ settings }) => settings,
)

const BY_DIRECTIVE = new Map(SETTINGS.map((setting) => [setting.directive, setting]))

/** By its directive name. */
export function settingNamed(directive: string): Setting<unknown> | undefined {
  return BY_DIRECTIVE.get(directive)
}
