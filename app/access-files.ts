/**
 * acl_file, password_file and psk_file of one listener: read as a whole, followed, and applied in one
 * step. A file that cannot be read or has a bad line changes nothing; the last good one stays in
 * force.
 */
import {
  PasswordAccounts,
  compileAcl,
  type AccessRules,
  type ListenerAccess,
} from '../broker/index.ts'
import type { AclFile, ListenerConfig } from '../config/index.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { watchFiles, type FileWatch } from '../core/watch-files.ts'
import { accessPaths, readAccess, type AccessContent } from './access-content.ts'
import { InTurn } from './in-turn.ts'

export interface AccessFilesOptions {
  readonly listener: ListenerConfig
  readonly tenancy: boolean
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'accessFilesRejected'>
  readonly random: (bytes: number) => Buffer
  /** A change of one file and a reload of all of them do not overlap. */
  readonly turns?: InTurn
  readonly settleMs?: number
}

export interface AccessFilesEvents {
  rulesReplaced(rules: AccessRules): void
  /** Accounts whose line is gone or another one now. */
  accountsReplaced(isGone: (userName: string) => boolean): void
}

/** Read and found good, and not in force yet: to be applied or abandoned. */
export interface PreparedAccess {
  /** In force on return. */
  apply(): ListenerAccess
  abandon(): void
}

export class AccessFiles {
  readonly #options: AccessFilesOptions
  readonly #turns: InTurn
  #listener: ListenerConfig
  #content: AccessContent = { acl: undefined, passwords: undefined, psk: undefined }
  #accounts: PasswordAccounts | undefined
  #rules: AccessRules
  #watch: FileWatch | undefined
  #events: AccessFilesEvents | undefined
  #problem: string | undefined

  private constructor(options: AccessFilesOptions, content: AccessContent) {
    this.#options = options
    this.#turns = options.turns ?? new InTurn()
    this.#listener = options.listener
    this.#rules = rulesOf(options.listener, options.tenancy, content.acl)
    this.#put(options.listener, content)
  }

  /** @throws ConfigErrors, or OperationalError `FILE_UNREADABLE`: a start is the moment to be told */
  static async open(options: AccessFilesOptions): Promise<AccessFiles> {
    const files = new AccessFiles(options, await readAccess(options, 'may create'))
    files.#watch = await files.#follow(options.listener)
    return files
  }

  get rules(): AccessRules {
    return this.#rules
  }

  /** Undefined: there is no password_file. */
  get accounts(): PasswordAccounts | undefined {
    return this.#accounts
  }

  /** For new handshakes; connections that are open stay. */
  readonly keys = { keyOf: (identity: string) => this.#content.psk?.keys.get(identity) }

  /** Why the files on disk are not the ones in force, if so. */
  get alarm(): string | undefined {
    return this.#problem
  }

  follow(events: AccessFilesEvents): void {
    this.#events = events
  }

  /** Reads all of them again. Never rejects. */
  reload(): Promise<void> {
    return this.#turns.run(() => this.#reload())
  }

  /**
   * Reads what the listener will name, while the present stays in force; in one turn with `apply`.
   *
   * @throws ConfigErrors, or OperationalError `FILE_UNREADABLE`
   */
  async prepare(listener: ListenerConfig): Promise<PreparedAccess> {
    const isElsewhere = String(accessPaths(listener)) !== String(accessPaths(this.#listener))
    // Followed before it is read: a change in between has its turn after this one.
    const watch = isElsewhere ? await this.#follow(listener) : undefined
    try {
      const content = await readAccess({ listener, log: this.#options.log }, 'refuse')
      return {
        apply: () => {
          if (isElsewhere) {
            this.#watch?.close()
            this.#watch = watch
          }
          return this.#put(listener, content)
        },
        abandon: () => watch?.close(),
      }
    } catch (err) {
      watch?.close()
      throw err
    }
  }

  close(): void {
    this.#watch?.close()
  }

  async #reload(): Promise<void> {
    const { log } = this.#options
    const listener = this.#listener
    try {
      const content = await readAccess({ listener, log }, 'refuse')
      const { rules, isChanged } = this.#put(listener, content)
      this.#events?.rulesReplaced(rules)
      this.#events?.accountsReplaced(isChanged)
      log.info({ event: 'access.replaced', listener: listener.name }, 'access files in force')
    } catch (err) {
      this.#alarm(messageOf(err))
      log.error(
        { event: 'access.rejected', listener: listener.name, problem: this.#problem },
        'access files refused: the last good ones stay in force',
      )
    }
  }

  #put(listener: ListenerConfig, content: AccessContent): ListenerAccess {
    const before = this.#content
    const { acl, passwords } = content
    this.#listener = listener
    this.#content = content
    this.#rules = rulesOf(listener, this.#options.tenancy, acl)
    if (passwords === undefined) this.#accounts = undefined
    else if (this.#accounts !== undefined) this.#accounts.replace(passwords)
    else this.#accounts = new PasswordAccounts(passwords, { random: this.#options.random })
    this.#alarm(undefined)
    return {
      accounts: this.#accounts,
      rules: this.#rules,
      isChanged: (name) =>
        passwordLine(before, name) !== passwordLine(content, name) ||
        keyText(before, name) !== keyText(content, name),
    }
  }

  #alarm(problem: string | undefined): void {
    this.#problem = problem
    const { metrics } = this.#options
    metrics.accessFilesRejected.set(
      { listener: this.#listener.name },
      problem === undefined ? 0 : 1,
    )
  }

  async #follow(listener: ListenerConfig): Promise<FileWatch | undefined> {
    const files = accessPaths(listener)
    if (files.length === 0) return undefined
    const { clock, settleMs } = this.#options
    return await watchFiles({
      files,
      clock,
      onChange: () => void this.reload(),
      ...(settleMs === undefined ? {} : { settleMs }),
    })
  }
}

function rulesOf(
  { accountAccess }: ListenerConfig,
  tenancy: boolean,
  acl: AclFile | undefined,
): AccessRules {
  return {
    tenancy,
    acl: acl === undefined ? undefined : compileAcl(acl),
    accountAccess: accountAccess === 'everything' ? accountAccess : new Set(accountAccess),
  }
}

function passwordLine({ passwords }: AccessContent, name: string): string | undefined {
  return passwords?.accounts.get(name)?.encoded
}

function keyText({ psk }: AccessContent, identity: string): string | undefined {
  return psk?.keys.get(identity)?.toString('hex')
}
