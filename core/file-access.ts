/** Whose permission is missing, for messages about files: "permission denied" alone does not say. */
import { accessSync, constants, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { codeOf, messageOf } from './errors.ts'

/** Error texts name the system call and repeat the path; the first words are what matters. */
function reasonOf(err: unknown): string {
  if (codeOf(err) === 'ENOENT') return 'it does not exist'
  return messageOf(err).replace(/, [a-z]+( '.*')?$/u, '')
}

/** Why a file could not be opened, without its name. Never throws. */
export function accessProblem(path: string, err: unknown): string {
  return `${reasonOf(err)}${missingPermission(path, err)}`
}

/**
 * To be put behind the message of a failed call: empty, or, where a permission is missing, mode and
 * owner of the file, or of the directory above it that may not be entered, and who we are. Never throws.
 */
export function missingPermission(path: string, err: unknown): string {
  const code = codeOf(err)
  if (code !== 'EACCES' && code !== 'EPERM') return ''
  const blocked = closedDirectory(path)
  const what = blocked === undefined ? '' : `, the directory ${blocked} may not be entered`
  return `${what} (${modeAndOwner(blocked ?? path)}this process is ${ourselves()})`
}

/** Such as `uid 1883, gid 1883`. */
export function ourselves(): string {
  return `uid ${process.geteuid?.() ?? 'unknown'}, gid ${process.getegid?.() ?? 'unknown'}`
}

/** Such as `0640`. */
export function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8).padStart(3, '0')}`
}

function modeAndOwner(path: string): string {
  try {
    const { mode, uid, gid } = statSync(path)
    return `mode ${octal(mode)}, owner ${uid}:${gid}; `
  } catch {
    return ''
  }
}

/** The first directory on the way to the file that may not be entered. */
function closedDirectory(path: string): string | undefined {
  const above: string[] = []
  for (let directory = dirname(resolve(path)); ; directory = dirname(directory)) {
    above.unshift(directory)
    if (dirname(directory) === directory) break
  }
  return above.find((directory) => {
    try {
      accessSync(directory, constants.X_OK)
      return false
    } catch (err) {
      return codeOf(err) === 'EACCES'
    }
  })
}
