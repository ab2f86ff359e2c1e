/** One process at a time changes a CA directory: two that count crlNumber would lose a revocation. */
import { randomUUID } from 'node:crypto'
import { link, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { codeOf } from '../core/errors.ts'
import { AuthorityError } from './errors.ts'

const LOCK_FILE = '.authority.lock'
const PATIENCE_MS = 15_000
const RETRY_MS = 50
/** No work in a directory takes this long: the process is gone, perhaps with its container. */
const ABANDONED_MS = 10 * 60_000
/** Removing an abandoned lock takes milliseconds; who has not finished by then is gone too. */
const BREAKING_MS = 10_000

/** Locks of this process; a lock with our process id that is not among them is another life's. */
const held = new Set<string>()

/**
 * Runs `work` while no other process holds the directory. The lock of a process that is gone is
 * removed.
 *
 * @throws AuthorityError `authority_locked` after 15 seconds
 */
export async function withDirectoryLock<T>(
  directory: string,
  clock: Clock,
  work: () => Promise<T>,
): Promise<T> {
  const path = join(directory, LOCK_FILE)
  const deadline = clock.monotonic() + PATIENCE_MS
  while (!(await take(path))) {
    if ((await isAbandoned(path, clock.now())) && (await breakLock(path, clock.now()))) continue
    if (clock.monotonic() >= deadline) {
      const holder = await readFile(path, 'utf8').catch(() => 'unknown')
      const text = `${path} is held by ${holder}; if that process is gone, remove the file`
      throw new AuthorityError('authority_locked', text)
    }
    await clock.sleep(RETRY_MS)
  }
  held.add(path)
  try {
    return await work()
  } finally {
    held.delete(path)
    await rm(path, { force: true })
  }
}

/** Whole from the first moment on: a process that ends half-way leaves no lock without a holder. */
async function take(path: string): Promise<boolean> {
  const holder = `${process.pid} ${hostname()}`
  const aside = `${path}.${randomUUID()}`
  try {
    await writeFile(aside, holder, { mode: 0o600, flag: 'wx' })
    await link(aside, path)
    return true
  } catch (err) {
    if (codeOf(err) === 'EEXIST') return false
    // No hard links here (FAT, some container mounts).
    if (['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(codeOf(err) ?? '')) {
      return await takeWithoutLink(path, holder)
    }
    throw err
  } finally {
    await rm(aside, { force: true })
  }
}

async function takeWithoutLink(path: string, holder: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx', 0o600)
    await handle.writeFile(holder)
    await handle.close()
    return true
  } catch (err) {
    if (codeOf(err) === 'EEXIST') return false
    throw err
  }
}

/**
 * One at a time, and after a second look: of two that found the same abandoned lock, the slower
 * would otherwise remove the new one of the faster.
 */
async function breakLock(path: string, now: number): Promise<boolean> {
  const breaking = `${path}.breaking`
  if (!(await take(breaking))) {
    const since = await stat(breaking).catch(() => undefined)
    if (since !== undefined && now - since.mtimeMs > BREAKING_MS)
      await rm(breaking, { force: true })
    return false
  }
  try {
    if (await isAbandoned(path, now)) await rm(path, { force: true })
    return true
  } finally {
    await rm(breaking, { force: true })
  }
}

async function isAbandoned(path: string, now: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path)
    if (now - mtimeMs > ABANDONED_MS) return true
    const [pid, host] = (await readFile(path, 'utf8')).split(' ')
    if (pid === undefined || host !== hostname() || !/^\d+$/u.test(pid)) return false
    return Number(pid) === process.pid ? !held.has(path) : !isRunning(Number(pid))
  } catch (err) {
    // Let go of in the meantime: the next attempt decides.
    if (codeOf(err) === 'ENOENT') return false
    throw err
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return codeOf(err) !== 'ESRCH'
  }
}
