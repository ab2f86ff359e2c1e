/** The words behind `midge passwd`: those of mosquitto_passwd, and its complaints. */
import { OperationalError } from '../core/errors.ts'

export const PASSWD_USAGE = `Edits a password_file; a running broker takes the change by itself.

Usage: midge passwd [-H sha512 | -H sha512-pbkdf2] [-I iterations] [-c | -D] passwordfile username
       midge passwd [-H sha512 | -H sha512-pbkdf2] [-I iterations] [-c] -b passwordfile username password
       midge passwd [-c] -g passwordfile username
       midge passwd -U passwordfile

 -b : take the password from the command line, where others on this machine can read it.
 -c : create a new password file. This will overwrite existing files.
 -D : delete the username rather than adding/updating its password.
 -g : make a password and show it, this once.
 -H : the hash. sha512-pbkdf2 unless given; sha512 is for Mosquitto 1.5 and before.
 -I : iterations of sha512-pbkdf2. 1000 unless given.
 -U : update a plain text password file to use hashed passwords.

Without -b and -g the password is asked for twice, or read from standard input
when that is not a terminal.
`

/** Ends with the usage too when `withUsage`; exit code 1, as mosquitto_passwd. */
export class PasswdError extends OperationalError {
  readonly withUsage: boolean

  constructor(message: string, withUsage = false) {
    super('PASSWD_REFUSED', message)
    this.withUsage = withUsage
  }
}

export interface Hashing {
  readonly scheme: 'sha512' | 'sha512-pbkdf2'
  /** Undefined: the default. */
  readonly iterations: number | undefined
}

export type PasswdCommand =
  | { readonly does: 'help' }
  | { readonly does: 'hash'; readonly file: string; readonly hashing: Hashing }
  | { readonly does: 'delete'; readonly file: string; readonly user: string }
  | {
      readonly does: 'set'
      readonly file: string
      readonly user: string
      readonly create: boolean
      /** `ask`: the terminal or standard input. */
      readonly password: 'ask' | 'make' | { readonly given: string }
      readonly hashing: Hashing
    }

const MAX_ITERATIONS = 10_000_000
const LETTERS = ['-b', '-c', '-D', '-g', '-U'] as const
type Letter = (typeof LETTERS)[number]

/** @throws PasswdError */
export function parsePasswd(argv: readonly string[]): PasswdCommand {
  if (argv[0] === '-h' || argv[0] === '--help') return { does: 'help' }
  if (argv.length === 0) throw new PasswdError('No password file given.', true)
  const { letters, hashing, words } = optionsOf(argv)
  for (const [one, other] of [
    ['-c', '-D'],
    ['-c', '-U'],
    ['-D', '-U'],
    ['-b', '-D'],
    ['-b', '-U'],
    ['-b', '-g'],
    ['-g', '-D'],
    ['-g', '-U'],
  ] as const) {
    if (letters.has(one) && letters.has(other)) {
      throw new PasswdError(`${one} and ${other} cannot be used together.`)
    }
  }
  const expected = letters.has('-U') ? 1 : letters.has('-b') ? 3 : 2
  const [file, user = '', given = ''] = words
  if (file === undefined || words.length < expected) {
    const missing = ['password file', 'username', 'password'].slice(words.length, expected)
    throw new PasswdError(`Missing: ${missing.join(', ')}.`, true)
  }
  if (words.length > expected) {
    const hint = expected === 2 ? ' A password on the command line needs -b.' : ''
    throw new PasswdError(`Too many arguments.${hint}`, true)
  }
  if (letters.has('-U')) return { does: 'hash', file, hashing }
  const problem = problemOfUser(user)
  if (letters.has('-D')) return { does: 'delete', file, user }
  if (problem !== undefined) throw new PasswdError(problem)
  const password = letters.has('-b') ? { given } : letters.has('-g') ? 'make' : 'ask'
  return { does: 'set', file, user, create: letters.has('-c'), password, hashing }
}

function optionsOf(argv: readonly string[]): {
  readonly letters: ReadonlySet<Letter>
  readonly hashing: Hashing
  readonly words: readonly string[]
} {
  const letters = new Set<Letter>()
  let scheme: Hashing['scheme'] = 'sha512-pbkdf2'
  let iterations: number | undefined
  let next = 0
  for (; next < argv.length; next++) {
    const option = argv[next] ?? ''
    const letter = LETTERS.find((one) => one === option)
    if (letter !== undefined) {
      letters.add(letter)
      continue
    }
    if (option === '--') {
      next++
      break
    }
    if (!option.startsWith('-') || option === '-') break
    if (option !== '-H' && option !== '-I') {
      throw new PasswdError(`Unknown option '${option}'.`, true)
    }
    const value = argv[++next]
    if (value === undefined) {
      throw new PasswdError(`${option} argument given but not enough other arguments.`)
    }
    if (option === '-I') iterations = iterationsOf(value)
    else if (value === 'sha512' || value === 'sha512-pbkdf2') scheme = value
    else throw new PasswdError(`Unknown hash type '${value}', expected sha512 or sha512-pbkdf2.`)
  }
  return { letters, hashing: { scheme, iterations }, words: argv.slice(next) }
}

function iterationsOf(text: string): number {
  const count = /^\d{1,10}$/u.test(text) ? Number(text) : 0
  if (count < 1) throw new PasswdError('Number of iterations must be > 0.')
  if (count <= MAX_ITERATIONS) return count
  throw new PasswdError(`Number of iterations must be at most ${MAX_ITERATIONS}.`)
}

/** What would not come back from the file as it was put in. */
function problemOfUser(user: string): string | undefined {
  if (user === '') return 'Username must not be empty.'
  if (Buffer.byteLength(user) > 65_535) {
    return 'Username must be less than 65536 characters long.'
  }
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/u.test(user)) return 'Username must not contain control characters.'
  if (user.includes(':')) return "Username must not contain the ':' character."
  if (user.startsWith('#')) return "Username must not begin with '#': its line would be a comment."
  if (user.trim() !== user) return 'Username must not begin or end with a blank.'
  if (!user.isWellFormed() || user.includes('\ufffd')) return 'Username is not valid UTF-8.'
  return undefined
}
