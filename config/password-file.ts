/**
 * Mosquitto's password_file: `name:hash`, one account per line. Names, hashes and above all plain text
 * passwords are never repeated in a message: the line number has to do.
 */
import * as crypto from 'node:crypto'
import { hasControl, isDamaged, linesOf, trimBlanks } from './lines.ts'
import { parsePasswordHash } from './password-verifier.ts'
import { Problems } from './problems.ts'
import type { PasswordFile, PasswordVerifier } from './types.ts'

/** `crypto.argon2` came with Node 24.7. */
const HAS_ARGON2 = 'argon2' in crypto

/** Bytes of UTF-8: what a CONNECT can carry (MQTT 3.1.1 §1.5.3). */
const MAX_NAME_BYTES = 65_535

/**
 * Reads a whole password_file. `file` is only for messages; `argon2` says whether this Node can
 * verify argon2id lines.
 *
 * Lines without `:` are skipped, as Mosquitto does. argon2id lines without `argon2` are kept as
 * accounts nobody can log in to.
 *
 * @throws ConfigErrors with every bad line (at most MAX_ERRORS); there are no half-read files
 */
export function parsePasswordFile(
  text: string,
  file: string,
  { argon2 = HAS_ARGON2 }: { readonly argon2?: boolean } = {},
): PasswordFile {
  const accounts = new Map<string, PasswordVerifier>()
  const lineOf = new Map<string, number>()
  const unverifiable: number[] = []
  const problems = new Problems()

  for (const line of linesOf(text)) {
    if (problems.isFull) break
    if (line.text === '' || line.text.startsWith('#')) continue
    const place = { file, line: line.number }
    // Mosquitto ends the hash at the next colon; what follows is not looked at.
    const [rawName = '', rawHash] = line.text.split(':', 2)
    if (rawHash === undefined) {
      problems.warn(place, 'a line without ":" is not an account; skipped')
      continue
    }
    const name = trimBlanks(rawName)
    const problem = problemOfName(name)
    if (problem !== undefined) {
      problems.error(place, problem)
      continue
    }
    const earlier = lineOf.get(name)
    if (earlier !== undefined) {
      problems.error(place, `the user name of line ${earlier} stands here again`)
      continue
    }
    lineOf.set(name, line.number)
    const verifier = parsePasswordHash(trimBlanks(rawHash))
    if (typeof verifier === 'string') {
      problems.error(place, verifier)
    } else if (verifier.scheme === 'argon2id' && !argon2) {
      unverifiable.push(line.number)
      accounts.set(name, { scheme: 'unverifiable', encoded: verifier.encoded })
    } else {
      accounts.set(name, verifier)
    }
  }
  problems.throwIfAny()
  if (unverifiable.length > 0) {
    problems.warn({ file, line: unverifiable[0] }, lockedOut(unverifiable))
  }
  return Object.freeze({ file, accounts, warnings: problems.warnings })
}

function problemOfName(name: string): string | undefined {
  if (name === '') return 'the user name before ":" is empty'
  if (isDamaged(name)) return 'the user name is not valid UTF-8'
  if (hasControl(name)) return 'the user name holds a control character'
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return 'the user name is longer than 65535 bytes'
  return undefined
}

/** One sentence for all of them: files written by a provisioning service have one for each device. */
function lockedOut(lines: readonly number[]): string {
  const named = lines.slice(0, 10).join(', ')
  const more = lines.length > 10 ? ` and ${lines.length - 10} more` : ''
  return (
    'argon2id cannot be verified by this build (Node 24.7 or later can): ' +
    `nobody can log in to the account of line ${named}${more}`
  )
}
