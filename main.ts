#!/usr/bin/env node
/** The process: argv, signals, exit codes. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CommandLineError,
  ConfigErrors,
  EXIT,
  USAGE,
  errorLines,
  parseCommandLine,
} from './config/index.ts'
import { systemClock } from './core/clock.ts'
import { OperationalError, codeOf } from './core/errors.ts'
import { packageRoot } from './core/package-root.ts'
import { surviveLostOutput } from './start/outputs.ts'
import type { Command } from './config/index.ts'

/**
 * Each command loads what it needs and no more: a container's health check runs every few seconds
 * beside the broker.
 */
async function run(command: Command, version: string): Promise<number> {
  const { env: environment, stdout } = process
  const clock = systemClock
  const write = (text: string): void => void stdout.write(text)
  switch (command.name) {
    case 'help':
      write(USAGE)
      return EXIT.ok
    case 'version':
      write(`midge version ${version}\n`)
      return EXIT.ok
    case 'start': {
      if (command.as === 'mosquitto') {
        const { runMosquitto } = await import('./start/run.ts')
        return await runMosquitto(command, version)
      }
      const { runNewcomer } = await import('./start/run-newcomer.ts')
      return await runNewcomer({ ...command, demo: undefined }, version)
    }
    case 'demo': {
      const { runNewcomer } = await import('./start/run-newcomer.ts')
      const { devices, rate, data } = command
      return await runNewcomer({ data, verbosity: 'normal', demo: { devices, rate } }, version)
    }
    case 'check': {
      const { checkFile } = await import('./start/check.ts')
      const { thisMachine } = await import('./start/check-process.ts')
      const { file } = command
      return await checkFile({ file, environment, clock, machine: thisMachine(), write })
    }
    case 'explain': {
      const { runExplain } = await import('./start/run-explain.ts')
      return await runExplain(command, { environment, clock, write })
    }
    case 'rows': {
      const { printRows } = await import('./start/rows.ts')
      return await printRows(command)
    }
    case 'quarantine': {
      const { runQuarantine } = await import('./start/quarantine.ts')
      return await runQuarantine(command.rest)
    }
    case 'db': {
      const { runDb } = await import('./start/db.ts')
      return await runDb(command.rest, { environment, stdout })
    }
    case 'pki': {
      const { runPki } = await import('./start/pki.ts')
      return await runPki(command.rest)
    }
    case 'passwd': {
      const { runPasswd } = await import('./start/passwd.ts')
      const { stdin, stderr } = process
      return await runPasswd(command.rest, { stdin, stdout, stderr, random: randomBytes })
    }
    case 'health': {
      const { checkHealth } = await import('./start/health.ts')
      return await checkHealth(command.url)
    }
  }
}

/** What to do when nobody reads standard output any more. */
function endOf({ name }: Command): (() => void) | undefined {
  if (name === 'start') return undefined
  // Its devices would go on unseen.
  if (name === 'demo') return () => void process.kill(process.pid, 'SIGTERM')
  return () => process.exit()
}

function exitCodeOf(err: unknown): number {
  if (err instanceof ConfigErrors || err instanceof CommandLineError) return EXIT.configuration
  if (!(err instanceof OperationalError)) return EXIT.listener
  if (err.code === 'FILE_UNREADABLE') return EXIT.unreadable
  // Said by the environment, as the configuration is.
  if (err.code === 'PUID' || err.code === 'UMASK_SET') return EXIT.configuration
  return EXIT.listener
}

/** One sentence for what an operator can act on; a bug shows where it is. */
function report(err: unknown): void {
  if (err instanceof ConfigErrors) {
    for (const line of errorLines(err)) process.stderr.write(`${line}\n`)
  } else if (err instanceof CommandLineError) {
    process.stderr.write(`${err.message}\n${err.withUsage ? `\n${USAGE}` : ''}`)
  } else if (err instanceof OperationalError || codeOf(err) !== undefined) {
    process.stderr.write(`midge: ${err instanceof Error ? err.message : String(err)}\n`)
  } else {
    process.stderr.write(
      `midge: a bug of ours: ${err instanceof Error ? err.stack : String(err)}\n`,
    )
  }
}

const packageFile: unknown = JSON.parse(await readFile(join(packageRoot(), 'package.json'), 'utf8'))
const version =
  typeof packageFile === 'object' && packageFile !== null && 'version' in packageFile
    ? String(packageFile.version)
    : 'unknown'

try {
  const command = parseCommandLine(process.argv.slice(2))
  surviveLostOutput(process, endOf(command))
  process.exitCode = await run(command, version)
} catch (err) {
  report(err)
  process.exitCode = exitCodeOf(err)
}
