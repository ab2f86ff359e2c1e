/**
 * Whose server is running on a cluster? PostgreSQL writes `postmaster.pid` and removes it when it
 * stops; after kill -9, a power cut or in a new container it is there and says nothing: the pid may
 * be nobody's, or another program's by now.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '../core/errors.ts'
import { identify, type ProcessIdentity } from './processes.ts'

export type Found =
  | { readonly kind: 'none' }
  /** Its pid is certainly not a server on this cluster. */
  | { readonly kind: 'stale'; readonly pid: number }
  /** Perhaps one; PostgreSQL has to decide, and refuses to start a second. */
  | { readonly kind: 'unclear'; readonly pid: number }
  | {
      readonly kind: 'running'
      readonly pid: number
      readonly identity: ProcessIdentity
      readonly port: number
    }

interface PidFile {
  readonly pid: number
  readonly port: number
}

/** PostgreSQL 18, src/include/utils/pidfile.h: one value a line, the last ones only when ready. */
export function parsePidFile(text: string): PidFile | undefined {
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  const port = Number(lines[3])
  return { pid, port: Number.isInteger(port) && port > 0 && port < 65_536 ? port : 0 }
}

/**
 * @param cluster absolute and without symbolic links, as we give it to the server
 * @param uid the server runs as; undefined where the system has none
 */
export async function findPostmaster(cluster: string, uid: number | undefined): Promise<Found> {
  let text
  try {
    text = await readFile(join(cluster, 'postmaster.pid'), 'utf8')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return { kind: 'none' }
    throw err
  }
  const file = parsePidFile(text)
  if (file === undefined) return { kind: 'stale', pid: 0 }
  const identity = await identify(file.pid)
  if (identity === undefined) return { kind: 'stale', pid: file.pid }
  const { pid, port } = file
  const kind = judge(identity, cluster, uid)
  return kind === 'running' ? { kind, pid, identity, port } : { kind, pid }
}

/** Is this process a server on this cluster? Ours are all started as `postgres -D <cluster> …`. */
export function judge(
  identity: ProcessIdentity,
  cluster: string,
  uid: number | undefined,
): 'running' | 'stale' | 'unclear' {
  const { commandLine } = identity
  if (commandLine === '') return 'unclear'
  if (uid !== undefined && identity.uid !== uid) return 'stale'
  if (`${commandLine} `.includes(`postgres -D ${cluster} `)) return 'running'
  // A postmaster keeps its command line; its children begin theirs with `postgres: `.
  if (!/(?:^|\/)(?:postgres|postmaster)(?: -|$)/u.test(commandLine)) return 'stale'
  return / -D \//u.test(commandLine) ? 'stale' : 'unclear'
}
