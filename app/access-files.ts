/**
 * acl_file and password_file of one listener: read as a whole, followed, and applied in one step. A
 * file that cannot be read or has a bad line changes nothing; the last good one stays in force.
 */
import { access, readFile, writeFile } from 'node:fs/promises'
import { PasswordAccounts, compileAcl, type AccessRules } from '../broker/index.ts'
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
import type { Clock } from '../core/clock.ts'
import { OperationalError, codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { watchFiles, type FileWatch } from '../core/watch-files.ts'

export interface AccessFilesOptions {
  readonly listener: ListenerConfig
  readonly tenancy: boolean
  readonly clock: Clock
  readonly log: Log
  readonly random: (bytes: number) => Buffer
  readonly settleMs?: number
}

export interface AccessFilesEvents {
  rulesReplaced(rules: AccessRules): void
  /** Accounts whose line is gone or another one now. */
  accountsReplaced(isGone: (userName: string) => boolean): void
}

export class AccessFiles {
  readonly accounts: PasswordAccounts | undefined
  readonly #options: AccessFilesOptions
  #rules: AccessRules
  #passwords: PasswordFile | undefined
  #psk: PskFile | undefined
  #watch: FileWatch | undefined
  #events: AccessFilesEvents | undefined
  #problem: string | undefined

  private constructor(
    options: AccessFilesOptions,
    acl: AclFile | undefined,
    passwords: PasswordFile | undefined,
    psk: PskFile | undefined,
  ) {
    this.#options = options
    this.#rules = rulesOf(options, acl)
    this.#passwords = passwords
    this.#psk = psk
    const { random } = options
    this.accounts =
      passwords === undefined ? undefined : new PasswordAccounts(passwords, { random })
  }

  /** @throws ConfigErrors, or OperationalError `FILE_UNREADABLE`: a start is the moment to be told */
  static async open(options: AccessFilesOptions): Promise<AccessFiles> {
    const files = new AccessFiles(
      options,
      await readAcl(options),
      await readPasswords(options, 'may create'),
      await readPsk(options),
    )
    const { aclFile, passwordFile, psk } = options.listener
    const followed = [aclFile, passwordFile, psk?.file].filter((file) => file !== undefined)
    if (followed.length > 0) {
      files.#watch = await watchFiles({
        files: followed,
        clock: options.clock,
        onChange: () => void files.reload(),
        ...(options.settleMs === undefined ? {} : { settleMs: options.settleMs }),
      })
    }
    return files
  }

  get rules(): AccessRules {
    return this.#rules
  }

  /** For new handshakes; connections that are open stay. */
  readonly keys = { keyOf: (identity: string) => this.#psk?.keys.get(identity) }

  /** Why the files on disk are not the ones in force, if so. */
  get alarm(): string | undefined {
    return this.#problem
  }

  follow(events: AccessFilesEvents): void {
    this.#events = events
  }

  /** Reads all of them again. Never rejects. */
  async reload(): Promise<void> {
    const { log, listener } = this.#options
    try {
      const [acl, passwords] = [await readAcl(this.#options), await readPasswords(this.#options)]
      const psk = await readPsk(this.#options)
      this.#problem = undefined
      this.#rules = rulesOf(this.#options, acl)
      const before = this.#passwords?.accounts
      const keysBefore = this.#psk?.keys
      if (passwords !== undefined) this.accounts?.replace(passwords)
      this.#passwords = passwords
      this.#psk = psk
      this.#events?.rulesReplaced(this.#rules)
      this.#events?.accountsReplaced(
        (name) =>
          before?.get(name)?.encoded !== passwords?.accounts.get(name)?.encoded ||
          keysBefore?.get(name)?.toString('hex') !== psk?.keys.get(name)?.toString('hex'),
      )
      log.info({ event: 'access.replaced', listener: listener.name }, 'access files in force')
    } catch (err) {
      this.#problem = messageOf(err)
      log.error(
        { event: 'access.rejected', listener: listener.name, problem: this.#problem },
        'access files refused: the last good ones stay in force',
      )
    }
  }

  close(): void {
    this.#watch?.close()
  }
}

function rulesOf({ listener, tenancy }: AccessFilesOptions, acl: AclFile | undefined): AccessRules {
  const { accountAccess } = listener
  return {
    tenancy,
    acl: acl === undefined ? undefined : compileAcl(acl),
    accountAccess: accountAccess === 'everything' ? accountAccess : new Set(accountAccess),
  }
}

async function readAcl({ listener, log }: AccessFilesOptions): Promise<AclFile | undefined> {
  const { aclFile } = listener
  if (aclFile === undefined) return undefined
  const acl = parseAclFile(await read(aclFile, 'acl_file'), aclFile)
  warn(log, acl.warnings)
  return acl
}

async function readPasswords(
  { listener, log }: AccessFilesOptions,
  whenMissing: 'may create' | 'refuse' = 'refuse',
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

async function readPsk({ listener, log }: AccessFilesOptions): Promise<PskFile | undefined> {
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

async function read(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (err) {
    const why =
      codeOf(err) === 'ENOENT'
        ? 'it does not exist; make it, or take it out of the configuration'
        : messageOf(err)
    throw new OperationalError('FILE_UNREADABLE', `cannot read the ${what} ${file}: ${why}`, {
      cause: err,
    })
  }
}
