/** A start with mosquitto.conf, or with `-p` alone: Mosquitto's defaults, rule by rule. */
import type { Block } from './blocks.ts'
import { refuseBridges } from './bridges.ts'
import { collect } from './collect.ts'
import { SettingValues, warnOfVariables } from './environment.ts'
import type { Environment } from './environment.ts'
import type { ConfigFiles } from './files.ts'
import { frozen } from './frozen.ts'
import { listenersOf } from './listeners.ts'
import { readConf } from './mosquitto-conf.ts'
import { mqttOf, persistenceOf } from './mqtt.ts'
import { resolvePlugins } from './plugins.ts'
import { COMMAND_LINE, Problems } from './problems.ts'
import { rotationOf, warnOfCertDir } from './rotation.ts'
import {
  adminOf,
  ingestOf,
  limitsOf,
  logOf,
  platformOf,
  revocationOf,
  tenancyOf,
} from './sections.ts'
import type { Verbosity } from './sections.ts'
import { GENERAL } from './settings/general.ts'
import type { Config, ConfigWarning } from './types.ts'

export interface LoadOptions {
  /** Undefined: Mosquitto's defaults, in local-only mode. */
  readonly file: string | undefined
  /** `-p`; without effect when the file has a listener. */
  readonly ports: readonly number[]
  readonly environment: Environment
  readonly files: ConfigFiles
  /** `-v` and `-q` win over file and environment. Default `normal`. */
  readonly verbosity?: Verbosity
  /** The process runs as root: a `user` directive would then have to be obeyed. Default false. */
  readonly asRoot?: boolean
}

export interface LoadedConfig {
  readonly config: Config
  /** To be logged, each once, in this order. */
  readonly warnings: readonly ConfigWarning[]
  /** Files read by include_dir, in order. */
  readonly included: readonly string[]
}

/**
 * Reads the file, what it includes, and the environment; no other file is opened.
 *
 * @throws ConfigErrors with everything that is wrong (at most MAX_ERRORS); exit code EXIT.configuration
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const { file, ports, environment, files, verbosity = 'normal', asRoot = false } = options
  const problems = new Problems()
  const text = file === undefined ? NOTHING : readConf(file, files, problems)
  const blocks = collect(file ?? COMMAND_LINE.file, text.lines, problems)
  const values = new SettingValues(environment, blocks.settings, problems)
  resolvePlugins(blocks.plugins, problems)
  refuseBridges(blocks.bridges, problems)
  if (asRoot) refuseUser(blocks.global, problems)

  const listeners = listenersOf(blocks, ports, values, problems)
  const ingest = ingestOf(values, false, problems)
  const pidFile = blocks.global.text('pid_file')
  const user = blocks.global.text('user')
  const config: Config = {
    listeners,
    tenancy: tenancyOf(values, ingest),
    limits: limitsOf(values, blocks.global, problems),
    ingest,
    revocation: revocationOf(values, listeners),
    rotation: rotationOf(values),
    admin: adminOf(values, ingest !== undefined),
    log: logOf(values, verbosity, blocks.global, problems),
    sysInterval: values.of(GENERAL.sysInterval, blocks.global.integer('sys_interval')),
    deniedPublish: values.of(GENERAL.deniedPublish),
    mqtt: mqttOf(blocks),
    persistence: persistenceOf(blocks, environment),
    platform: platformOf(values),
    ...(pidFile === undefined ? {} : { pidFile }),
    ...(user === undefined ? {} : { user }),
  }
  warnOfCertDir(values, listeners, problems)
  values.checkAll(true)
  warnOfVariables(environment, true, problems)
  problems.throwIfAny()
  return { config: frozen(config), warnings: problems.warnings, included: text.included }
}

const NOTHING = { lines: [], included: [] }

function refuseUser(global: Block, problems: Problems): void {
  const user = global.text('user')
  if (user === undefined || user === 'root') return
  problems.error(
    global.placeOf('user'),
    "The 'user' option is not supported yet for a process that is started as root: it would stay root; start it as that user.",
  )
}
