/** What a process that starts as root can read, and the user it becomes cannot: it starts, and is stuck later. */
import { readFileSync, realpathSync, statSync, type Stats } from 'node:fs'
import { dirname } from 'node:path'
import type { Config } from '../config/types.ts'
import { octal } from '../core/file-access.ts'
import { danger, type Finding } from './check-findings.ts'
import type { TargetUser } from './privileges.ts'

export interface Reader {
  readonly uid: number
  readonly gids: ReadonlySet<number>
}

/** With the groups of /etc/group, as initgroups has it. */
export function readerOf({ name, uid, gid }: TargetUser): Reader {
  const gids = new Set([gid])
  if (name === undefined) return { uid, gids }
  for (const line of groupsOfSystem().split('\n')) {
    const [, , group = '', members = ''] = line.split(':')
    if (/^\d+$/u.test(group) && members.split(',').includes(name)) gids.add(Number(group))
  }
  return { uid, gids }
}

/** By modes alone: access lists of the file system are not looked at. */
export function unreadableLater(
  config: Config,
  file: string,
  target: TargetUser,
): readonly Finding[] {
  const reader = readerOf(target)
  const files = new Set<string | undefined>([file])
  for (const { aclFile, passwordFile, psk, tls } of config.listeners) {
    for (const each of [aclFile, passwordFile, psk?.file]) files.add(each)
    for (const each of [tls?.certfile, tls?.keyfile, tls?.cafile, tls?.capath, tls?.crlfile]) {
      files.add(each)
    }
  }
  const who = target.name ?? `uid ${target.uid}`
  return [...files].flatMap((each) => {
    const blocker = each === undefined ? undefined : blockerOf(each, reader)
    if (blocker === undefined) return []
    const { path, mode, uid, gid } = blocker
    const where = path === each ? '' : ` because of ${path}`
    return [
      danger(
        `${each}: once the broker runs as ${who} it cannot be read again${where} (mode ${octal(mode)}, owner ${uid}:${gid}): a rotated or changed file would be refused`,
      ),
    ]
  })
}

interface Blocker {
  readonly path: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** The file itself or a directory above it; undefined: it can be read, or it is not there. */
function blockerOf(file: string, reader: Reader): Blocker | undefined {
  try {
    const real = realpathSync(file)
    for (let above = dirname(real); ; above = dirname(above)) {
      const found = statSync(above)
      if (!may(found, reader, 0o1)) return blocker(above, found)
      if (dirname(above) === above) break
    }
    const found = statSync(real)
    return may(found, reader, 0o4) ? undefined : blocker(real === file ? file : real, found)
  } catch {
    return undefined
  }
}

const blocker = (path: string, { mode, uid, gid }: Stats): Blocker => ({ path, mode, uid, gid })

/** The owner's bits are the owner's only ones, even where others have more. */
function may({ mode, uid, gid }: Stats, reader: Reader, bit: number): boolean {
  if (reader.uid === uid) return ((mode >> 6) & bit) !== 0
  if (reader.gids.has(gid)) return ((mode >> 3) & bit) !== 0
  return (mode & bit) !== 0
}

function groupsOfSystem(): string {
  try {
    return readFileSync('/etc/group', 'utf8')
  } catch {
    return ''
  }
}
