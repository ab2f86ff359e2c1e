/**
 * From root to the user the broker runs as: `user` of mosquitto.conf, or PUID and PGID. Ports and
 * files are opened before; afterwards nothing leads back.
 */
import { readFileSync } from 'node:fs'
import type { Environment } from '../config/index.ts'
import { OperationalError, messageOf } from '../core/errors.ts'

export interface TargetUser {
  /** As in /etc/passwd; undefined for a PUID without an entry there. */
  readonly name: string | undefined
  readonly uid: number
  readonly gid: number
}

/** The process, and in tests what stands for it. */
export interface Identity {
  geteuid(): number
  getuid(): number
  setgroups(groups: readonly (number | string)[]): void
  initgroups(user: string | number, extraGroup: string | number): void
  setgid(id: number): void
  setuid(id: number): void
}

/** What Mosquitto changes to when its file says nothing, and what stands in where it is missing. */
const DEFAULT_USER = 'mosquitto'
const STAND_IN = 'nobody'

export interface UserChoice {
  /** `user` of mosquitto.conf. */
  readonly user: string | undefined
  readonly environment: Environment
  /** Content of /etc/passwd. */
  readonly accounts: string
}

/**
 * Whom a process started as root changes to; undefined: `user root` or PUID=0, it stays root.
 *
 * @throws OperationalError `UNKNOWN_USER`, `PUID`
 */
export function targetUser(
  { user, environment, accounts }: UserChoice,
  warn: (text: string) => void,
): TargetUser | undefined {
  const [puid, pgid] = [idOf('PUID', environment), idOf('PGID', environment)]
  const known = entriesOf(accounts)
  if (puid !== undefined) {
    if (puid === 0) return undefined
    const entry = known.find(({ uid }) => uid === puid)
    return { name: entry?.name, uid: puid, gid: pgid ?? entry?.gid ?? puid }
  }
  const wanted = user ?? DEFAULT_USER
  if (wanted === 'root') return undefined
  const found = known.find(({ name }) => name === wanted)
  if (found !== undefined) return { ...found, gid: pgid ?? found.gid }
  const missing = `Unable to drop privileges to '${wanted}' because this user does not exist.`
  const standIn = known.find(({ name }) => name === STAND_IN)
  if (wanted !== DEFAULT_USER || standIn === undefined) {
    throw new OperationalError('UNKNOWN_USER', `${missing} Make it, or change 'user'.`)
  }
  warn(`${missing} Trying '${STAND_IN}' instead.`)
  return { ...standIn, gid: pgid ?? standIn.gid }
}

function idOf(variable: 'PUID' | 'PGID', environment: Environment): number | undefined {
  const text = environment[variable] ?? ''
  if (text === '') return undefined
  const id = /^\d{1,10}$/u.test(text) ? Number(text) : Number.NaN
  // The highest one means "no change" to the system calls.
  if (id < 0xffff_ffff) return id
  throw new OperationalError('PUID', `${variable} is "${text}", expected a number: a user's id`)
}

function entriesOf(accounts: string): { name: string; uid: number; gid: number }[] {
  return accounts.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = ''] = line.split(':')
    if (name === '' || !/^\d+$/u.test(uid) || !/^\d+$/u.test(gid)) return []
    return [{ name, uid: Number(uid), gid: Number(gid) }]
  })
}

/**
 * Group list, group, user: in this order, for afterwards there is no right to. Tries to come back,
 * and calls it a failure if that works.
 *
 * @throws OperationalError `USER_NOT_CHANGED`; the process must not go on then
 */
export function becomeUser(target: TargetUser, process: Identity): void {
  const who = target.name ?? `uid ${target.uid}`
  try {
    if (target.name === undefined) process.setgroups([target.gid])
    else process.initgroups(target.name, target.gid)
    process.setgid(target.gid)
    process.setuid(target.uid)
  } catch (err) {
    const text = `cannot change to ${who} (uid ${target.uid}, gid ${target.gid}): ${messageOf(err)}; a container needs CAP_SETUID and CAP_SETGID for it, or start it as that user`
    throw new OperationalError('USER_NOT_CHANGED', text, { cause: err })
  }
  if (process.getuid() !== target.uid || process.geteuid() !== target.uid || isRootAgain(process)) {
    throw new OperationalError('USER_NOT_CHANGED', `the change to ${who} had no effect`)
  }
}

function isRootAgain(process: Identity): boolean {
  try {
    process.setuid(0)
    return true
  } catch {
    return false
  }
}

/** @returns undefined where there are no such ids (Windows) */
export function ownIdentity(): Identity | undefined {
  const { geteuid, getuid, setgroups, setgid, setuid } = process
  // Node has it, its types do not.
  const initgroups: unknown = Reflect.get(process, 'initgroups')
  if (geteuid === undefined || getuid === undefined || typeof initgroups !== 'function') {
    return undefined
  }
  if (setgroups === undefined || setgid === undefined || setuid === undefined) return undefined
  return {
    geteuid,
    getuid,
    setgroups: (groups) => setgroups([...groups]),
    initgroups: (user, extraGroup) => void Reflect.apply(initgroups, process, [user, extraGroup]),
    setgid,
    setuid,
  }
}

/** Content of /etc/passwd; empty where there is none. */
export function accountsOfSystem(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8')
  } catch {
    return ''
  }
}

/**
 * UMASK_SET, octal: of every file made from here on.
 *
 * @throws OperationalError `UMASK_SET`
 */
export function umaskOf(environment: Environment): number | undefined {
  const text = environment['UMASK_SET'] ?? ''
  if (text === '') return undefined
  if (/^0?[0-7]{1,3}$/u.test(text)) return Number.parseInt(text, 8)
  throw new OperationalError('UMASK_SET', `UMASK_SET is "${text}", expected an octal number: 0027`)
}
