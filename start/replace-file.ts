/**
 * A file of the operator's in one step: readers, a running broker among them, see the old content or
 * the new. What stands there keeps its mode and owner, and a link stays a link.
 */
import { randomUUID } from 'node:crypto'
import { chown, open, readFile, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { OperationalError, codeOf, messageOf } from '../core/errors.ts'
import { accessProblem, octal } from '../core/file-access.ts'

const NEW_FILE_MODE = 0o600
/** As many as Linux follows. */
const MAX_LINKS = 40

export interface FoundFile {
  /** As given. */
  readonly name: string
  /** Where the content is, behind every link. */
  readonly target: string
  /** Undefined: there is none yet. */
  readonly content: Buffer | undefined
  /** Of the moment it was read. */
  readonly state: string | undefined
  readonly owner: { readonly mode: number; readonly uid: number; readonly gid: number } | undefined
}

/** @throws OperationalError `FILE_UNREADABLE` for everything but a file that does not exist */
export async function findFile(name: string): Promise<FoundFile> {
  try {
    const target = await targetOf(name)
    const before = await statIfThere(target)
    if (before === undefined) {
      return { name, target, content: undefined, state: undefined, owner: undefined }
    }
    if (!before.isFile()) throw new Error('it is no regular file')
    const content = await readFile(target)
    const { mode, uid, gid } = before
    return { name, target, content, state: before.state, owner: { mode: mode & 0o7777, uid, gid } }
  } catch (err) {
    const text = `Unable to open password file ${name}: ${accessProblem(name, err)}.`
    throw new OperationalError('FILE_UNREADABLE', text, { cause: err })
  }
}

/**
 * Flushed to the disk before it takes the old one's place. A file that is a mount of its own (a
 * container's) cannot be renamed over and is written in place.
 *
 * @throws OperationalError `FILE_NOT_REPLACED`: as it was before
 */
export async function replaceFile(found: FoundFile, content: string): Promise<void> {
  const { name, target, owner } = found
  const aside = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`)
  try {
    await writeAside(aside, content, owner)
    if ((await statIfThere(target))?.state !== found.state) {
      throw new Error('somebody else changed it at the same moment; try again')
    }
    try {
      await rename(aside, target)
    } catch (err) {
      if (codeOf(err) !== 'EBUSY') throw err
      await writeInPlace(target, content)
    }
    await syncDirectory(dirname(target))
  } catch (err) {
    const directory = dirname(target)
    const why =
      codeOf(err) === undefined ? messageOf(err) : `${directory}: ${accessProblem(directory, err)}`
    const text = `Unable to write password file ${name}: ${why}.`
    throw new OperationalError('FILE_NOT_REPLACED', text, { cause: err })
  } finally {
    await rm(aside, { force: true })
  }
}

async function writeAside(
  aside: string,
  content: string,
  owner: FoundFile['owner'],
): Promise<void> {
  const handle = await open(aside, 'wx', NEW_FILE_MODE)
  try {
    await handle.writeFile(content)
    if (owner !== undefined) {
      await keepOwner(aside, owner)
      await handle.chmod(owner.mode)
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function keepOwner(
  aside: string,
  { uid, gid, mode }: NonNullable<FoundFile['owner']>,
): Promise<void> {
  const own = await stat(aside)
  if (own.uid === uid && own.gid === gid) return
  try {
    await chown(aside, uid, gid)
  } catch (err) {
    if (codeOf(err) !== 'EPERM') throw err
    const whose = `it belongs to ${uid}:${gid} (mode ${octal(mode)})`
    throw new Error(`${whose}, which only its owner or root can keep; run this as uid ${uid}`, {
      cause: err,
    })
  }
}

async function writeInPlace(target: string, content: string): Promise<void> {
  const handle = await open(target, 'r+')
  try {
    const bytes = Buffer.from(content)
    await handle.write(bytes, 0, bytes.length, 0)
    await handle.truncate(bytes.length)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } catch (err) {
    // Some network file systems cannot sync a directory.
    if (codeOf(err) !== 'EINVAL' && codeOf(err) !== 'EPERM') throw err
  } finally {
    await handle.close()
  }
}

/** Behind links to a file that is not there yet, too. */
async function targetOf(name: string): Promise<string> {
  let path = resolve(name)
  for (let links = 0; links < MAX_LINKS; links++) {
    try {
      return await realpath(path)
    } catch (err) {
      if (codeOf(err) !== 'ENOENT') throw err
    }
    const next = await readlink(path).catch(() => undefined)
    if (next === undefined) return path
    path = resolve(dirname(path), next)
  }
  throw new Error(`more than ${MAX_LINKS} links, one behind the other`)
}

async function statIfThere(path: string) {
  try {
    const { ino, size, mtimeNs, ctimeNs, mode, uid, gid, ...found } = await stat(path, {
      bigint: true,
    })
    return {
      isFile: () => (Number(mode) & 0o170000) === 0o100000,
      mode: Number(mode),
      uid: Number(uid),
      gid: Number(gid),
      state: [found.dev, ino, size, mtimeNs, ctimeNs].join(' '),
    }
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}
