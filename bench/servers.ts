/** The two kinds of PostgreSQL a Midge writes to, each with the access a benchmark needs. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { freePort } from '../postgres/place.ts'
import { remembered, runProgram, stopChild, type Cleanup } from './processes.ts'

export interface DatabaseServer {
  readonly name: string
  /** The postmaster; its children do the work. */
  readonly pid: number
  readonly version: string
  /** As superuser, in the database of the telemetry. */
  connect(): Promise<Client>
  /** Every row of `telemetry` gone, and the log of writes settled. */
  empty(): Promise<void>
}

const DEBIAN = '/usr/lib/postgresql/15/bin'
const START_MS = 30_000

/** The server that a running Midge brought along. */
export async function embeddedServer(data: string): Promise<DatabaseServer> {
  const run = JSON.parse(await readFile(join(data, 'run.json'), 'utf8')) as {
    database: { host: string; port: number; database: string }
  }
  const base = join(data, 'postgres')
  const roles = JSON.parse(await readFile(join(base, 'credentials.json'), 'utf8')) as {
    postgres: string
  }
  const { host, port, database } = run.database
  return await serverAt('embedded', join(base, 'cluster'), {
    host,
    port,
    database,
    user: 'postgres',
    password: roles.postgres,
  })
}

export interface SeparateServer extends DatabaseServer {
  /** What makes a Midge use it. */
  readonly env: NodeJS.ProcessEnv
}

/**
 * Debian's PostgreSQL as its package sets it up, on a loopback port, in an empty folder; stopped by
 * `cleanup`. As root it runs as user postgres, which PostgreSQL insists on.
 *
 * @returns undefined when it is not installed
 */
export async function startSeparateServer(
  directory: string,
  cleanup: Cleanup,
): Promise<SeparateServer | undefined> {
  if (!existsSync(join(DEBIAN, 'initdb'))) return undefined
  const account = await accountOf('postgres')
  await mkdir(directory)
  const passwordFile = join(directory, 'password')
  const password = randomBytes(18).toString('hex')
  await writeFile(passwordFile, password, { mode: 0o600 })
  for (const path of account === undefined ? [] : [directory, passwordFile]) {
    await chown(path, account?.uid ?? -1, account?.gid ?? -1)
  }
  const cluster = join(directory, 'cluster')
  const as = { ...account, cwd: directory }
  const login = ['-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`]
  const locale = ['-E', 'UTF8', '--locale=C']
  await runProgram(join(DEBIAN, 'initdb'), ['-D', cluster, ...login, ...locale], as)

  const port = await freePort()
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'fsync=on',
    'synchronous_commit=on',
  ].flatMap((setting) => ['-c', setting])
  const child = spawn(join(DEBIAN, 'postgres'), ['-D', cluster, ...settings], {
    ...as,
    stdio: 'ignore',
  })
  remembered(child)
  cleanup.add(() => stopChild(child, 'SIGINT'))
  const at = { host: '127.0.0.1', port, user: 'postgres', password }
  const client = await connectedOnceUp({ ...at, database: 'postgres' })
  await client.query(`CREATE ROLE midge LOGIN PASSWORD '${password}'`)
  await client.query('CREATE DATABASE midge OWNER midge')
  await client.end()
  const server = await serverAt('separate', cluster, { ...at, database: 'midge' })
  const url = `postgres://midge:${password}@127.0.0.1:${port}/midge`
  return { ...server, env: { DATABASE_URL: url, MIDGE_MIGRATE: 'on' } }
}

async function serverAt(
  name: string,
  cluster: string,
  config: ClientConfig,
): Promise<DatabaseServer> {
  const client = await connected(config)
  const { rows } = await client.query<{ server_version: string }>('SHOW server_version')
  await client.end()
  return {
    name,
    pid: Number(readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')[0]),
    version: rows[0]?.server_version ?? 'unknown',
    connect: () => connected(config),
    async empty() {
      const each = await connected(config)
      await each.query('TRUNCATE telemetry')
      await each.query('CHECKPOINT')
      await each.end()
    },
  }
}

async function connected(config: ClientConfig): Promise<Client> {
  const client = new Client(config)
  // A query that is under way fails by itself; without a listener the end of the server would end us.
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function accountOf(name: string): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const numberOf = async (flag: string) => Number((await runProgram('id', [flag, name])).stdout)
  return { uid: await numberOf('-u'), gid: await numberOf('-g') }
}

/** Until it takes logins: it refuses them for a moment after its port is open (SQLSTATE 57P03). */
async function connectedOnceUp(config: ClientConfig): Promise<Client> {
  for (const until = Date.now() + START_MS; ; ) {
    try {
      return await connected(config)
    } catch (err) {
      if (Date.now() > until) throw err
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
