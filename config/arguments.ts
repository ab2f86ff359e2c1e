/** The words of a command line, one after the other, and what is wrong with them. */
import { OperationalError } from '../core/errors.ts'
import { EXIT } from './exit-codes.ts'
import { shown } from './lines.ts'
import { wholeNumber } from './settings/setting.ts'

/** Ends the process with EXIT.configuration. */
export class CommandLineError extends OperationalError {
  readonly exitCode = EXIT.configuration
  /** The usage follows, on standard error; the message then has no timestamp. */
  readonly withUsage: boolean

  constructor(problem: string, withUsage = false) {
    super('COMMAND_LINE', `Error: ${problem}`)
    this.withUsage = withUsage
  }
}

/** With the usage behind it. */
export function unknownOption(option: string): CommandLineError {
  return new CommandLineError(`Unknown option '${shown(option)}'.`, true)
}

export const isHelp = (option: string): boolean => option === '-h' || option === '--help'

/** Walks over options; each takes what follows it from here. */
export class Arguments {
  readonly #argv: readonly string[]
  #next = 0

  constructor(argv: readonly string[]) {
    this.#argv = argv
  }

  /** Undefined at the end. */
  take(): string | undefined {
    return this.#argv[this.#next++]
  }

  /** The word behind an option, whatever it looks like. */
  valueOf(option: string, what: string): string {
    const value = this.take()
    if (value !== undefined) return value
    throw new CommandLineError(`${option} argument given, but no ${what} specified.`)
  }

  countOf(option: string): number {
    const text = this.valueOf(option, 'number')
    const value = wholeNumber(text)
    if (value !== undefined && value > 0) return value
    throw new CommandLineError(`${option} is "${shown(text)}", expected a whole number from 1.`)
  }
}
