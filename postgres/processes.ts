/**
 * Tells processes apart beyond their pid, which the system hands out again: by when they began.
 */
import { readFile, readlink, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { codeOf } from '../core/errors.ts'
import { run } from './run.ts'

export interface ProcessIdentity {
  /** Equal for the same process only, never for a later one of the same pid. */
  readonly start: string
  /** Undefined where the system does not say (Windows). */
  readonly uid: number | undefined
  /** Arguments joined by spaces; empty where the system does not say. */
  readonly commandLine: string
}

/** Undefined: no such process; one that is dead and not yet reaped by its parent counts as none. */
export async function identify(
  pid: number,
  platform: NodeJS.Platform = process.platform,
): Promise<ProcessIdentity | undefined> {
  if (!isAlive(pid)) return undefined
  if (platform === 'linux') return identifyByProc(pid)
  if (platform === 'win32') return { start: 'unknown', uid: undefined, commandLine: '' }
  return identifyByPs(pid)
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return codeOf(err) === 'EPERM'
  }
}

async function identifyByProc(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [statLine, arguments_, folder, boot] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'latin1'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      stat(`/proc/${pid}`),
      readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => ''),
    ])
    // proc(5): the second field is the name in parentheses and may hold anything; state is the
    // third field, the start in clock ticks since boot the twenty-second.
    const fields = statLine.slice(statLine.lastIndexOf(')') + 2).split(' ')
    const [state] = fields
    if (state === 'Z' || state === 'X') return undefined
    return {
      start: `${boot.trim()}:${fields[19] ?? ''}`,
      uid: folder.uid,
      commandLine: arguments_.split('\0').join(' ').trim(),
    }
  } catch (err) {
    if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ESRCH') return undefined
    throw err
  }
}

async function identifyByPs(pid: number): Promise<ProcessIdentity | undefined> {
  const columns = ['state', 'lstart', 'uid', 'command'].flatMap((name) => ['-o', `${name}=`])
  const { code, output } = await run('/bin/ps', ['-ww', ...columns, '-p', String(pid)], {
    account: undefined,
    cwd: '/',
  })
  // S    Sat Nov 22 01:26:00 2025   501 /usr/bin/program -x
  const [, state, start, uid, commandLine] =
    /^(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(-?\d+)\s+(.*)$/u.exec(output) ?? []
  if (code !== 0 || start === undefined || state?.startsWith('Z') === true) return undefined
  return { start, uid: Number(uid) >>> 0, commandLine: commandLine ?? '' }
}

/**
 * Where a pid has its meaning: this machine, this boot, this pid namespace (a container's). Two
 * processes with different answers cannot look for each other by pid.
 */
export async function pidSpace(): Promise<string> {
  const [boot, namespace] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => ''),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ])
  return [hostname(), boot.trim(), namespace].join(' ')
}
