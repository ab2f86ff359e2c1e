/** Files that are whole or absent, whenever the power fails. */
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { codeOf } from '../core/errors.ts'

/** Modes: what only the owner may read, and what anyone may. */
export const SECRET = 0o600
export const PUBLIC = 0o644

export interface FileToWrite {
  readonly path: string
  readonly content: string | Uint8Array
  readonly mode: number
}

/**
 * Replaces the file, or makes it: readers see the old content or the new, and what they have seen
 * survives a crash. The mode holds from the first byte on, whatever the umask.
 */
export async function writeFileAtomically(file: FileToWrite): Promise<void> {
  await writeAside(file, (aside) => rename(aside, file.path))
}

/** The same, for a file that must never be overwritten; false when it exists already. */
export async function createFileAtomically(file: FileToWrite): Promise<boolean> {
  let created = true
  await writeAside(file, async (aside) => {
    try {
      await link(aside, file.path)
    } catch (err) {
      if (codeOf(err) === 'EEXIST') created = false
      // No hard links here (FAT, some container mounts): a look and a rename must do.
      else if (await exists(file.path)) created = false
      else await rename(aside, file.path)
    }
  })
  return created
}

async function writeAside(
  file: FileToWrite,
  place: (aside: string) => Promise<void>,
): Promise<void> {
  const directory = dirname(file.path)
  await mkdir(directory, { recursive: true })
  const aside = join(directory, `.${basename(file.path)}.${randomUUID()}.tmp`)
  try {
    const handle = await open(aside, 'wx', file.mode)
    try {
      await handle.writeFile(file.content)
      await handle.chmod(file.mode)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await place(aside)
    await syncDirectory(directory)
  } finally {
    await rm(aside, { force: true })
  }
}

/** A rename is only lasting once its directory is. */
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

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return false
    throw err
  }
}
