/** SIGHUP: the mosquitto.conf once more, and what of its changes can be applied now. */
import { ConfigErrors, difference, errorLines } from '../config/index.ts'
import type { LoadedConfig } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { Log } from '../core/log.ts'

export interface Reload {
  readonly log: Log
  /** In force now. */
  readonly config: Config
  load(): LoadedConfig
  /** Puts another log configuration in force. */
  replaceLog(config: Config['log']): void
}

/**
 * All or nothing: a file with an error, or with a change that needs a restart, changes nothing and
 * says why. @returns the Config in force from now on
 */
export function reloadConfig({ log, config, load, replaceLog }: Reload): Config {
  log.info({ event: 'config.reloading' }, 'Reloading config.')
  let after: Config
  try {
    after = load().config
  } catch (err) {
    if (!(err instanceof ConfigErrors)) throw err
    const problem = errorLines(err).join(' ')
    log.error({ event: 'config.rejected', problem }, 'configuration refused: nothing was changed')
    return config
  }
  const { live, restart } = difference(config, after)
  const waiting = [...restart, ...live.filter(({ setting }) => !setting.startsWith('log.'))]
  if (waiting.length > 0) {
    const settings = waiting.map(({ setting }) => setting)
    log.error(
      { event: 'config.rejected', settings },
      `configuration not applied, these need a restart: ${settings.join('; ')}`,
    )
    // The file may be opened anew all the same: logrotate asks for it this way.
    replaceLog(config.log)
    return config
  }
  replaceLog(after.log)
  if (live.length > 0) {
    const settings = live.map(({ setting }) => setting)
    log.info({ event: 'config.replaced', settings }, `applied: ${settings.join('; ')}`)
  }
  return after
}
