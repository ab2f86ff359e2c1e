/** What a benchmark starts and watches: CPU and memory of processes (Linux, /proc), and their end. */
import { execFile, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'

/** Output of a program that ends by itself. */
export const runProgram = promisify(execFile)

/** `getconf CLK_TCK`; 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100
const STOP_MS = 30_000

/** Things to undo, last first, whatever happens in between. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = []
  #running: Promise<void> | undefined

  add(step: () => unknown): void {
    this.#steps.push(step)
  }

  /** Once, however many ask for it: the end of the work and a signal may come together. */
  run(): Promise<void> {
    this.#running ??= this.#runSteps()
    return this.#running
  }

  async #runSteps(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step()
      } catch (err) {
        console.error('while cleaning up:', err)
      }
    }
  }
}

/** Resident memory of one process, bytes. */
export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes ?? 0) * 1024
}

/** CPU seconds of a process and its children, those that have ended included. */
export function cpuSecondsOfTree(pid: number): number {
  const stats = new Map<number, { parent: number; ticks: number }>()
  for (const name of readdirSync('/proc')) {
    const each = Number(name)
    const stat = Number.isInteger(each) ? statOf(each) : undefined
    if (stat !== undefined) stats.set(each, stat)
  }
  let ticks = 0
  for (const [each, stat] of stats) if (each === pid || stat.parent === pid) ticks += stat.ticks
  return ticks / TICKS_PER_SECOND
}

/** proc(5): fields 4 (ppid) and 14 to 17 (utime, stime, cutime, cstime) of /proc/PID/stat. */
function statOf(pid: number): { parent: number; ticks: number } | undefined {
  let text
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined // it ended meanwhile
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return { parent: Number(fields[1]), ticks }
}

const running = new Set<ChildProcess>()

/** Remembers a child until it ends, for `stopRunning`. */
export function remembered<C extends ChildProcess>(child: C): C {
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** Ends every child that was remembered: for the end by a signal, wherever the benchmark is then. */
export async function stopRunning(): Promise<void> {
  // For PostgreSQL SIGINT is the fast shutdown; the others take it as SIGTERM.
  await Promise.all([...running].map((child) => stopChild(child, 'SIGINT')))
}

/** Ends a child of ours and waits for it; kills it when it does not end. */
export async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await ended
  clearTimeout(killer)
}

/** A signal ends what was started and undoes the rest. */
export function endOnSignal(cleanup: Cleanup): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void stopRunning()
        .then(() => cleanup.run())
        .then(() => process.exit(1))
    })
  }
}
