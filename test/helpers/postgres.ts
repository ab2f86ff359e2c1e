/**
 * PostgreSQL for tests: one database per test on a shared server, or a server of the test's own.
 *
 * The shared server is the one `DATABASE_URL` names, else an embedded one in `.build/test-postgres`
 * that the first test file starts, the others take over, and `stop-test-postgres` ends.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import { systemClock } from '../../core/clock.ts'
import { codeOf } from '../../core/errors.ts'
import { silentLog } from '../../core/log.ts'
import { packageRoot } from '../../core/package-root.ts'
import { DATABASE, ROLE, SUPERUSER } from '../../postgres/credentials.ts'
import { makeLayout } from '../../postgres/directories.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../postgres/index.ts'
import { prepareInstallation, type Deps } from '../../postgres/installation.ts'
import { ensureDatabase, launch, launchAt } from '../../postgres/launch.ts'
import { hostOf } from '../../postgres/place.ts'
import { stopPostmaster, type StopMode } from '../../postgres/postmaster.ts'

/** What `pg` takes, and the fields of DatabaseConfig that say where: spread it into one. */
export interface TestConnection {
  readonly connectionString: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
}

export type Query = (sql: string, params?: readonly unknown[]) => Promise<Record<string, unknown>[]>

export interface TestDatabase {
  /** Owns the database and is no superuser, as in operation; with DATABASE_URL, its user. */
  readonly connection: TestConnection
  /** May create roles and extensions, and become any role; with DATABASE_URL, its user. */
  readonly superuser: TestConnection
  /** Rows of one statement, run as `connection` on a connection of its own. */
  readonly query: Query
}

export interface TestServer extends TestDatabase {
  /** Of the server that runs now, or ran last. */
  readonly pid: number
  start(): Promise<void>
  stop(mode?: StopMode): Promise<void>
}

interface Cleanup {
  after(then: () => Promise<void>): void
}

interface Server {
  connectionTo(database: string): TestConnection
  superuserOf(database: string): TestConnection
  /** Who is to own a new database; undefined: whoever creates it. */
  readonly owner: string | undefined
}

const MAX_CONNECTIONS = 100
const FREE_WITHIN_MS = 60_000
const deps: Deps = { log: silentLog, clock: systemClock, random: randomBytes }

/** Where the embedded servers of tests live; `stop-test-postgres` looks there. */
export function testServersDirectory(): string {
  return join(packageRoot(), '.build', 'test-postgres')
}

let shared: Promise<Server> | undefined

/** A fresh, empty database, dropped when the test is over. */
export async function testDatabase(t: Cleanup): Promise<TestDatabase> {
  shared ??= sharedServer(process.env['DATABASE_URL'])
  const server = await shared
  const name = `midge_test_${process.pid}_${randomBytes(4).toString('hex')}`
  const administer = queryOn(server.superuserOf('postgres'))
  await administer(`CREATE DATABASE ${name}${server.owner ? ` OWNER ${server.owner}` : ''}`)
  t.after(async () => void (await administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)))
  const connection = server.connectionTo(name)
  return { connection, superuser: server.superuserOf(name), query: queryOn(connection) }
}

/** A server of this test alone, running, with its own database `midge`; gone when the test is. */
export async function testServer(t: Cleanup): Promise<TestServer> {
  const parent = testServersDirectory()
  await mkdir(parent, { recursive: true })
  const directory = await mkdtemp(join(parent, 'private-'))
  await chmod(directory, 0o711)
  const layout = await makeLayout(directory, process.geteuid?.())
  const prepared = await prepareInstallation(layout, deps)
  const { signal } = new AbortController()
  const { place, postmaster } = await launch(prepared, signal)
  let running = postmaster
  t.after(async () => {
    await stopPostmaster(running, 'immediate', deps)
    await rm(directory, { recursive: true, force: true })
  })
  const installation = { ...prepared, place }
  await ensureDatabase(installation)

  const { password, superuserPassword } = installation.credentials
  const at = { host: hostOf(place), port: place.port }
  const connection = fields({ ...at, user: ROLE, password, database: DATABASE })
  return {
    connection,
    superuser: fields({ ...connection, user: SUPERUSER, password: superuserPassword }),
    query: queryOn(connection),
    get pid() {
      return running.pid
    },
    async start() {
      running = await launchAt(installation, signal)
    },
    stop: (mode = 'fast') => stopPostmaster(running, mode, deps),
  }
}

async function sharedServer(url: string | undefined): Promise<Server> {
  if (url !== undefined && url !== '') {
    const connectionTo = (database: string) => {
      const changed = new URL(url)
      changed.pathname = `/${database}`
      return fields({ connectionString: changed.href })
    }
    return { connectionTo, superuserOf: connectionTo, owner: undefined }
  }
  const directory = join(testServersDirectory(), `uid-${process.geteuid?.() ?? 0}`)
  const { connection, superuserPassword } = await startOrTakeOver(directory)
  const server: Server = {
    connectionTo: (database) => fields({ ...connection, database }),
    superuserOf: (database) =>
      fields({ ...connection, user: SUPERUSER, password: superuserPassword, database }),
    owner: ROLE,
  }
  await dropLeftovers(queryOn(server.superuserOf('postgres')))
  return server
}

/** Leaves the server running; its lock is held only while another file could be starting it too. */
async function startOrTakeOver(directory: string) {
  let embedded = await startWhenFree(directory)
  try {
    const credentials = await readFile(join(directory, 'postgres', 'credentials.json'), 'utf8')
    const superuserPassword = (JSON.parse(credentials) as Record<string, string>)[SUPERUSER]
    const { connection } = embedded
    const query = queryOn(
      fields({ ...connection, user: SUPERUSER, password: superuserPassword, database: 'postgres' }),
    )
    const [setting] = await query('SHOW max_connections')
    if (Number(setting?.['max_connections']) < MAX_CONNECTIONS) {
      await query(`ALTER SYSTEM SET max_connections = ${MAX_CONNECTIONS}`)
      await embedded.stop()
      embedded = await startWhenFree(directory)
    }
    return { connection: embedded.connection, superuserPassword }
  } finally {
    await embedded.leave()
  }
}

async function startWhenFree(directory: string): Promise<EmbeddedPostgres> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    try {
      return await startEmbeddedPostgres({ directory, ...deps })
    } catch (err) {
      if (codeOf(err) !== 'EMBEDDED_POSTGRES_IN_USE' || waitedMs > FREE_WITHIN_MS) throw err
    }
    await systemClock.sleep(50)
  }
}

/** Databases of test processes that were killed. */
async function dropLeftovers(query: Query): Promise<void> {
  const found = await query(
    String.raw`SELECT datname FROM pg_database WHERE datname LIKE 'midge\_test\_%'`,
  )
  for (const { datname } of found) {
    const pid = /^midge_test_(\d+)_[0-9a-f]+$/u.exec(String(datname))?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    await query(`DROP DATABASE IF EXISTS ${String(datname)} WITH (FORCE)`)
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (err) {
    return codeOf(err) === 'EPERM'
  }
}

function queryOn(connection: TestConnection): Query {
  return async (sql, params = []) => {
    const client = new Client({ ...connection })
    client.on('error', () => undefined) // a server that is stopped between two statements
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(sql, [...params])).rows
    } finally {
      await client.end()
    }
  }
}

function fields(given: Partial<TestConnection>): TestConnection {
  return Object.freeze({
    connectionString: undefined,
    host: undefined,
    port: undefined,
    user: undefined,
    password: undefined,
    database: undefined,
    ...given,
  })
}
