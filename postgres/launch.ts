/** From an installation to a server that answers: a new one, or one that was left over. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import { DATABASE, ROLE, SUPERUSER } from './credentials.ts'
import { EmbeddedPostgresError, OWN_SERVER } from './errors.ts'
import type { Installation } from './installation.ts'
import { freePort, type Place } from './place.ts'
import { adoptPostmaster, spawnPostmaster, stopPostmaster, type Postmaster } from './postmaster.ts'
import { findPostmaster, type Found } from './postmaster-pid.ts'
import { scramVerifier } from './scram.ts'
import { openSession, ServerRefusal, type Session } from './session.ts'
import { serverArguments } from './settings.ts'

export interface Running {
  readonly postmaster: Postmaster
  readonly place: Place
  readonly wasTakenOver: boolean
}

const PROBE_MS = 20
/** A server that says it is starting up may take as long as its recovery takes; a silent one, this. */
const SILENT_MS = 60_000
const TELL_MS = 10_000

/** cannot_connect_now: starting up, recovering, or shutting down. */
const NOT_YET = '57P03'
const INVALID_PASSWORD = '28P01'

/**
 * Takes over a server of ours that still runs on the cluster, or stops it when it would be started
 * otherwise today (another version, other settings), and starts one where there is none.
 *
 * @throws EmbeddedPostgresError START, CREDENTIALS
 */
export async function takeOverOrLaunch(
  installation: Installation,
  signal: AbortSignal,
): Promise<Running> {
  const { clock, log } = installation
  const found = await look(installation)
  if (found.kind !== 'running') return launch(installation, signal)

  const postmaster = adoptPostmaster(found.pid, found.identity, clock)
  const { place } = installation
  const at: Place = place.kind === 'socket' ? place : { kind: 'loopback', port: found.port }
  if (found.identity.commandLine === commandLine(installation, at)) {
    const session = await answers(postmaster, { ...installation, place: at }, signal).catch(
      (err: unknown) => {
        log.warn({ event: 'postgres.refused', pid: found.pid, err }, messageOf(err))
      },
    )
    if (session !== undefined) {
      session.end()
      log.info(
        { event: 'postgres.adopted', pid: found.pid },
        'took over the PostgreSQL server of an earlier run; its log lines are not seen until it is restarted',
      )
      return { postmaster, place: at, wasTakenOver: true }
    }
  }
  log.info(
    { event: 'postgres.replaced', pid: found.pid },
    'stopping the PostgreSQL server that an earlier run left behind',
  )
  await stopPostmaster(postmaster, 'fast', { clock, log })
  return launch(installation, signal)
}

/**
 * Starts a server and waits until it answers.
 *
 * @param signal abandons the start; what was started is stopped before the promise rejects
 * @throws EmbeddedPostgresError START, CREDENTIALS
 */
export async function launch(installation: Installation, signal: AbortSignal): Promise<Running> {
  let { place } = installation
  for (let attempt = 1; ; attempt++) {
    try {
      const postmaster = await launchAt({ ...installation, place }, signal)
      return { postmaster, place, wasTakenOver: false }
    } catch (err) {
      if (attempt >= MAX_ATTEMPTS || signal.aborted) throw err
      if (/shared memory block .* still in use/u.test(messageOf(err))) {
        // After a kill -9 of the server its sessions' processes take a moment to notice.
        await installation.clock.sleep(attempt * 100, signal)
      } else if (place.kind === 'loopback' && /Address already in use/u.test(messageOf(err))) {
        place = { kind: 'loopback', port: await freePort() }
      } else throw err
    }
  }
}

const MAX_ATTEMPTS = 8

/** The same for a server that clients already know where to find. */
export async function launchAt(
  installation: Installation,
  signal: AbortSignal,
): Promise<Postmaster> {
  const { binaries, layout, place, account, clock, log } = installation
  const began = clock.monotonic()
  const found = await look(installation)
  if (found.kind === 'stale') await removePidFile(installation, found.pid)
  const postmaster = await spawnPostmaster(
    binaries.postgres,
    serverArguments(layout.cluster, place),
    { account, cwd: layout.cluster, log },
  ).catch((cause: unknown) => {
    throw failure(messageOf(cause), { cause })
  })
  try {
    const session = await answers(postmaster, installation, signal)
    session.end()
  } catch (err) {
    await stopPostmaster(postmaster, 'fast', { clock, log })
    throw err
  }
  const ms = Math.round(clock.monotonic() - began)
  log.info({ event: 'postgres.started', pid: postmaster.pid, ms }, 'PostgreSQL is running')
  return postmaster
}

