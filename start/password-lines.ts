/** What `midge passwd` does to the text of a password_file; comments and other lines stay as they are. */
import { ConfigError, ConfigErrors, parsePasswordFile } from '../config/index.ts'

/** Keeps the end of the last line, and CRLF files CRLF. */
interface Lines {
  readonly lines: readonly string[]
  readonly newline: string
}

function split(text: string): Lines {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const lines = text.split(/\r?\n/u)
  if (lines.at(-1) === '') lines.pop()
  return { lines, newline }
}

const joined = ({ lines, newline }: Lines): string =>
  lines.map((line) => `${line}${newline}`).join('')

/** As the broker reads a line; undefined: no account. */
function accountOf(line: string): { readonly name: string; readonly field: string } | undefined {
  if (line.startsWith('#')) return undefined
  const colon = line.indexOf(':')
  if (colon === -1) return undefined
  return { name: line.slice(0, colon).trim(), field: line.slice(colon + 1).trim() }
}

/**
 * Sets the account's line where it stands, or at the end. `found`: it was there.
 *
 * @throws ConfigErrors for a file the broker would refuse: it is not written over
 */
export function withAccount(
  text: string,
  file: string,
  account: { readonly name: string; readonly hash: string },
): { readonly text: string; readonly found: boolean } {
  parsePasswordFile(text, file)
  const { lines, newline } = split(text)
  const line = `${account.name}:${account.hash}`
  const at = lines.findIndex((one) => accountOf(one)?.name === account.name)
  const changed = at === -1 ? [...lines, line] : lines.with(at, line)
  return { text: joined({ lines: changed, newline }), found: at !== -1 }
}

/**
 * Undefined: there is no such account.
 *
 * @throws ConfigErrors for a file the broker would refuse
 */
export function withoutAccount(text: string, file: string, name: string): string | undefined {
  parsePasswordFile(text, file)
  const { lines, newline } = split(text)
  const rest = lines.filter((line) => accountOf(line)?.name !== name)
  return rest.length === lines.length ? undefined : joined({ lines: rest, newline })
}

/**
 * Hashes each plain text password; lines that hold a hash already stay.
 *
 * @throws ConfigErrors with every line that is neither
 */
export function withHashes(
  text: string,
  file: string,
  hash: (password: string) => string,
): { readonly text: string; readonly count: number } {
  const { lines, newline } = split(text)
  const errors: ConfigError[] = []
  let count = 0
  const changed = lines.map((line, index) => {
    const account = accountOf(line)
    if (account === undefined || account.field.startsWith('$')) return line
    const problem = problemOfPlain(account.field)
    if (problem !== undefined) {
      errors.push(new ConfigError({ file, line: index + 1 }, problem))
      return line
    }
    count++
    return `${account.name}:${hash(account.field)}`
  })
  if (errors.length > 0) throw new ConfigErrors(errors)
  const result = joined({ lines: changed, newline })
  // Names, duplicates, and fields that begin as a hash and are none.
  parsePasswordFile(result, file)
  return { text: result, count }
}

function problemOfPlain(field: string): string | undefined {
  if (field === '') return 'no password after ":"'
  // A reader ends the field there: which part is the password cannot be known.
  if (field.includes(':')) return 'a second ":", expected name:password'
  return undefined
}
