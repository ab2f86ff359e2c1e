/** The real thing: `midge` as a process of its own, on ports the system chooses. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { TestConnection } from './postgres.ts'
import { RawClient } from './raw-client.ts'

export interface MidgeProcess {
  readonly child: ChildProcess
  readonly ports: {
    readonly mqtts: number
    readonly mqtt: number
    readonly ws: number
    readonly http: number
  }
  /** Everything printed so far. */
  readonly output: () => string
  /** Settles when standard output or error has matched. */
  printed(pattern: RegExp): Promise<RegExpMatchArray>
  /** Sends the signal and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

const MAIN = join(import.meta.dirname, '..', '..', 'main.js')

/** Ports and addresses a test may use at any time beside others. */
export const FREE_PORTS = {
  MIDGE_MQTTS_PORT: '0',
  MIDGE_MQTT_PORT: '0',
  MIDGE_WS_PORT: '0',
  MIDGE_HTTP_PORT: '0',
}

export interface MidgeOptions {
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Only root may say so. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
}

/** Starts the process and gathers what it prints; does not wait for anything. */
export function spawnMidge(t: TestContext, options: MidgeOptions): Omit<MidgeProcess, 'ports'> {
  const { DATABASE_URL: _url, ...inherited } = process.env
  const child = spawn(process.execPath, [MAIN, ...options.args], {
    // As root it stays root unless a test says otherwise: scratch files are root's.
    env: { ...inherited, ...FREE_PORTS, PUID: '0', ...options.env },
    ...options.user,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const waiting = new Set<() => void>()
  const take = (text: Buffer) => {
    output += String(text)
    for (const check of waiting) check()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const end = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    const [code, by] = await exited
    return { code, signal: by }
  }
  t.after(() => end('SIGTERM'))
  const printed = (pattern: RegExp) =>
    new Promise<RegExpMatchArray>((resolve, reject) => {
      const check = () => {
        const match = output.match(pattern)
        if (match === null) return
        waiting.delete(check)
        resolve(match)
      }
      waiting.add(check)
      check()
      void exited.then(([code, by]) =>
        reject(new Error(`midge ended (${code ?? by}) before printing ${pattern}:\n${output}`)),
      )
    })
  return { child, output: () => output, printed, end }
}

/** Starts the newcomer's process and waits for its screen. */
export async function startMidge(t: TestContext, options: MidgeOptions): Promise<MidgeProcess> {
  const midge = spawnMidge(t, options)
  await midge.printed(/Ctrl-C stops it[\s\S]*Simulated devices/u)
  const port = (pattern: RegExp) => Number(midge.output().match(pattern)?.[1] ?? 0)
  return {
    ...midge,
    ports: {
      mqtts: port(/mqtts:\/\/localhost:(\d+)/u),
      mqtt: port(/mqtt:\/\/localhost:(\d+)/u),
      ws: port(/ws:\/\/localhost:(\d+)/u),
      http: port(/http:\/\/127\.0\.0\.1:(\d+)/u),
    },
  }
}

/** The environment that makes Midge use this database and create its tables in it. */
export function environmentOf(connection: TestConnection): NodeJS.ProcessEnv {
  const { connectionString, host, port, user, password, database } = connection
  if (connectionString !== undefined) {
    return { DATABASE_URL: connectionString, MIDGE_MIGRATE: 'on' }
  }
  return {
    PG_HOST: host,
    PG_PORT: String(port ?? 5432),
    PG_USER: user,
    PG_PASS: password,
    PG_DB: database,
    MIDGE_MIGRATE: 'on',
  }
}

/** A TLS connection with the certificate of a device that `data` holds; no CONNECT yet. */
export async function deviceClient(
  t: TestContext,
  data: string,
  port: number,
  device: { readonly tenant: string; readonly device: string } = {
    tenant: 'acme',
    device: 'pump-7',
  },
): Promise<RawClient> {
  const folder = join(data, 'certs', 'devices', device.tenant)
  const [ca, cert, key] = await Promise.all([
    readFile(join(data, 'certs', 'ca.crt')),
    readFile(join(folder, `${device.device}.crt`)),
    readFile(join(folder, `${device.device}.key`)),
  ])
  const client = await RawClient.tls({
    host: '127.0.0.1',
    port,
    ca,
    cert,
    key,
    servername: 'localhost',
  })
  t.after(() => client.destroy())
  return client
}

/** Runs a command of `midge` to its end. */
export async function runMidge(
  t: TestContext,
  options: MidgeOptions,
): Promise<{ code: number | null; output: string }> {
  const midge = spawnMidge(t, options)
  const [code] = (await once(midge.child, 'close')) as [number | null]
  return { code, output: midge.output() }
}