function look({ layout, account }: Installation): Promise<Found> {
  return findPostmaster(layout.cluster, account?.uid ?? process.geteuid?.())
}

function commandLine({ binaries, layout }: Installation, place: Place): string {
  return [binaries.postgres, ...serverArguments(layout.cluster, place)].join(' ')
}

/** Logs in as the superuser as soon as the server lets us. */
async function answers(
  postmaster: Postmaster,
  installation: Installation,
  signal: AbortSignal,
): Promise<Session> {
  const { place, credentials, layout, clock, log } = installation
  const login = { user: SUPERUSER, password: credentials.superuserPassword, database: 'postgres' }
  let gone = false
  void postmaster.exited.then(() => (gone = true))
  let heardAt = clock.monotonic()
  let toldAt = heardAt
  for (;;) {
    if (signal.aborted) throw failure('Midge is stopping')
    if (gone) {
      await clock.sleep(PROBE_MS) // its last words may still be in the pipe
      throw failure(postmaster.latestLines.slice(-4).join('; ') || 'it ended without a word')
    }
    try {
      return await openSession(place, login, installation)
    } catch (err) {
      if (err instanceof ServerRefusal && err.sqlstate === INVALID_PASSWORD) {
        throw new EmbeddedPostgresError(
          'EMBEDDED_POSTGRES_CREDENTIALS',
          `the embedded PostgreSQL refuses the password in ${layout.credentials}: put back the file that belongs to this cluster, or start with an empty data directory (--data or MIDGE_DATA)`,
          { cause: err },
        )
      }
      const now = clock.monotonic()
      if (err instanceof ServerRefusal && err.sqlstate === NOT_YET) {
        // After a SIGTERM it goes on like this until the last session has ended by itself.
        if (err.message.includes('shutting down')) throw failure(err.message, { cause: err })
        heardAt = now
      } else if (now - heardAt > SILENT_MS) throw failure(messageOf(err), { cause: err })
      if (now - toldAt > TELL_MS) {
        toldAt = now
        log.info({ event: 'postgres.awaited', pid: postmaster.pid }, messageOf(err))
      }
    }
    await clock.sleep(PROBE_MS, signal)
  }
}

function failure(reason: string, options?: ErrorOptions): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_START',
    `the embedded PostgreSQL does not start (${reason}): put right what it names and start again, or ${OWN_SERVER}`,
    options,
  )
}

/**
 * PostgreSQL ignores a dead pid in it, but takes any living process of its own account for another
 * server. That none of the old server's processes is left it then proves by its shared memory.
 */
async function removePidFile({ layout, log }: Installation, pid: number): Promise<void> {
  log.info({ event: 'postgres.crashed', pid }, 'PostgreSQL was not stopped properly; it recovers')
  try {
    await rm(join(layout.cluster, 'postmaster.pid'))
  } catch (err) {
    if (codeOf(err) !== 'ENOENT') throw err
  }
}

/** Makes Midge's role and database if they are not there. */
export async function ensureDatabase(installation: Installation): Promise<void> {
  const { place, credentials, random, log } = installation
  const session = await openSession(
    place,
    { user: SUPERUSER, password: credentials.superuserPassword, database: 'postgres' },
    installation,
  )
  const has = async (sql: string) => (await session.query(sql)).length > 0
  if (!(await has(`SELECT 1 FROM pg_roles WHERE rolname = '${ROLE}'`))) {
    const verifier = await scramVerifier(credentials.password, random(16))
    await session.query(`CREATE ROLE ${ROLE} LOGIN PASSWORD '${verifier}'`)
  }
  if (!(await has(`SELECT 1 FROM pg_database WHERE datname = '${DATABASE}'`))) {
    await session.query(`CREATE DATABASE ${DATABASE} OWNER ${ROLE}`)
    log.info({ event: 'database.created', database: DATABASE }, `created the database ${DATABASE}`)
  }
  session.end()
}
