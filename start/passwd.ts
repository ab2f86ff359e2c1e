/** `midge passwd`: what mosquitto_passwd does, beside a broker that follows the file. */
import { isUtf8 } from 'node:buffer'
import { ConfigErrors, hashPassword, hashPasswordSha512 } from '../config/index.ts'
import { OperationalError } from '../core/errors.ts'
import { askPassword, checkedPassword, type Keyboard } from './ask-password.ts'
import {
  PASSWD_USAGE,
  PasswdError,
  parsePasswd,
  type Hashing,
  type PasswdCommand,
} from './passwd-arguments.ts'
import { withAccount, withHashes, withoutAccount } from './password-lines.ts'
import { findFile, replaceFile, type FoundFile } from './replace-file.ts'

export interface PasswdContext {
  readonly stdin: Keyboard
  readonly stdout: { write(text: string): unknown }
  /** Prompts and complaints: what is piped on stays clean. */
  readonly stderr: { write(text: string): unknown }
  random(bytes: number): Buffer
}

/** @returns the exit code: 0, or 1 for whatever went wrong, as mosquitto_passwd */
export async function runPasswd(args: readonly string[], context: PasswdContext): Promise<number> {
  try {
    await carryOut(parsePasswd(args), context)
    return 0
  } catch (err) {
    if (err instanceof ConfigErrors) {
      for (const { message } of err.errors) context.stderr.write(`Error: ${message}\n`)
      context.stderr.write('Nothing was changed.\n')
    } else if (err instanceof OperationalError) {
      context.stderr.write(`Error: ${err.message}\n`)
      if (err instanceof PasswdError && err.withUsage) context.stderr.write(`\n${PASSWD_USAGE}`)
    } else {
      throw err
    }
    return 1
  }
}

async function carryOut(command: PasswdCommand, context: PasswdContext): Promise<void> {
  const { stdout } = context
  switch (command.does) {
    case 'help':
      stdout.write(PASSWD_USAGE)
      return
    case 'delete': {
      const { file, user } = command
      const found = await findFile(file)
      const text = withoutAccount(textOf(found), file, user)
      if (text === undefined) {
        throw new PasswdError(`User ${user} not found in password file ${file}.`)
      }
      await replaceFile(found, text)
      stdout.write(`Deleted user ${user}\n`)
      return
    }
    case 'hash': {
      const { file, hashing } = command
      const found = await findFile(file)
      const { text, count } = withHashes(textOf(found), file, (one) =>
        hashed(checkedPassword(one), hashing, context),
      )
      if (count > 0) await replaceFile(found, text)
      stdout.write(`Passwords hashed in ${file}: ${count}\n`)
      return
    }
    case 'set':
      await setPassword(command, context)
  }
}

async function setPassword(
  command: Extract<PasswdCommand, { does: 'set' }>,
  context: PasswdContext,
): Promise<void> {
  const { file, user, create, hashing } = command
  const before = await findFile(file)
  // Whoever types a password wants to know first that the file takes none.
  if (!create) withAccount(textOf(before), file, { name: user, hash: UNUSED_HASH })
  const password = await passwordOf(command, context)
  const hash = hashed(password, hashing, context)
  // Asking takes its time: somebody else may have changed it.
  const found = await findFile(file)
  const old = create ? '' : textOf(found)
  const changed = withAccount(old, file, { name: user, hash })
  await replaceFile(found, changed.text)
  context.stdout.write(`${changed.found ? 'Updating' : 'Adding'} password for user ${user}\n`)
  if (command.password === 'make') context.stdout.write(`Shown this once: ${password}\n`)
}

const UNUSED_HASH = `$7$1$${'A'.repeat(16)}$${'A'.repeat(86)}==`

async function passwordOf(
  { password }: Extract<PasswdCommand, { does: 'set' }>,
  { stdin, stderr, random }: PasswdContext,
): Promise<string> {
  if (password === 'make') return random(18).toString('base64url')
  if (password === 'ask') return await askPassword(stdin, (text) => void stderr.write(text))
  return checkedPassword(password.given)
}

function hashed(password: string, hashing: Hashing, { random }: PasswdContext): string {
  const { scheme, iterations } = hashing
  if (scheme === 'sha512') return hashPasswordSha512(password, { random })
  return hashPassword(password, iterations === undefined ? { random } : { random, iterations })
}

function textOf({ name, content }: FoundFile): string {
  if (content === undefined) {
    throw new PasswdError(`Unable to open password file ${name}: it does not exist; -c makes it.`)
  }
  if (!isUtf8(content)) throw new PasswdError(`${name} is not UTF-8: nothing was changed.`)
  return content.toString('utf8')
}
