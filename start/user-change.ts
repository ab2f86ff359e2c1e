/** The change of user of a start with mosquitto.conf: files made before belong to the user after. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fstatSync,
  openSync,
} from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Environment } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { accessProblem, ourselves } from '../core/file-access.ts'
import type { Log } from '../core/log.ts'
import {
  accountsOfSystem,
  becomeUser,
  ownIdentity,
  targetUser,
  type TargetUser,
} from './privileges.ts'

/** Files the broker makes by itself: absent before the start, they are the new user's after it. */
export function absentFiles(config: Config): readonly string[] {
  const { pidFile, log, listeners } = config
  const made = [log.mosquitto?.file, ...listeners.map((one) => one.passwordFile)]
  const absent = made.filter((file) => file !== undefined && !existsSync(file))
  // A pid_file is made anew in any case.
  return [...new Set([pidFile, ...absent])].filter((file) => file !== undefined)
}

export interface UserChange {
  /**
   * Call once ports and files are open.
   *
   * @param waiting listeners that could not be opened yet, and what they wait for
   * @throws OperationalError `USER_NOT_CHANGED`
   */
  carryOut(waiting: ReadonlyMap<string, string>): void
}

export interface PlannedChange {
  readonly config: Config
  readonly environment: Environment
  /** The configuration files. */
  readonly sources: readonly string[]
  /** See absentFiles. */
  readonly absent: readonly string[]
  readonly log: Log
}

/**
 * Ask before anything is opened, so that an unknown user ends the start early. Undefined: nothing to
 * change.
 *
 * @throws OperationalError `UNKNOWN_USER`, `PUID`
 */
export function plannedChange(options: PlannedChange): UserChange | undefined {
  const identity = ownIdentity()
  if (identity?.geteuid() !== 0) return undefined
  const { config, environment, log } = options
  const accounts = accountsOfSystem()
  const target = targetUser({ user: config.user, environment, accounts }, (text) =>
    log.warn({ event: 'user.missing' }, text),
  )
  if (target === undefined) {
    const text = "running as root: 'user' names root; a broker should not have root's rights"
    log.warn({ event: 'user.root' }, text)
    return undefined
  }
  return {
    carryOut: (waiting) => {
      for (const file of options.absent) giveTo(target, file, log)
      becomeUser(target, identity)
      tellOfLosses(target, waiting, options)
    },
  }
}

function tellOfLosses(
  target: TargetUser,
  waiting: ReadonlyMap<string, string>,
  { config, sources, log }: PlannedChange,
): void {
  const user = target.name ?? `uid ${target.uid}`
  log.info({ event: 'user.changed', user }, `running as ${user} (${ourselves()})`)
  for (const problem of lostAccess(config, sources)) {
    log.warn({ event: 'user.lostAccess', user }, problem)
  }
  for (const [name, what] of waiting) {
    const { port } = config.listeners.find((listener) => listener.name === name) ?? { port: 0 }
    if (port === 0 || port >= FIRST_FREE_PORT) continue
    const text = `listener ${name} waits (${what}) and cannot be opened later as ${user}: port ${port} is root's; make its files and start again`
    log.error({ event: 'user.lostAccess', user, listener: name }, text)
  }
}

const FIRST_FREE_PORT = 1024

/** Never through a link, and only what is nobody else's: the directory may be that user's own. */
function giveTo({ uid, gid }: TargetUser, file: string, log: Log): void {
  try {
    const handle = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const found = fstatSync(handle)
      if (found.isFile() && found.nlink === 1 && found.uid === 0) fchownSync(handle, uid, gid)
    } finally {
      closeSync(handle)
    }
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return
    log.warn({ event: 'user.lostAccess', file }, `${file} stays root's: ${messageOf(err)}`)
  }
}

/** What this process, as it is now, will not be able to read again, write or remove. */
function lostAccess(config: Config, sources: readonly string[]): readonly string[] {
  const followed = new Set<string | undefined>(sources)
  for (const { aclFile, passwordFile, psk, tls } of config.listeners) {
    for (const file of [aclFile, passwordFile, psk?.file]) followed.add(file)
    for (const file of [tls?.certfile, tls?.keyfile, tls?.cafile, tls?.capath, tls?.crlfile]) {
      followed.add(file)
    }
  }
  const { pidFile, log, crlWriter } = config
  followed.add(crlWriter?.caCertificate).add(crlWriter?.caKey)
  const logFile = log.mosquitto?.file
  const crlFolder = crlWriter === undefined ? undefined : dirname(crlWriter.output)
  return [
    ...[...followed].map((file) =>
      refusal(file, constants.R_OK, 'cannot be read again, a change to it will be refused'),
    ),
    refusal(crlFolder, constants.W_OK, 'cannot take the CRL that is written here'),
    refusal(logFile, constants.W_OK, 'cannot be opened again after it was rotated'),
    pidFile === undefined
      ? undefined
      : refusal(
          dirname(pidFile),
          constants.W_OK,
          `will keep an empty ${basename(pidFile)} when the broker has ended`,
        ),
  ].filter((problem) => problem !== undefined)
}

function refusal(file: string | undefined, mode: number, meaning: string): string | undefined {
  if (file === undefined) return undefined
  try {
    accessSync(file, mode)
    return undefined
  } catch (err) {
    // What does not exist yet is awaited, or said elsewhere.
    if (codeOf(err) === 'ENOENT') return undefined
    return `${file} ${meaning}: ${accessProblem(file, err)}`
  }
}
