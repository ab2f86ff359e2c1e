/** The load generator of bench/load as a function. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { packageRoot } from '../core/package-root.ts'
import { remembered, runProgram, stopChild } from './processes.ts'

/** What mqload reports of a process it watched, over the measured seconds only. */
export interface Watched {
  readonly cpu_us_per: number
  /** Share of one core. */
  readonly busy: number
  readonly rss_kb: number
}

/** The fields of mqload's report that are used here. */
export interface LoadReport {
  /** Acknowledged per second, in the measured seconds. */
  readonly rate: number
  readonly lat_us: { readonly p50: number; readonly p99: number }
  /** Of the whole run, warming up and drain included. */
  readonly total_sent: number
  readonly total_acked: number
  readonly unacked: number
  readonly errors: number
  readonly first_error?: string
  readonly connect_s: number
  readonly self: { readonly user_us_per: number; readonly sys_us_per: number }
  readonly watch: Readonly<Record<string, Watched>>
}

/** Compiles it if need be. @returns the path of the program */
export async function buildMqload(): Promise<string> {
  const script = join(packageRoot(), 'bench', 'load', 'build.sh')
  const { stdout } = await runProgram('bash', [script])
  return stdout.trim()
}

export interface Idle {
  readonly connected: number
  close(): Promise<void>
}

export class Mqload {
  readonly #program: string

  constructor(program: string) {
    this.#program = program
  }

  /** Runs to its end, `seconds` at the most. Errors of the load are in the report, not thrown. */
  async run(args: readonly string[], seconds: number): Promise<LoadReport> {
    const stdio = ['ignore', 'pipe', 'pipe'] as const
    const child = remembered(spawn(this.#program, [...args, '--quiet'], { stdio: [...stdio] }))
    const timer = setTimeout(() => child.kill('SIGTERM'), seconds * 1000)
    const [out, err] = [textOf(child.stdout), textOf(child.stderr)]
    await once(child, 'close')
    clearTimeout(timer)
    try {
      return JSON.parse(out.text) as LoadReport
    } catch (cause) {
      throw new Error(`mqload ${args.join(' ')}: ${err.text || out.text}`, { cause })
    }
  }

  /** Connections that do nothing until they are closed. */
  async hold(args: readonly string[], seconds: number): Promise<Idle> {
    const spawned = spawn(this.#program, ['conn', ...args, '--hold', String(seconds)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const child = remembered(spawned)
    const err = textOf(child.stderr)
    const ended = once(child, 'close')
    while (!err.text.includes('READY') && child.exitCode === null) {
      await Promise.race([once(child.stderr, 'data'), ended])
    }
    const connected = Number(/READY (\d+)/u.exec(err.text)?.[1] ?? 0)
    return { connected, close: () => stopChild(child, 'SIGTERM') }
  }
}

function textOf(stream: NodeJS.ReadableStream): { readonly text: string } {
  const gathered = { text: '' }
  stream.on('data', (chunk: Buffer) => (gathered.text += String(chunk)))
  return gathered
}
