import type { Log } from '../../core/log.ts'
import type { Database } from '../database.ts'
import { KEYS, settingsOf, type SettingDefaults, type Settings } from './settings.ts'

/**
 * The settings in force, as fields that change under those who read them. Who keeps this object reads
 * the latest; nobody may keep a field.
 */
export class LiveSettings implements Settings {
  readonly #database: Pick<Database, 'rows'>
  readonly #hasTable: () => boolean
  readonly #defaults: SettingDefaults
  readonly #log: Log
  #current: Settings
  #polling: Promise<void> | undefined

  /** @param parts.hasTable false: there is no app_settings, so that only the process's own settings hold */
  constructor(parts: {
    readonly database: Pick<Database, 'rows'>
    readonly hasTable: () => boolean
    readonly defaults: SettingDefaults
    readonly log: Log
  }) {
    this.#database = parts.database
    this.#hasTable = parts.hasTable
    this.#defaults = parts.defaults
    this.#log = parts.log
    this.#current = settingsOf(new Map(), parts.defaults)
  }

  get mode(): Settings['mode'] {
    return this.#current.mode
  }

  get storeRejects(): boolean {
    return this.#current.storeRejects
  }

  get mirrorRejects(): boolean {
    return this.#current.mirrorRejects
  }

  get maxPayloadBytes(): number {
    return this.#current.maxPayloadBytes
  }

  get rateLimitRps(): number {
    return this.#current.rateLimitRps
  }

  get rateLimitBurst(): number {
    return this.#current.rateLimitBurst
  }

  /** Reads the table. Never rejects: after a failure the values stay what they were. */
  poll(): Promise<void> {
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined
    })
    return this.#polling
  }

  async #poll(): Promise<void> {
    if (!this.#hasTable()) {
      const { storeRejects } = this.#defaults
      this.#current = { ...settingsOf(new Map(), this.#defaults), storeRejects }
      return
    }
    try {
      const rows = await this.#database.rows<{ key: string; value: string }>(
        'SELECT key::text AS key, value::text AS value FROM app_settings WHERE key = ANY ($1::text[])',
        [[...KEYS]],
      )
      const next = settingsOf(new Map(rows.map(({ key, value }) => [key, value])), this.#defaults)
      const changed = JSON.stringify(next) !== JSON.stringify(this.#current)
      this.#current = next
      if (changed) this.#log.info({ event: 'settings.changed', ...next }, 'settings in force')
    } catch (err) {
      this.#log.warn(
        { event: 'settings_refresh_failed', err },
        'app_settings could not be read: the values stay what they were',
      )
    }
  }
}
