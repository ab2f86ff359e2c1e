/** `midge passwd [FILE] USER`: sets a password; a file that does not exist is made, mode 0600. */
import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandLineError, hashPassword, parsePasswordFile } from '../config/index.ts'
import { codeOf } from '../core/errors.ts'
import { writeFileAtomically } from '../pki/index.ts'

const USAGE = 'usage: midge passwd [FILE] USER [PASSWORD]  (without PASSWORD one is made and shown)'

/** @returns the exit code */
export async function runPasswd(args: readonly string[]): Promise<number> {
  if (args.length === 0 || args.length > 3 || args.some((arg) => arg.startsWith('-'))) {
    throw new CommandLineError(USAGE)
  }
  const standard = join(process.env['MIDGE_DATA'] ?? 'data', 'passwd')
  const [file, user, given] = args.length === 1 ? [standard, args[0]] : args
  if (file === undefined || user === undefined || user === '' || user.includes(':')) {
    throw new CommandLineError(`${USAGE}; a user name is not empty and holds no colon`)
  }
  const password = given ?? randomBytes(18).toString('base64url')
  const { text, mode } = await existing(file)
  // A file with a mistake in it is not written over: its lines would be lost.
  parsePasswordFile(text, file)
  const line = `${user}:${hashPassword(password, { random: randomBytes })}`
  const lines = text.split(/\r?\n/u).filter((one) => one !== '' && !isOf(user, one))
  await writeFileAtomically({ path: file, content: `${[...lines, line].join('\n')}\n`, mode })
  process.stdout.write(`password of ${user} set in ${file}\n`)
  if (given === undefined) process.stdout.write(`shown this once: ${password}\n`)
  return 0
}

function isOf(user: string, line: string): boolean {
  return line.slice(0, line.indexOf(':')).trim() === user
}

async function existing(file: string): Promise<{ text: string; mode: number }> {
  try {
    const [text, { mode }] = await Promise.all([readFile(file, 'utf8'), stat(file)])
    return { text, mode: mode & 0o777 }
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return { text: '', mode: 0o600 }
    throw err
  }
}
