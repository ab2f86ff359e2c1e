/**
 * One Midge per data directory. The lock is a file with the pid of its owner and when that process
 * began, so that it means nothing any more once the process is gone, however it went. Where the pid
 * cannot be looked up (another container or machine on the same volume), the owner shows that it is
 * alive by touching the file every second.
 *
 * Two starts that find the same dead lock at the same moment are told apart by renaming it; should
 * both get through all the same, PostgreSQL's own interlock lets one server start.
 */
import { readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { codeOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { unwritable } from './directories.ts'
import { EmbeddedPostgresError } from './errors.ts'
import { identify, pidSpace } from './processes.ts'

interface Owner {
  readonly pid: number
  /** As `identify` says it. */
  readonly start: string
  readonly space: string
  /** ISO 8601, for the reader. */
  readonly since: string
}

export interface DirectoryLock {
  release(): Promise<void>
}

const TOUCH_MS = 1000
/** An owner out of sight that has not touched its lock for this long is gone. */
const SILENT_MS = 15_000
/** How long a lock that was touched lately is watched for another touch. */
const WATCH_MS = 4000

/** @throws EmbeddedPostgresError IN_USE, DIRECTORY */
export async function lockDirectory(
  path: string,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<DirectoryLock> {
  const { clock } = deps
  const self = await identify(process.pid)
  const owner: Owner = {
    pid: process.pid,
    start: self?.start ?? 'unknown',
    space: await pidSpace(),
    since: new Date(clock.now()).toISOString(),
  }
  const text = `${JSON.stringify(owner)}\n`
  while (!(await create(path, text))) await removeIfDead(path, owner, deps)

  const stopTouching = clock.every(TOUCH_MS, () => {
    const now = clock.now() / 1000
    utimes(path, now, now).catch(() => undefined)
  })
  return {
    async release() {
      stopTouching()
      if ((await readFile(path, 'utf8').catch(() => '')) === text) await unlink(path)
    },
  }
}

async function create(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o644 })
    return true
  } catch (err) {
    if (codeOf(err) === 'EEXIST') return false
    throw unwritable(path, err)
  }
}

/** Settles when the lock can be tried for again. */
async function removeIfDead(
  path: string,
  self: Owner,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  const text = await readFile(path, 'utf8').catch((err: unknown) => {
    if (codeOf(err) === 'ENOENT') return undefined
    throw unwritable(path, err)
  })
  if (text === undefined) return
  const owner = parseOwner(text)
  if (await isAlive(path, owner, self, deps)) {
    const who = owner === undefined ? '' : ` (pid ${owner.pid}, since ${owner.since})`
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_IN_USE',
      `another Midge${who} uses the data directory, as ${path} says: stop that one first, or give this one its own directory with --data or MIDGE_DATA`,
    )
  }
  await removeExactly(path, text, self)
}

async function isAlive(
  path: string,
  owner: Owner | undefined,
  self: Owner,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<boolean> {
  if (owner?.space === self.space) return (await identify(owner.pid))?.start === owner.start
  // Out of sight; or the file is being written, or its writer was killed in the middle of it.
  const touched = await touchedAt(path)
  if (touched === undefined || clock.now() - touched > SILENT_MS) return false
  log.info(
    { event: 'lock.watched', path, ms: WATCH_MS },
    'the data directory was in use a moment ago; looking whether it still is',
  )
  for (let waited = 0; waited < WATCH_MS; waited += TOUCH_MS / 4) {
    await clock.sleep(TOUCH_MS / 4)
    const now = await touchedAt(path)
    if (now === undefined) return false
    if (now !== touched) return true
  }
  return false
}

async function touchedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw unwritable(path, err)
  }
}

/** Removes the lock unless it has become another's since it was read. */
async function removeExactly(path: string, text: string, self: Owner): Promise<void> {
  const aside = `${path}.${self.pid}.dead`
  try {
    await rename(path, aside)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return
    throw unwritable(path, err)
  }
  const removed = await readFile(aside, 'utf8')
  if (removed !== text) await writeFile(path, removed, { flag: 'wx', mode: 0o644 })
  await unlink(aside)
}

function parseOwner(text: string): Owner | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isOwner(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false
  if (!('pid' in value && 'start' in value && 'space' in value && 'since' in value)) return false
  return (
    typeof value.pid === 'number' &&
    typeof value.start === 'string' &&
    typeof value.space === 'string' &&
    typeof value.since === 'string'
  )
}
