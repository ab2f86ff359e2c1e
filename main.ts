#!/usr/bin/env node
/** The process: argv, signals, exit codes. */
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
import { runDb } from './start/db.ts'
import { checkFile } from './start/check.ts'
import { runExplain } from './start/explain.ts'
import { checkHealth } from './start/health.ts'
import { runPasswd } from './start/passwd.ts'
import { runPki } from './start/pki.ts'
import { runQuarantine } from './start/quarantine.ts'
import { printRows } from './start/rows.ts'
import { runMosquitto, runNewcomer } from './start/run.ts'
import type { Command } from './config/index.ts'

async function run(command: Command, version: string): Promise<number> {
  switch (command.name) {
    case 'help':
      process.stdout.write(USAGE)
      return EXIT.ok
    case 'version':
      process.stdout.write(`midge version ${version}\n`)
      return EXIT.ok
    case 'start':
      return command.as === 'mosquitto'
        ? await runMosquitto(command, version)
        : await runNewcomer(
            { data: command.data, verbosity: command.verbosity, demo: undefined },
            version,
          )
    case 'demo': {
      const { devices, rate, data } = command
      return await runNewcomer({ data, verbosity: 'normal', demo: { devices, rate } }, version)
    }
    case 'check':
      return checkFile({
        file: command.file,
        environment: process.env,
        clock: systemClock,
        asRoot: process.getuid?.() === 0,
        write: (text) => void process.stdout.write(text),
      })
    case 'explain':
      return runExplain(command, process.env, (text) => void process.stdout.write(text))
    case 'rows':
      return await printRows(command)
    case 'quarantine':
      return await runQuarantine(command.rest)
    case 'db':
      return await runDb(command.rest, { environment: process.env, stdout: process.stdout })
    case 'pki':
      return await runPki(command.rest)
    case 'passwd':
      return await runPasswd(command.rest)
    case 'health':
      return await checkHealth(command.url)
  }
}

function exitCodeOf(err: unknown): number {
  if (err instanceof ConfigErrors || err instanceof CommandLineError) return EXIT.configuration
  if (err instanceof OperationalError && err.code === 'FILE_UNREADABLE') return EXIT.unreadable
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
  process.exitCode = await run(parseCommandLine(process.argv.slice(2)), version)
} catch (err) {
  report(err)
  process.exitCode = exitCodeOf(err)
}
