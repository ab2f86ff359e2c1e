/** What the process needs of the machine: ports, a user, files it writes. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Environment } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import { OperationalError } from '../core/errors.ts'
import { accessProblem, ourselves } from '../core/file-access.ts'
import { danger, failure, type Finding } from './check-findings.ts'
import { unreadableLater } from './check-readers.ts'
import { accountsOfSystem, targetUser, umaskOf } from './privileges.ts'

export interface Machine {
  /** Effective user id; undefined where there is none. */
  readonly uid: number | undefined
  /** From here up a port is anybody's. */
  readonly firstFreePort: number
  readonly mayBindAll: boolean
}

/** Nothing is written, no port is opened. */
export function processNeeds(
  config: Config,
  file: string,
  environment: Environment,
  machine: Machine,
): readonly Finding[] {
  return [...ports(config, machine), ...writes(config), ...user(config, file, environment, machine)]
}

function ports({ listeners }: Config, { firstFreePort, mayBindAll, uid }: Machine): Finding[] {
  if (mayBindAll || uid === 0 || uid === undefined) return []
  return listeners
    .filter(({ port, socketPath }) => socketPath === undefined && port > 0 && port < firstFreePort)
    .map(({ name, port }) =>
      failure(
        `listener ${name}: port ${port} is below ${firstFreePort}: only root or CAP_NET_BIND_SERVICE may open it (this process is ${ourselves()})`,
      ),
    )
}

function writes({ pidFile, log }: Config): Finding[] {
  const logFile = log.mosquitto?.file
  return [
    // As in Mosquitto: without the one it does not start, without the other it runs.
    ...(pidFile === undefined ? [] : writable(pidFile, 'pid_file', failure)),
    ...(logFile === undefined ? [] : writable(logFile, 'log file', danger)),
  ]
}

function writable(file: string, what: string, as: (text: string) => Finding): Finding[] {
  const path = existsSync(file) ? file : dirname(file)
  try {
    accessSync(path, constants.W_OK)
    return []
  } catch (err) {
    return [as(`cannot write the ${what} ${file}: ${path}: ${accessProblem(path, err)}`)]
  }
}

function user(config: Config, file: string, environment: Environment, { uid }: Machine): Finding[] {
  const notes: Finding[] = []
  try {
    umaskOf(environment)
    if (uid !== 0) return []
    const accounts = accountsOfSystem()
    const target = targetUser({ user: config.user, environment, accounts }, (text) =>
      notes.push(danger(text)),
    )
    if (target === undefined) {
      return [...notes, danger("'user' names root: a broker needs no such rights")]
    }
    return [...notes, ...unreadableLater(config, file, target)]
  } catch (err) {
    if (!(err instanceof OperationalError)) throw err
    return [failure(err.message)]
  }
}

const CAP_NET_BIND_SERVICE = 10n

/** As it is now, from /proc where there is one. */
export function thisMachine(): Machine {
  return {
    uid: process.geteuid?.(),
    firstFreePort: Number(textOf('/proc/sys/net/ipv4/ip_unprivileged_port_start') ?? 1024),
    mayBindAll: hasCapability(textOf('/proc/self/status') ?? '', CAP_NET_BIND_SERVICE),
  }
}

function hasCapability(status: string, capability: bigint): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/mu.exec(status)?.[1]
  return mask !== undefined && (BigInt(`0x${mask}`) & (1n << capability)) !== 0n
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
