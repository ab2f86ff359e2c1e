/**
 * Makes the database cluster, once. initdb takes a second or more and may be cut off at any point,
 * so it works in a folder aside; only a complete cluster ever has the cluster's name.
 */
import { userInfo } from 'node:os'
import {
  appendFile,
  chown,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { codeOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Account } from './account.ts'
import { SUPERUSER, type Credentials } from './credentials.ts'
import { makePrivate, unwritable, type Layout } from './directories.ts'
import { EmbeddedPostgresError, OWN_SERVER } from './errors.ts'
import { run } from './run.ts'
import { INITIAL_SETTINGS } from './settings.ts'

const UNFINISHED = 'unfinished-'

/**
 * Is there a cluster? An empty folder counts as none.
 *
 * @throws EmbeddedPostgresError CLUSTER when something else is there, VERSION when it is another's
 */
export async function clusterExists(cluster: string, major: string): Promise<boolean> {
  let found
  try {
    found = await readdir(cluster)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return false
    throw unwritable(cluster, err)
  }
  if (found.length === 0) return false
  if (!found.includes('PG_VERSION') || !found.includes('global')) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_CLUSTER',
      `${cluster} is not empty and not a PostgreSQL cluster: move it away, or put it back from a backup`,
    )
  }
  const version = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim()
  if (version === major) return true
  throw new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_VERSION',
    `${cluster} was made by PostgreSQL ${version}, and the one installed here is ${major}: install the version of Midge that made it and move the data with pg_dump, or ${OWN_SERVER}`,
  )
}

/** @throws EmbeddedPostgresError CLUSTER, NO_ACCOUNT, DIRECTORY */
export async function createCluster(options: {
  readonly layout: Layout
  readonly initdb: string
  readonly account: Account | undefined
  readonly credentials: Credentials
  readonly log: Log
  readonly clock: Clock
}): Promise<void> {
  const { layout, account, log, clock } = options
  const began = clock.monotonic()
  log.info(
    { event: 'cluster.creating', path: layout.cluster },
    `creating the database cluster in ${layout.cluster}; this takes a few seconds, once`,
  )
  requireName(account)
  await removeUnfinished(layout.base)
  const aside = join(layout.base, `${UNFINISHED}${clock.now()}`)
  try {
    await makePrivate(aside, account)
    await initialise(aside, options)
    await rmdir(layout.cluster).catch(() => undefined) // an empty one: a mount point made ahead
    await rename(join(aside, 'cluster'), layout.cluster)
    await syncFolder(layout.base)
  } catch (err) {
    throw err instanceof EmbeddedPostgresError ? err : unwritable(layout.cluster, err)
  } finally {
    await rm(aside, { recursive: true, force: true }).catch(() => undefined)
  }
  const ms = Math.round(clock.monotonic() - began)
  log.info({ event: 'cluster.created', path: layout.cluster, ms }, 'created the database cluster')
}

async function initialise(
  aside: string,
  options: {
    readonly initdb: string
    readonly account: Account | undefined
    readonly credentials: Credentials
  },
): Promise<void> {
  const { account } = options
  const cluster = join(aside, 'cluster')
  const passwordFile = join(aside, 'password')
  // Made first, so that initdb and all it writes are the account's, in a folder only it may enter.
  await makePrivate(cluster, account)
  await writeFile(passwordFile, `${options.credentials.superuserPassword}\n`, { mode: 0o600 })
  if (account !== undefined) await chown(passwordFile, account.uid, account.gid)
  const done = await run(
    options.initdb,
    [
      `--pgdata=${cluster}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // Text sorts by code point whatever C library is below, now and after its next update.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
    ],
    { account, cwd: aside },
  )
  if (done.code !== 0) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_CLUSTER',
      `initdb could not make the database cluster (${reasonIn(done.output)}): put right what it names and start again, or ${OWN_SERVER}`,
    )
  }
  await appendFile(join(cluster, 'postgresql.conf'), INITIAL_SETTINGS, { flush: true })
}

/** initdb looks up the name of whoever runs it, and gives up on an uid without one. */
function requireName(account: Account | undefined): void {
  if (account !== undefined) return
  try {
    userInfo()
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_NO_ACCOUNT',
      `initdb needs the name of the account it runs as, and uid ${process.geteuid?.()} has no line in /etc/passwd: add one, start Midge as another user, or ${OWN_SERVER}`,
      { cause },
    )
  }
}

/** What an interrupted first start left; its initdb, if it still runs, fails and is gone. */
async function removeUnfinished(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    if (!name.startsWith(UNFINISHED)) continue
    await rm(join(base, name), { recursive: true, force: true, maxRetries: 5 })
  }
}

/** A rename is on the disk once its folder is. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Of all that initdb says, what went wrong; else its end. */
export function reasonIn(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  const reasons = lines.filter((line) => /\b(?:FATAL|PANIC|error):/u.test(line))
  return (reasons.length > 0 ? reasons : lines).slice(-4).join('; ')
}
