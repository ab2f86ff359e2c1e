/** Everything that has to be there before a server can be started on a data directory. */
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { codeOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { homesIn, serverAccount, type Account } from './account.ts'
import { findBinaries, prepareBinaries, type Binaries } from './binaries.ts'
import { clusterExists, createCluster } from './cluster.ts'
import { readOrCreateCredentials, type Credentials } from './credentials.ts'
import { makePrivate, openWay, type Layout } from './directories.ts'
import { choosePlace, type Place } from './place.ts'

export interface Deps {
  readonly log: Log
  readonly clock: Clock
  /** As `crypto.randomBytes`. */
  readonly random: (bytes: number) => Buffer
}

export interface Installation extends Deps {
  readonly layout: Layout
  readonly binaries: Binaries
  /** Undefined: the server runs as ourselves. */
  readonly account: Account | undefined
  readonly credentials: Credentials
  readonly place: Place
}

/**
 * Finds the programs, opens the way for their account, and makes the cluster unless it is there.
 * The caller holds the lock.
 *
 * @param binaries undefined: those that npm installed
 * @throws EmbeddedPostgresError
 */
export async function prepareInstallation(
  layout: Layout,
  deps: Deps,
  binaries: Binaries = findBinaries(process.platform, process.arch),
): Promise<Installation> {
  const { log, clock } = deps
  const uid = process.geteuid?.()
  const passwd = uid === 0 ? await readFile('/etc/passwd', 'utf8') : ''
  const account = serverAccount({ uid, passwd, owner: await ownerOf(layout.cluster) })
  const major = await prepareBinaries(binaries, account)
  if (account !== undefined) await openWay(layout, account, homesIn(passwd), log)

  const exists = await clusterExists(layout.cluster, major)
  const credentials = await readOrCreateCredentials(layout.credentials, exists, deps.random)
  if (exists) await makePrivate(layout.cluster, account)
  else await createCluster({ layout, initdb: binaries.initdb, account, credentials, log, clock })

  await makePrivate(layout.socket, account)
  const place = await choosePlace(layout.socket)
  return { ...deps, layout, binaries, account, credentials, place }
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    return await stat(path)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}
