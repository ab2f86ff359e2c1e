/**
 * Files that are opened before the change of user, in directories that are often that user's own: a
 * link which it laid there would lead root's writes to any file of the system.
 */
import { constants, lstatSync, openSync } from 'node:fs'

type Link = 'none' | 'own' | 'foreign'

/** `foreign`: one that root must not follow, for another user made it. Anyone but root has none. */
export function linkAt(path: string): Link {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() !== true) return 'none'
  return process.geteuid?.() === 0 && found.uid !== 0 ? 'foreign' : 'own'
}

/**
 * Made if need be.
 *
 * @param mode of a new file
 * @throws what Node throws; for a link of another user's, as root, an error that says so
 */
export function openForAppending(path: string, mode: number): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants
  const link = linkAt(path)
  if (link === 'foreign') throw new Error(`${path} is a link of another user, and this is root`)
  // Where there was no link a moment ago, none is followed now.
  const follow = link === 'none' ? O_NOFOLLOW : 0
  return openSync(path, O_APPEND | O_CREAT | O_WRONLY | follow, mode)
}
