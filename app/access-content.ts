/** What the acl_file, password_file and psk_file of a listener say, read and checked as a whole. */
import { access, readFile, stat, writeFile } from 'node:fs/promises'
import {
  parseAclFile,
  parsePasswordFile,
  parsePskFile,
  type AclFile,
  type ConfigWarning,
  type ListenerConfig,
  type PasswordFile,
  type PskFile,
} from '../config/index.ts'
import { OperationalError, codeOf, messageOf } from '../core/errors.ts'
import { accessProblem } from '../core/file-access.ts'
import type { Log } from '../core/log.ts'

/** Undefined where the listener names no such file. */
export interface AccessContent {
  readonly acl: AclFile | undefined
  readonly passwords: PasswordFile | undefined
  readonly psk: PskFile | undefined
}

interface Reading {
  readonly listener: ListenerConfig
  readonly log: Log
}

/**
 * @param whenMissing a start makes a password_file that does not exist, as Mosquitto does
 * @throws ConfigErrors, or OperationalError `FILE_UNREADABLE`
 */
export async function readAccess(
  reading: Reading,
  whenMissing: 'may create' | 'refuse',
): Promise<AccessContent> {
  return {
    acl: await readAcl(reading),
    passwords: await readPasswords(reading, whenMissing),
    psk: await readPsk(reading),
  }
}

export function accessPaths({ aclFile, passwordFile, psk }: ListenerConfig): string[] {
  return [aclFile, passwordFile, psk?.file].filter((file) => file !== undefined)
}

async function readAcl({ listener, log }: Reading): Promise<AclFile | undefined> {
  const { aclFile } = listener
  if (aclFile === undefined) return undefined
  const acl = parseAclFile(await read(aclFile, 'acl_file'), aclFile)
  warn(log, acl.warnings)
  return acl
}

async function readPasswords(
  { listener, log }: Reading,
  whenMissing: 'may create' | 'refuse',
): Promise<PasswordFile | undefined> {
  const { passwordFile } = listener
  if (passwordFile === undefined) return undefined
  if (whenMissing === 'may create' && (await isMissing(passwordFile))) {
    await createEmpty(passwordFile, log)
    return parsePasswordFile('', passwordFile)
  }
  const passwords = parsePasswordFile(await read(passwordFile, 'password_file'), passwordFile)
  warn(log, passwords.warnings)
  return passwords
}

async function readPsk({ listener, log }: Reading): Promise<PskFile | undefined> {
  const file = listener.psk?.file
  if (file === undefined) return undefined
  const psk = parsePskFile(await read(file, 'psk_file'), file)
  warn(log, psk.warnings)
  return psk
}

function warn(log: Log, warnings: readonly ConfigWarning[]): void {
  for (const { place, problem } of warnings) {
    const { file, line } = place
    log.warn({ event: 'access.odd', file, line }, problem)
  }
}

async function isMissing(file: string): Promise<boolean> {
  try {
    await access(file)
    return false
  } catch (err) {
    return codeOf(err) === 'ENOENT'
  }
}

/** As Mosquitto does at a start; nobody can log in by name until somebody fills it. */
async function createEmpty(file: string, log: Log): Promise<void> {
  const fields = { event: 'access.odd', file }
  try {
    await writeFile(file, '', { flag: 'wx', mode: 0o600 })
    log.warn(fields, `the password_file ${file} did not exist: created without any account`)
  } catch (err) {
    const why = messageOf(err)
    log.warn(fields, `the password_file ${file} does not exist: as if empty (${why})`)
  }
}

/** A million accounts, and short of what would end the process when it is taken apart by lines. */
const MAX_BYTES = 100 * 1024 * 1024

async function read(file: string, what: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > MAX_BYTES) throw new Error(`${size} bytes, expected at most ${MAX_BYTES}`)
    return await readFile(file, 'utf8')
  } catch (err) {
    const why =
      codeOf(err) === 'ENOENT'
        ? 'it does not exist; make it, or take it out of the configuration'
        : accessProblem(file, err)
    throw new OperationalError('FILE_UNREADABLE', `cannot read the ${what} ${file}: ${why}`, {
      cause: err,
    })
  }
}
