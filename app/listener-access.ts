/** The access files of all listeners, and their replacement as a whole. */
import type { AccessRules, ListenerAccess } from '../broker/index.ts'
import { ConfigErrors, errorLines } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { AccessFiles, type AccessFilesOptions, type PreparedAccess } from './access-files.ts'
import { InTurn } from './in-turn.ts'

type Options = Omit<AccessFilesOptions, 'listener' | 'tenancy' | 'turns'> & {
  readonly config: Pick<Config, 'listeners' | 'tenancy'>
}

export type Replacement<T> =
  | { readonly replaced: true; readonly outcome: T }
  /** Nothing was changed; one line each, with file and line. */
  | { readonly replaced: false; readonly problems: readonly string[] }

export class ListenersAccess {
  readonly #turns: InTurn
  readonly #files: ReadonlyMap<string, AccessFiles>

  private constructor(turns: InTurn, files: ReadonlyMap<string, AccessFiles>) {
    this.#turns = turns
    this.#files = files
  }

  /** @throws ConfigErrors, or OperationalError `FILE_UNREADABLE`; nothing is followed then */
  static async open({ config, ...options }: Options): Promise<ListenersAccess> {
    const turns = new InTurn()
    const files = new Map<string, AccessFiles>()
    const { tenancy } = config
    try {
      for (const listener of config.listeners) {
        const one = await AccessFiles.open({ ...options, listener, tenancy, turns })
        files.set(listener.name, one)
      }
    } catch (err) {
      for (const one of files.values()) one.close()
      throw err
    }
    return new ListenersAccess(turns, files)
  }

  /** By the listener's name. */
  get files(): ReadonlyMap<string, AccessFiles> {
    return this.#files
  }

  /** From now on a changed file is told of. */
  follow(broker: {
    replaceAccess(listener: string, rules: AccessRules): void
    closeAccounts(listener: string, isGone: (userName: string) => boolean): number
  }): void {
    for (const [name, files] of this.#files) {
      files.follow({
        rulesReplaced: (rules) => broker.replaceAccess(name, rules),
        accountsReplaced: (isGone) => broker.closeAccounts(name, isGone),
      })
    }
  }

  /** Reads all of them again, each listener's for itself. Never rejects. */
  async reload(): Promise<void> {
    for (const files of this.#files.values()) await files.reload()
  }

  /**
   * Reads and checks whatever the listeners of `config` name. If all of it is good it is put in force,
   * and `apply` called, within one task of the event loop; otherwise nothing happens.
   */
  replace<T>(
    config: Pick<Config, 'listeners'>,
    apply: (access: ReadonlyMap<string, ListenerAccess>) => T,
  ): Promise<Replacement<T>> {
    return this.#turns.run(async () => {
      const prepared = new Map<string, PreparedAccess>()
      // Listeners may share a file, and what is wrong with it is told once.
      const problems = new Set<string>()
      for (const listener of config.listeners) {
        const files = this.#files.get(listener.name)
        if (files === undefined) throw new Error(`no listener ${listener.name}`)
        try {
          prepared.set(listener.name, await files.prepare(listener))
        } catch (err) {
          for (const line of problemLines(err)) problems.add(line)
        }
      }
      if (problems.size > 0) {
        for (const one of prepared.values()) one.abandon()
        return { replaced: false, problems: [...problems] }
      }
      // A task of its own: see Broker.replaceRules.
      await new Promise((resolve) => setImmediate(resolve))
      const access = new Map([...prepared].map(([name, one]) => [name, one.apply()]))
      return { replaced: true, outcome: apply(access) }
    })
  }

  close(): void {
    for (const files of this.#files.values()) files.close()
  }
}

/** A bug stays one. */
function problemLines(err: unknown): readonly string[] {
  if (err instanceof ConfigErrors) return errorLines(err)
  if (err instanceof OperationalError) return [err.message]
  throw err
}
