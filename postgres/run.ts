import { spawn } from 'node:child_process'
import type { Account } from './account.ts'

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The last 16 KiB of stdout and stderr together. */
  readonly output: string
}

const KEPT_CHARACTERS = 16 * 1024

/**
 * PostgreSQL's programs take PGDATA, PGPORT and the like, and the language of their messages, from
 * the environment: they get this one instead of ours.
 */
export const SERVER_ENVIRONMENT: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC' }

/**
 * Runs a program to its end, as `account` when one is given.
 *
 * @throws the system error of spawn (ENOENT, EACCES, EPERM)
 */
export function run(
  program: string,
  args: readonly string[],
  options: { readonly account: Account | undefined; readonly cwd: string },
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.account && { uid: options.account.uid, gid: options.account.gid }),
    })
    let output = ''
    const keep = (text: string) => {
      output = (output + text).slice(-KEPT_CHARACTERS)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, output: output.trim() }))
  })
}
