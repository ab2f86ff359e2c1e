/**
 * The embedded default database: a PostgreSQL server of our own in the data directory, for a Midge
 * that was told of no other.
 */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { makeLayout } from './directories.ts'
import { prepareInstallation } from './installation.ts'
import { ensureDatabase, takeOverOrLaunch } from './launch.ts'
import { lockDirectory } from './lock.ts'
import type { Exit } from './postmaster.ts'
import { Supervisor, type EmbeddedPostgres } from './supervisor.ts'

export { EmbeddedPostgresError, type EmbeddedPostgresCode } from './errors.ts'
export type { Exit } from './postmaster.ts'
export type { EmbeddedConnection, EmbeddedPostgres } from './supervisor.ts'

/**
 * Settles when the database `midge` takes connections: in a second or more the first time, which
 * makes the cluster, in about a tenth of one later, or when crash recovery is done.
 *
 * Should the server die afterwards, `onExit` is called and it is started again in the same place,
 * until it runs.
 *
 * @param options.directory Midge's data directory; all this keeps is in `postgres` below it
 * @param options.random as `crypto.randomBytes`
 * @throws EmbeddedPostgresError
 */
export async function startEmbeddedPostgres(options: {
  readonly directory: string
  readonly log: Log
  readonly clock: Clock
  readonly random: (bytes: number) => Buffer
  readonly onExit?: (exit: Exit) => void
}): Promise<EmbeddedPostgres> {
  const { directory, onExit, ...deps } = options
  const layout = await makeLayout(directory, process.geteuid?.())
  const lock = await lockDirectory(layout.lock, deps)
  try {
    const installation = await prepareInstallation(layout, deps)
    const running = await takeOverOrLaunch(installation, new AbortController().signal)
    await ensureDatabase({ ...installation, place: running.place })
    return new Supervisor(installation, running, lock, onExit)
  } catch (err) {
    await lock.release()
    throw err
  }
}
