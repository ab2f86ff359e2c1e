/** What a process that was killed while writing leaves behind: files that never got their name. */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '../core/errors.ts'

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
/** As atomic-file.ts and directory-lock.ts name them. */
const UNFINISHED = new RegExp(
  `^\\..+\\.${UUID}\\.tmp$|^\\.authority\\.lock(?:\\.breaking)?\\.${UUID}$`,
  'u',
)
/** No write takes this long. */
const FINISHED_MS = 60_000

/**
 * Removes them from one directory, when they are a minute old: other processes may be writing.
 * A directory that does not exist has none.
 *
 * @param now milliseconds since 1970, by the clock of the file system
 */
export async function removeLeftovers(directory: string, now: number): Promise<void> {
  for (const name of await namesIn(directory)) {
    if (!UNFINISHED.test(name)) continue
    const path = join(directory, name)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && now - found.mtimeMs > FINISHED_MS) await rm(path, { force: true })
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return []
    throw err
  }
}
