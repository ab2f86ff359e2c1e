/** One server process, started by us or found: how it ends, and how to end it. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Clock } from '../core/clock.ts'
import { codeOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Account } from './account.ts'
import { EmbeddedPostgresError } from './errors.ts'
import { identify, type ProcessIdentity } from './processes.ts'
import { SERVER_ENVIRONMENT } from './run.ts'
import { ServerLog } from './server-log.ts'

/** Both null when nobody can say: the process was not our child, or did not even begin. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** `fast` ends all sessions and writes a checkpoint; `immediate` leaves recovery to the next start. */
export type StopMode = 'fast' | 'immediate'

export interface Postmaster {
  readonly pid: number
  /** Settles when the process is gone; never rejects. */
  readonly exited: Promise<Exit>
  /** The latest lines of its log, oldest first; empty for one that was not started by us. */
  readonly latestLines: readonly string[]
  signal(signal: NodeJS.Signals): Promise<void>
  /** Lets go of it: it runs on, and no longer keeps our process alive. */
  leave(): void
}

const POLL_MS = 200

/**
 * Starts the server in a session of its own, so that a Ctrl-C in Midge's terminal reaches Midge
 * alone, which still has rows to commit.
 */
export function spawnPostmaster(
  program: string,
  args: readonly string[],
  options: { readonly account: Account | undefined; readonly cwd: string; readonly log: Log },
): Promise<Postmaster> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: SERVER_ENVIRONMENT,
    detached: true,
    windowsHide: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(options.account && { uid: options.account.uid, gid: options.account.gid }),
  })
  const exited = new Promise<Exit>((resolve) => {
    // Not 'close': after a kill -9 the sessions' processes hold stderr open for a while.
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const lines = new ServerLog(child.stderr, options.log)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('spawn', () => resolve(childPostmaster(child, exited, lines)))
  })
}

function childPostmaster(child: ChildProcess, exited: Promise<Exit>, lines: ServerLog): Postmaster {
  return {
    pid: child.pid ?? 0,
    exited,
    get latestLines() {
      return lines.latest
    },
    // ChildProcess.kill knows when the process has been reaped: no other can be hit.
    signal: async (signal) => void child.kill(signal),
    leave() {
      child.stderr?.destroy()
      child.unref()
    },
  }
}

/** One that an earlier Midge left behind: not our child, so it is looked at every 200 ms. */
export function adoptPostmaster(pid: number, identity: ProcessIdentity, clock: Clock): Postmaster {
  const left = new AbortController()
  const isThere = async () => {
    try {
      return (await identify(pid))?.start === identity.start
    } catch {
      return true // could not look: no reason to believe it gone
    }
  }
  const watch = async (): Promise<Exit> => {
    while (await isThere()) {
      await clock.sleep(POLL_MS, left.signal)
      if (left.signal.aborted) return new Promise(() => undefined)
    }
    return { code: null, signal: null }
  }
  return {
    pid,
    exited: watch(),
    latestLines: [],
    async signal(signal) {
      if (!(await isThere())) return
      try {
        process.kill(pid, signal)
      } catch (err) {
        if (codeOf(err) !== 'ESRCH') throw err
      }
    },
    leave: () => left.abort(),
  }
}

/** What is tried in turn, and how long each is waited for. */
const STEPS: readonly { mode: StopMode | 'kill'; signal: NodeJS.Signals; waitMs: number }[] = [
  { mode: 'fast', signal: 'SIGINT', waitMs: 60_000 },
  { mode: 'immediate', signal: 'SIGQUIT', waitMs: 10_000 },
  { mode: 'kill', signal: 'SIGKILL', waitMs: 10_000 },
]

/**
 * Ends the server and waits until it is gone: as asked, then harder. On Windows Node can only
 * terminate it; the next start recovers.
 *
 * @throws EmbeddedPostgresError START when even SIGKILL does not end it
 */
export async function stopPostmaster(
  postmaster: Postmaster,
  mode: StopMode,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  for (const step of STEPS.slice(mode === 'fast' ? 0 : 1)) {
    await postmaster.signal(step.signal)
    if (await endsWithin(postmaster, step.waitMs, deps.clock)) return
    deps.log.warn(
      { event: 'postgres.lingered', pid: postmaster.pid, mode: step.mode, ms: step.waitMs },
      `PostgreSQL did not stop within ${step.waitMs / 1000} s of a ${step.mode} shutdown`,
    )
  }
  throw new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_START',
    `the PostgreSQL server of pid ${postmaster.pid} does not end, not even by SIGKILL: its disk may hang; look at that process, and start again when it is gone`,
  )
}

async function endsWithin(postmaster: Postmaster, ms: number, clock: Clock): Promise<boolean> {
  const waiting = new AbortController()
  const ended = await Promise.race([
    postmaster.exited.then(() => true),
    clock.sleep(ms, waiting.signal).then(() => false),
  ])
  waiting.abort()
  return ended
}
