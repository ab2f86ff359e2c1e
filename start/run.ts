/** Runs a broker until a signal ends it. */
import { App } from '../app/index.ts'
import { diskFiles, loadConfig, newcomerConfig, newcomerWarnings } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { LoadedConfig, StartCommand, Verbosity } from '../config/index.ts'
import { systemClock } from '../core/clock.ts'
import { createLog, type Log } from '../core/log.ts'
import { LogOutput } from './log-output.ts'
import { demonstrate, startNewcomer } from './newcomer.ts'
import { openKeylog, removePidFile, startInBackground, writePidFile } from './process-file.ts'
import { reloadConfig } from './reload.ts'
import { removeRunFile, writeRunFile } from './run-file.ts'

/** A stop that takes longer than this ends anyway: something hangs. */
const STOP_DEADLINE_MS = 25_000

/** Starts as Mosquitto would. @returns the exit code */
export async function runMosquitto(command: StartCommand, version: string): Promise<number> {
  const load = (): LoadedConfig =>
    loadConfig({
      file: command.file,
      ports: command.ports,
      environment: process.env,
      files: diskFiles,
      verbosity: command.verbosity,
      asRoot: process.getuid?.() === 0,
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
    await serve({ command, config, load, log, output, version })
  } finally {
    if (pidFile !== undefined) await removePidFile(pidFile)
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
}

async function serve({ command, config, load, log, output, version }: Serving): Promise<void> {
  const { tlsKeylog } = command
  const keylog = tlsKeylog === undefined ? undefined : openKeylog(tlsKeylog)
  const signals = listenToSignals(log)
  const app = await App.start({ config, clock: systemClock, log, version, keylog })
  output.publishBy((topic, text) =>
    app.broker.publish({ topic, payload: Buffer.from(text), qos: 2, retain: false }),
  )
  log.info({ event: 'midge.running' }, `midge version ${version} running`)
  let inForce = config
  signals.onReload(async () => {
    const replaceLog = (to: Config['log']): void => output.replace(to)
    inForce = reloadConfig({ log, config: inForce, load, replaceLog })
    await app.reload()
  })
  tellOnRequest(app, log)
  await signals.stopped
  output.publishBy(undefined)
  await ended(app.stop(), log)
}

/** SIGUSR1 and SIGUSR2, which would otherwise end the process (and SIGUSR1 open Node's debugger). */
function tellOnRequest(app: App, log: Log): void {
  process.on('SIGUSR1', () => {
    const text = 'SIGUSR1: sessions, queued and retained messages live in memory: nothing to write'
    log.info({ event: 'signal.received', signal: 'SIGUSR1' }, text)
  })
  process.on('SIGUSR2', () => {
    const counts = app.broker.counts()
    const { connections, sessions, subscriptions, sharedSubscriptions, queuedMessages } = counts
    const text = `SIGUSR2: ${connections} connections, ${sessions} sessions, ${subscriptions} subscriptions (${sharedSubscriptions} shared), ${queuedMessages} queued and ${counts.retainedMessages} retained messages`
    log.info({ event: 'signal.received', signal: 'SIGUSR2', counts }, text)
  })
}

export interface NewcomerRun {
  readonly data: string | undefined
  readonly verbosity: Verbosity
  readonly demo: { readonly devices: number; readonly rate: number } | undefined
}

/** Starts without a configuration file, with or without simulated devices. @returns the exit code */
export async function runNewcomer(run: NewcomerRun, version: string): Promise<number> {
  const environment = process.env
  const config = newcomerConfig({
    dataDirectory: run.data,
    environment,
    // The screen tells what a newcomer wants to know; the log only what goes wrong, unless asked.
    verbosity: run.verbosity,
  })
  const quiet = run.verbosity === 'normal' && environment['MIDGE_LOG_LEVEL'] === undefined
  const log = logOf(quiet ? { ...config, log: { ...config.log, level: 'warn' } } : config)
  for (const { place, problem } of newcomerWarnings(environment)) {
    log.warn({ event: 'config.odd', ...place }, problem)
  }
  const options = {
    config,
    clock: systemClock,
    log,
    version,
    workingDirectory: process.cwd(),
    terminal: process.stdout,
  }
  const signals = listenToSignals(log)
  const newcomer = await startNewcomer(options)
  signals.onReload(() => newcomer.app.reload())
  await writeRunFile(newcomer.files.dataDirectory, newcomer.app)
  process.stdout.write(newcomer.screen)
  let complete = true
  if (run.demo === undefined) {
    await signals.stopped
  } else {
    const stop = new AbortController()
    void signals.stopped.then(() => stop.abort())
    complete = await demonstrate(newcomer, { ...options, ...run.demo }, stop.signal)
  }
  if (run.demo === undefined) process.stdout.write('Stopping …\n')
  await removeRunFile(newcomer.files.dataDirectory)
  await ended(newcomer.stop(), log)
  return complete ? 0 : 1
}

/**
 * @param output sorts by level and type itself, and may be told others later: so everything down to
 * debug reaches it. Undefined: the plain stream.
 */
function logOf(config: Config, output?: LogOutput): Log {
  const { level, service = 'midge', destination = 'stderr' } = config.log
  if (output === undefined) return createLog({ level, service, destination: process[destination] })
  return createLog({ level: level === 'trace' ? 'trace' : 'debug', service, destination: output })
}

/**
 * SIGTERM and SIGINT end, also during the start: what was started is then stopped in order. A second
 * one ends at once. SIGHUP reads the files again, once there is something to read them into.
 */
function listenToSignals(log: Log): {
  stopped: Promise<void>
  onReload(reload: () => Promise<void>): void
} {
  let reload: () => Promise<void> = async () => undefined
  process.on('SIGHUP', () => void reload())
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info({ event: 'midge.stopping', signal }, `${signal}: stopping`)
        resolve()
        process.once(signal, () => process.exit(1))
      })
    }
  })
  return {
    stopped,
    onReload: (then) => {
      reload = then
    },
  }
}

async function ended(stopping: Promise<void>, log: Log): Promise<void> {
  const deadline = systemClock.after(STOP_DEADLINE_MS, () => {
    log.error({ event: 'midge.stopForced' }, 'the stop took too long: ending anyway')
    process.exit(1)
  })
  await stopping
  deadline()
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
