/** The product as a process of its own, started as newcomers start it, on ports the system chooses. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { remembered, stopChild } from './processes.ts'

export interface Midge {
  readonly pid: number
  readonly ports: { readonly mqtts: number; readonly http: number }
  /** Value of a metric without labels. */
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

const MAIN = join(import.meta.dirname, '..', 'main.js')
const START_MS = 60_000

/** Nothing else of the caller's environment: variables of ours, of PostgreSQL and of Node.js decide much. */
const INHERITED = ['PATH', 'HOME', 'USER', 'TMPDIR', 'LANG']

/**
 * Settles when its ports are open. Without `DATABASE_URL` in `env` it brings its own PostgreSQL.
 *
 * @param options.main default: the one compiled beside this script
 */
export async function startMidge(options: {
  readonly data: string
  readonly env?: NodeJS.ProcessEnv
  readonly nodeArgs?: readonly string[]
  readonly main?: string
}): Promise<Midge> {
  const { data, env = {}, nodeArgs = [], main = MAIN } = options
  const inherited = INHERITED.map((name) => [name, process.env[name]])
  const args = [...nodeArgs, main, '--data', data]
  const spawned = spawn(process.execPath, args, {
    env: {
      ...Object.fromEntries(inherited),
      MIDGE_MQTTS_LISTEN: 'loopback',
      MIDGE_MQTTS_PORT: '0',
      MIDGE_MQTT_PORT: '0',
      MIDGE_WS_PORT: '0',
      MIDGE_HTTP_PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const child = remembered(spawned)
  const screen = await screenOf(child)
  const portOf = (pattern: RegExp) => Number(pattern.exec(screen)?.[1] ?? 0)
  const ports = {
    mqtts: portOf(/mqtts:\/\/localhost:(\d+)/u),
    http: portOf(/http:\/\/127\.0\.0\.1:(\d+)/u),
  }
  return {
    pid: child.pid ?? 0,
    ports,
    metric: (name) => metricAt(ports.http, name),
    stop: () => stopChild(child, 'SIGTERM'),
  }
}

/** Everything printed until the welcome screen is whole. What comes later goes to standard error. */
async function screenOf(child: ChildProcess): Promise<string> {
  let output = ''
  let isComplete = false
  const take = (chunk: Buffer) => {
    if (isComplete) process.stderr.write(chunk)
    else output += String(chunk)
  }
  child.stderr?.on('data', take)
  const complete = new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      if (!isComplete) take(chunk)
      if (/Ctrl-C stops it[\s\S]*Simulated devices/u.test(output)) resolve()
    })
  })
  const timeout = setTimeout(() => child.kill('SIGTERM'), START_MS)
  await Promise.race([complete, once(child, 'exit')])
  clearTimeout(timeout)
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`midge did not start:\n${output}`)
  }
  isComplete = true
  return output
}

async function metricAt(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  if (line === undefined) throw new Error(`no metric ${name}`)
  return Number(line.slice(name.length + 1))
}
