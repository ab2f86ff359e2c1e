/**
 * npm packages cannot hold symbolic links. The platform packages list theirs in `pg-symlinks.json`
 * and make them in a postinstall script, which `--ignore-scripts` and newer npm versions skip.
 */
import { lstat, readFile, symlink } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { codeOf } from '../core/errors.ts'

interface Link {
  /** What the link points at, and where it stands; both below the package's folder. */
  readonly source: string
  readonly target: string
}

/**
 * Makes those links that are missing; may run in several processes at once.
 *
 * @returns the error that kept one from being made; undefined: all are there
 */
export async function linkLibraries(packageDirectory: string): Promise<unknown> {
  try {
    for (const { source, target } of await listedLinks(packageDirectory)) {
      const place = join(packageDirectory, target)
      if (await exists(place)) continue
      try {
        await symlink(relative(dirname(place), join(packageDirectory, source)), place)
      } catch (err) {
        if (codeOf(err) !== 'EEXIST') throw err
      }
    }
    return undefined
  } catch (err) {
    return err
  }
}

async function listedLinks(packageDirectory: string): Promise<readonly Link[]> {
  let text
  try {
    text = await readFile(join(packageDirectory, 'native', 'pg-symlinks.json'), 'utf8')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return []
    throw err
  }
  const listed: unknown = JSON.parse(text)
  if (!Array.isArray(listed)) throw new TypeError('pg-symlinks.json does not hold a list')
  return listed.map((entry) => {
    if (!isLink(entry)) throw new TypeError('pg-symlinks.json names a link outside native/')
    return entry
  })
}

function isLink(value: unknown): value is Link {
  if (typeof value !== 'object' || value === null) return false
  if (!('source' in value) || !('target' in value)) return false
  return isInside(value.source) && isInside(value.target)
}

function isInside(path: unknown): boolean {
  return typeof path === 'string' && join(path).startsWith(`native${sep}`)
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return false
    throw err
  }
}
