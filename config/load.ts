/** A start with mosquitto.conf, or with `-p` alone: Mosquitto's defaults, rule by rule. */
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
  crlWriterOf,
  deviceTrustOf,
  ingestOf,
  limitsOf,
  logOf,
  revocationOf,
  tenancyOf,
} from './sections.ts'
import type { Verbosity } from './sections.ts'
import { withServiceAccounts } from './service-accounts.ts'
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
  const { file, ports, environment, files, verbosity = 'normal' } = options
  const problems = new Problems()
  const text = file === undefined ? NOTHING : readConf(file, files, problems)
  const blocks = collect(file ?? COMMAND_LINE.file, text.lines, problems)
  const values = new SettingValues(environment, blocks.settings, problems)
  resolvePlugins(blocks.plugins, problems)
  refuseBridges(blocks.bridges, problems)

  const ingest = ingestOf(values, false, problems)
  const tenancy = tenancyOf(values, ingest)
  const configured = listenersOf(blocks, ports, values, problems)
  const place = { file: file ?? COMMAND_LINE.file, line: undefined }
  const listeners = tenancy ? withServiceAccounts(configured, values, problems, place) : configured
  const pidFile = blocks.global.text('pid_file')
  const user = blocks.global.text('user')
  const crlWriter = crlWriterOf(values, ingest, undefined, problems)
  const config: Config = {
    listeners,
    tenancy,
    limits: limitsOf(values, blocks.global, problems, tenancy),
    ingest,
    revocation: revocationOf(values, listeners),
    deviceTrust: deviceTrustOf(values),
    rotation: rotationOf(values),
    admin: adminOf(values, ingest !== undefined),
    log: logOf(values, verbosity, blocks.global, problems),
    sysInterval: values.of(GENERAL.sysInterval, blocks.global.integer('sys_interval')),
    deniedPublish: values.of(GENERAL.deniedPublish),
    revokedSession: values.of(GENERAL.revokedSession),
    deviceRetain: values.of(GENERAL.deviceRetain),
    mqtt: mqttOf(blocks),
    persistence: persistenceOf(blocks, environment),
    ...(crlWriter === undefined ? {} : { crlWriter }),
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
