/** A start with mosquitto.conf, or with Mosquitto's defaults, until a signal ends it. */
import { App } from '../app/index.ts'
import { diskFiles, loadConfig } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { LoadedConfig, StartCommand } from '../config/index.ts'
import { systemClock } from '../core/clock.ts'
import { createLog, type Log } from '../core/log.ts'
import { caPassphraseIn } from '../pki/index.ts'
import { LogOutput } from './log-output.ts'
import { umaskOf } from './privileges.ts'
import { openKeylog, removePidFile, startInBackground, writePidFile } from './process-file.ts'
import { Reload } from './reload.ts'
import { ended, listenToSignals, tellOnRequest } from './signals.ts'
import { absentFiles, plannedChange } from './user-change.ts'

/** Starts as Mosquitto would. @returns the exit code */
export async function runMosquitto(command: StartCommand, version: string): Promise<number> {
  const load = (): LoadedConfig =>
    loadConfig({
      file: command.file,
      ports: command.ports,
      environment: process.env,
      files: diskFiles,
      verbosity: command.verbosity,
    })
  const { config, warnings, included } = load()
  if (command.testConfig) {
    for (const { place, problem } of warnings) {
      process.stderr.write(`Warning: ${placeText(place)}: ${problem}\n`)
    }
    process.stdout.write('Configuration file is OK.\n')
    return 0
  }
  if (command.daemon) {
    startInBackground(process.argv)
    return 0
  }
  const umask = umaskOf(process.env)
  if (umask !== undefined) process.umask(umask)
  const absent = absentFiles(config)
  const output = new LogOutput(config.log, process)
  const log = logOf(config, output)
  for (const file of included) {
    log.info({ event: 'config.included', file }, `Loading config file '${file}'`)
  }
  log.info({ event: 'midge.starting' }, `midge version ${version} starting`)
  const source =
    command.file === undefined ? 'Using default config.' : `Config loaded from ${command.file}.`
  log.info({ event: 'config.loaded' }, source)
  for (const { place, problem } of warnings) {
    log.warn({ event: 'config.odd', ...place }, problem)
  }
  const { pidFile } = config
  if (pidFile !== undefined) await writePidFile(pidFile, process.pid)
  try {
    const sources = [command.file, ...included].filter((file) => file !== undefined)
    await serve({ command, config, load, log, output, version, sources, absent })
  } finally {
    const left = pidFile === undefined ? undefined : await removePidFile(pidFile)
    if (left !== undefined) log.warn({ event: 'pidFile.left' }, left)
    log.info({ event: 'midge.ended' }, `midge version ${version} terminating`)
    output.close()
  }
  return 0
}

interface Serving {
  readonly command: StartCommand
  readonly config: Config
  load(): LoadedConfig
  readonly log: Log
  readonly output: LogOutput
  readonly version: string
  /** The configuration files. */
  readonly sources: readonly string[]
  /** Files the start makes because they were not there. */
  readonly absent: readonly string[]
}

async function serve(serving: Serving): Promise<void> {
  const { command, config, load, log, output, version, sources, absent } = serving
  const { tlsKeylog } = command
  const change = plannedChange({ config, environment: process.env, sources, absent, log })
  const keylog = tlsKeylog === undefined ? undefined : openKeylog(tlsKeylog)
  const signals = listenToSignals(log)
  const caPassphrase = caPassphraseIn(process.env)
  const app = await App.start({
    config,
    clock: systemClock,
    log,
    version,
    keylog,
    caPassphrase,
  })
  try {
    change?.carryOut(app.waiting)
  } catch (err) {
    await ended(app.stop(), log)
    throw err
  }
  output.publishBy((topic, text) =>
    app.broker.publish({ topic, payload: Buffer.from(text), qos: 2, retain: false }),
  )
  log.info({ event: 'midge.running' }, `midge version ${version} running`)
  const replaceLog = (to: Config['log']): void => {
    output.replace(to)
    app.broker.replaceLog(to)
  }
  const { metrics } = app
  const reload = new Reload({ log, config, metrics, load, replaceLog, app })
  signals.onReload(() => reload.run())
  tellOnRequest(app, (fields, text) => log.info(fields, text))
  await signals.stopped
  output.publishBy(undefined)
  await ended(app.stop(), log)
}

/** The output may be told another level later. */
function logOf({ log: { service = 'midge' } }: Config, output: LogOutput): Log {
  return createLog({ level: () => output.level, service, destination: output })
}

function placeText({
  file,
  line,
}: {
  readonly file: string
  readonly line: number | undefined
}): string {
  return line === undefined ? file : `${file}:${line}`
}
