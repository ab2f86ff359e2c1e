/** A start without a configuration file, until a signal ends it or the demo is over. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { newcomerConfig, newcomerWarnings } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { Verbosity } from '../config/index.ts'
import { systemClock } from '../core/clock.ts'
import { createLog, type Log } from '../core/log.ts'
import { caPassphraseIn } from '../pki/index.ts'
import { unusable } from './files.ts'
import { demonstrate, startNewcomer } from './newcomer.ts'
import { umaskOf } from './privileges.ts'
import { openKeylog, startInBackground } from './process-file.ts'
import { removeRunFile, writeRunFile } from './run-file.ts'
import { ended, listenToSignals, tellOnRequest } from './signals.ts'

export interface NewcomerRun {
  readonly data: string | undefined
  readonly verbosity: Verbosity
  readonly demo: { readonly devices: number; readonly rate: number } | undefined
  /** Start once more in the background, and end. */
  readonly daemon?: boolean
  readonly tlsKeylog?: string | undefined
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
  if (run.daemon === true) return await startAside(config.dataDirectory)
  const umask = umaskOf(environment)
  if (umask !== undefined) process.umask(umask)
  const quiet = run.verbosity === 'normal' && environment['MIDGE_LOG_LEVEL'] === undefined
  const log = logOf(quiet ? { ...config, log: { ...config.log, level: 'warn' } } : config)
  for (const { place, problem } of newcomerWarnings(environment)) {
    log.warn({ event: 'config.odd', ...place }, problem)
  }
  if ((environment['PUID'] ?? '0') !== '0' && process.geteuid?.() === 0) {
    const text = 'PUID is not obeyed without -c: it stays root; start it as that user instead'
    log.warn({ event: 'config.odd' }, text)
  }
  const { tlsKeylog } = run
  const options = {
    config,
    clock: systemClock,
    log,
    version,
    workingDirectory: process.cwd(),
    terminal: process.stdout,
    keylog: tlsKeylog === undefined ? undefined : openKeylog(tlsKeylog),
    caPassphrase: caPassphraseIn(environment),
  }
  const signals = listenToSignals(log)
  const newcomer = await startNewcomer(options)
  signals.onReload(() => newcomer.app.reload())
  tellOnRequest(newcomer.app, (_, text) => void process.stdout.write(`${text}\n`))
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

function logOf({ log: { level, service = 'midge', destination = 'stderr' } }: Config): Log {
  return createLog({ level, service, destination: process[destination] })
}

/** What would have been on the terminal, the password of the first start among it, goes to a file. */
async function startAside(directory: string | undefined): Promise<number> {
  if (directory === undefined) throw new Error('a newcomer has a data directory')
  const file = join(directory, 'midge.log')
  try {
    await mkdir(directory, { recursive: true })
    const pid = startInBackground(process.argv, file)
    process.stdout.write(
      `midge starts in the background as process ${pid} (kill ${pid} stops it); what it says is in ${file}\n`,
    )
  } catch (err) {
    throw unusable(directory, err)
  }
  return 0
}
