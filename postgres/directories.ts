/**
 * What stands where below Midge's data directory. The folder `postgres` stays ours; what the server
 * writes belongs to the account that runs it.
 */
import { chmod, chown, lchown, mkdir, readdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Account } from './account.ts'
import { EmbeddedPostgresError, OWN_SERVER } from './errors.ts'
import { closedFolder, mayPass, octal } from './reach.ts'

export interface Layout {
  readonly data: string
  /** `<data>/postgres` */
  readonly base: string
  readonly credentials: string
  readonly cluster: string
  readonly socket: string
  readonly lock: string
}

/**
 * Makes `<directory>/postgres` and what is missing above it: passable for other accounts (0711)
 * when we are root, else ours alone (0700).
 *
 * @returns absolute paths without symbolic links
 * @throws EmbeddedPostgresError DIRECTORY
 */
export async function makeLayout(directory: string, uid: number | undefined): Promise<Layout> {
  const wanted = join(resolve(directory), 'postgres')
  const mode = uid === 0 ? 0o711 : 0o700
  try {
    const first = await mkdir(wanted, { recursive: true, mode })
    // mkdir's mode is cut by the umask, chmod's is not.
    for (const made of first === undefined ? [] : between(first, wanted)) await chmod(made, mode)
    const base = await realpath(wanted)
    return {
      data: await realpath(directory),
      base,
      credentials: join(base, 'credentials.json'),
      cluster: join(base, 'cluster'),
      socket: join(base, 'socket'),
      lock: join(base, 'lock'),
    }
  } catch (cause) {
    throw unwritable(wanted, cause)
  }
}

/** The folders from `top` down to `bottom`, both included. */
function between(top: string, bottom: string): string[] {
  return bottom.length > top.length ? [...between(top, dirname(bottom)), bottom] : [bottom]
}

/** The same sentence for every place where the file system said no. */
export function unwritable(path: string, cause: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_DIRECTORY',
    `cannot keep the database in ${path} (${messageOf(cause)}): give Midge a data directory that it may write, with --data or MIDGE_DATA, or ${OWN_SERVER}`,
    { cause },
  )
}

/**
 * Opens the way to the cluster for `account`: the folders that are ours are made passable, and any
 * other that is not is reported.
 *
 * @param homes folders that stay closed even when they were given as the data directory
 * @throws EmbeddedPostgresError UNREACHABLE
 */
export async function openWay(
  layout: Layout,
  account: Account,
  homes: ReadonlySet<string>,
  log: Log,
): Promise<void> {
  const uid = process.geteuid?.()
  for (const folder of [layout.data, layout.base]) {
    const found = await stat(folder)
    if (mayPass(found, account) || found.uid !== uid || homes.has(folder)) continue
    await chmod(folder, (found.mode & 0o7777) | 0o011)
    log.info(
      { event: 'directory.opened', path: folder, mode: octal(found.mode | 0o011) },
      `made ${folder} passable for ${account.name}, who runs PostgreSQL`,
    )
  }
  const closed = await closedFolder(layout.base, account)
  if (closed === undefined) return
  throw new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_UNREACHABLE',
    `PostgreSQL refuses to run as root, and the account "${account.name}" that would run it cannot pass through ${closed.path} (mode ${closed.mode}) to ${layout.base}: keep the data somewhere else with --data or MIDGE_DATA, start Midge as an ordinary user, or ${OWN_SERVER}`,
  )
}

/**
 * A folder below `base` that only the server's account may enter. One that belongs to root (such as
 * a cluster copied back from a backup) is given to the account with all that is in it.
 *
 * @throws EmbeddedPostgresError DIRECTORY when it belongs to somebody else
 */
export async function makePrivate(path: string, account: Account | undefined): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
    if (account !== undefined) await chown(path, account.uid, account.gid)
  } catch (err) {
    if (codeOf(err) !== 'EEXIST') throw unwritable(path, err)
  }
  const found = await stat(path)
  const uid = account?.uid ?? process.geteuid?.() ?? found.uid
  if (found.uid !== uid && account !== undefined && found.uid === 0) {
    await giveAll(path, account)
  } else if (found.uid !== uid) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_DIRECTORY',
      `${path} belongs to uid ${found.uid}, and PostgreSQL would run as uid ${uid}: start Midge as its owner or as root, run chown -R ${uid} on ${dirname(path)}, or keep the data somewhere else with --data or MIDGE_DATA`,
    )
  }
  // The server accepts 0700 and 0750; Kubernetes' fsGroup makes it 2770.
  if ((found.mode & 0o7777) !== 0o700) await chmod(path, 0o700)
}

async function giveAll(path: string, account: Account): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inside = join(path, entry.name)
    if (entry.isDirectory()) await giveAll(inside, account)
    else await lchown(inside, account.uid, account.gid)
  }
  await lchown(path, account.uid, account.gid)
}
