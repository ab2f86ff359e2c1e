/** What the tests of the embedded server share: directories, owners in other processes, clients. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { chmod, cp, mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { Client } from 'pg'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import {
  startEmbeddedPostgres,
  type EmbeddedConnection,
  type EmbeddedPostgres,
  type Exit,
} from '../../postgres/index.ts'
import { identify } from '../../postgres/processes.ts'
import { RememberingLog } from '../helpers/log.ts'

export const isRoot = process.geteuid?.() === 0

const cleanups = new WeakMap<TestContext, (() => unknown)[]>()

/** As `t.after`, last one first: a server is stopped before its directory is removed. */
export function defer(t: TestContext, cleanup: () => unknown): void {
  const known = cleanups.get(t)
  if (known !== undefined) return void known.push(cleanup)
  const pending = [cleanup]
  cleanups.set(t, pending)
  t.after(async () => {
    for (const next of pending.toReversed()) await next()
  })
}

/** An empty directory that other users may pass through. */
export async function scratchDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'midge-'))
  await chmod(directory, 0o711)
  defer(t, () => rm(directory, { recursive: true, force: true, maxRetries: 5 }))
  return directory
}

let template: Promise<string> | undefined

/** One in which a first start has been: what it made, copied as a backup would be put back. */
export async function usedDirectory(t: TestContext, name = ''): Promise<string> {
  template ??= makeTemplate()
  const directory = join(await scratchDirectory(t), name)
  await cp(await template, directory, { recursive: true })
  return directory
}

async function makeTemplate(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'midge-'))
  await chmod(directory, 0o711)
  const removed = () => rmSync(directory, { recursive: true, force: true })
  process.once('exit', removed)
  const deps = { log: silentLog, clock: systemClock, random: randomBytes }
  await (await startEmbeddedPostgres({ directory, ...deps })).stop()
  return directory
}

/** Started in this process; stopped after the test if it still runs. */
export async function start(
  t: TestContext,
  directory: string,
  onExit?: (exit: Exit) => void,
): Promise<{ embedded: EmbeddedPostgres; log: RememberingLog }> {
  const log = new RememberingLog()
  const embedded = await startEmbeddedPostgres({
    directory,
    log: log.log,
    clock: systemClock,
    random: randomBytes,
    ...(onExit && { onExit }),
  })
  defer(t, () => embedded.stop())
  return { embedded, log }
}

export interface OwnerLine {
  readonly event?: string
  readonly pid?: number
  readonly wasTakenOver?: boolean
  readonly connection?: EmbeddedConnection
  readonly code?: string
  readonly message?: string
}

/** The same in a process of its own, killed after the test (its server is not). */
export function spawnOwner(
  t: TestContext,
  directory: string,
  as: { uid?: number; gid?: number } = {},
) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'owner.js'), directory], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
    ...as,
  })
  defer(t, () => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const lines: OwnerLine[] = []
  let wake = () => undefined as void
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line) as OwnerLine)
    wake()
  })
  return {
    async until(event: string): Promise<OwnerLine> {
      for (;;) {
        const found = lines.find((line) => line.event === event)
        if (found !== undefined) return found
        const failed = lines.find((line) => line.event === 'failed')
        if (failed !== undefined) throw new Error(failed.message)
        await new Promise<void>((resolve) => (wake = resolve))
      }
    },
    async kill(): Promise<void> {
      child.kill('SIGKILL')
      await exited
    },
    async stop(): Promise<void> {
      child.stdin.end('stop\n')
      await exited
    },
  }
}

/** Rows of one statement, as the user Midge works as. */
export async function ask(connection: EmbeddedConnection, sql: string): Promise<unknown[][]> {
  const client = new Client({ ...connection })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows
  } finally {
    await client.end()
  }
}

/** Settles when the process is gone, however long that takes. */
export async function untilGone(pid: number): Promise<void> {
  while ((await identify(pid)) !== undefined) await systemClock.sleep(10)
}

/** The processes of servers on this cluster, the server's own children included. */
export async function processesIn(cluster: string): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/u.test(name)) continue
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '')
    if (cwd === cluster) found.push(Number(name))
  }
  return found
}
