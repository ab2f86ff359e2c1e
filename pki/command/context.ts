/** What a command of `midge pki` is given, and what is made of its options. */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Enrolment } from '../enrolment.ts'
import { AuthorityError } from '../errors.ts'
import type { Identify } from '../show.ts'
import { OPTIONS, UsageError } from './usage.ts'

export interface PkiCommandContext {
  readonly stdout: { write(text: string): unknown }
  /** `isTTY`: progress is drawn instead of listed. */
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean }
  /** The certificate directory, unless `--directory` names another. */
  readonly directory: string
  readonly clock: Clock
  /** Names of this machine, for the server certificate. */
  readonly hostNames: readonly string[]
  /** Absent: no variable is set. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Asks the terminal without showing what is typed. Absent: there is no terminal. */
  readonly prompt?: ((question: string) => Promise<string>) | undefined
  /** Absent: no database is told of anything. @param directory the one the command works on */
  readonly enrolment?: (directory: string) => Enrolment
  /** Whom a broker takes an admitted certificate for. Absent: `show` names its CN. */
  readonly identify?: Identify
}

/** @throws UsageError */
export function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (err) {
    throw new UsageError(messageOf(err))
  }
}

export type Values = ReturnType<typeof parse>['values']

/** A number as it was given; NaN is for who expects it to refuse. */
export function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  return /^\d+$/u.test(text) ? Number(text) : Number.NaN
}

/** @throws AuthorityError `authority_request_invalid` */
export async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    const text = `${file} cannot be read: ${messageOf(cause)}`
    throw new AuthorityError('authority_request_invalid', text, { cause })
  }
}
