/**
 * SIGHUP: the mosquitto.conf once more, and every file it names. All of it is read and checked first;
 * then what may change live is in force at once, and what is built into ports, files and pools waits
 * for a restart, with one warning that names it. Anything wrong, anywhere, and nothing changes.
 */
import type { Replacement } from '../app/index.ts'
import { ConfigErrors, difference, errorLines, withLivePart } from '../config/index.ts'
import type { Change, LoadedConfig } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'

export interface ReloadParts {
  readonly log: Log
  /** As started with. */
  readonly config: Config
  readonly metrics: Pick<Metrics, 'configRejected' | 'configPending'>
  load(): LoadedConfig
  /** Puts another log configuration in force; a log file is opened anew in any case. */
  replaceLog(config: Config['log']): void
  readonly app: {
    replaceConfig(config: Config, applied: () => void): Promise<Replacement<number>>
    reloadCertificates(): Promise<void>
  }
}

export class Reload {
  readonly #parts: ReloadParts
  #inForce: Config
  #last: Promise<void> = Promise.resolve()

  constructor(parts: ReloadParts) {
    this.#parts = parts
    this.#inForce = parts.config
    parts.metrics.configRejected.set(0)
    parts.metrics.configPending.set(0)
  }

  /** Settles when it is over; one at a time. Rejects only on a bug of ours. */
  run(): Promise<void> {
    const run = this.#last.then(() => this.#run())
    this.#last = run.catch(() => undefined)
    return run
  }

  async #run(): Promise<void> {
    const { log, app } = this.#parts
    log.info({ event: 'config.reloading' }, 'Reloading config.')
    const loaded = this.#load()
    if (loaded !== undefined) await this.#replace(loaded)
    // Whatever became of the rest: a revoked certificate must not stay for a typing mistake.
    await app.reloadCertificates()
  }

  #load(): LoadedConfig | undefined {
    try {
      return this.#parts.load()
    } catch (err) {
      if (!(err instanceof ConfigErrors)) throw err
      this.#refuse(errorLines(err))
      return undefined
    }
  }

  async #replace({ config: wanted, warnings }: LoadedConfig): Promise<void> {
    const { log, app, metrics, replaceLog } = this.#parts
    const { live, restart } = difference(this.#inForce, wanted)
    const config = withLivePart(this.#inForce, wanted)
    const replacement = await app.replaceConfig(config, () => replaceLog(config.log))
    if (!replacement.replaced) {
      this.#refuse(replacement.problems)
      return
    }
    this.#inForce = config
    metrics.configRejected.set(0)
    metrics.configPending.set(restart.length)
    for (const { place, problem } of warnings) {
      log.warn({ event: 'config.odd', ...place }, problem)
    }
    const closed = replacement.outcome
    const fields = { event: 'config.replaced', settings: live.map(namesOf), closed }
    const what = live.length === 0 ? 'nothing changed' : `applied: ${textOf(live)}`
    log.info(fields, `configuration in force: ${what}; connections closed: ${closed}`)
    if (restart.length === 0) return
    log.warn(
      { event: 'config.pending', settings: restart.map(namesOf) },
      `these changes wait for a restart: ${textOf(restart)}`,
    )
  }

  #refuse(problems: readonly string[]): void {
    const { log, metrics, replaceLog } = this.#parts
    metrics.configRejected.set(1)
    // logrotate asks for a new file this way, whatever stands in the configuration.
    replaceLog(this.#inForce.log)
    const problem = problems.join(' ')
    log.error({ event: 'config.rejected', problem }, 'configuration refused, nothing was changed')
  }
}

const namesOf = ({ setting }: Change): string => setting
const textOf = (changes: readonly Change[]): string => changes.map(namesOf).join('; ')
