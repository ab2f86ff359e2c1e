/** Where a listener listens: from its address, interface and family to sockets to open. */
import { lookup } from 'node:dns/promises'
import { lstat, unlink } from 'node:fs/promises'
import { connect, isIP, type ListenOptions } from 'node:net'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import type { ListenerConfig } from '../../config/types.ts'
import { OperationalError, codeOf, messageOf } from '../../core/errors.ts'

type Where = Pick<ListenerConfig, 'address' | 'port' | 'family' | 'bindInterface' | 'socketPath'>

/** The machine's side; tests bring their own. */
export interface Machine {
  /** Every address of a host name. */
  resolve(host: string): Promise<readonly { readonly address: string; readonly family: number }[]>
  interfaces(): Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>
}

export const thisMachine: Machine = {
  resolve: (host) => lookup(host, { all: true }),
  interfaces: networkInterfaces,
}

/**
 * One entry for each socket. Without address and interface every interface is meant: one dual-stack
 * socket, or one of the family asked for.
 *
 * @throws OperationalError `LISTEN_FAILED` when nothing fits
 */
export async function addressesOf(
  where: Where,
  machine: Machine = thisMachine,
): Promise<readonly ListenOptions[]> {
  const { address, port, family, bindInterface, socketPath } = where
  if (socketPath !== undefined) return [{ path: socketPath }]
  const wanted = family === undefined ? undefined : family === 'ipv4' ? 4 : 6
  const ofInterface = bindInterface === undefined ? undefined : hostsOf(bindInterface, machine)
  if (address === undefined && ofInterface === undefined) {
    if (wanted === undefined) return [{ port }]
    return [wanted === 4 ? { port, host: '0.0.0.0' } : { port, host: '::', ipv6Only: true }]
  }
  const named = address === undefined ? undefined : await hostsNamed(address, machine)
  const hosts = (named ?? ofInterface ?? [])
    .filter(
      (host) => named === undefined || ofInterface === undefined || ofInterface.includes(host),
    )
    .filter((host) => wanted === undefined || familyOf(host) === wanted)
  if (hosts.length === 0) throw nothingFits(where)
  return [...new Set(hosts)].map((host) =>
    familyOf(host) === 6 ? { port, host, ipv6Only: true } : { port, host },
  )
}

function familyOf(host: string): number {
  // A link-local address carries its interface behind `%`.
  return isIP(host.replace(/%.*$/u, ''))
}

async function hostsNamed(address: string, machine: Machine): Promise<readonly string[]> {
  if (familyOf(address) !== 0) return [address]
  try {
    return (await machine.resolve(address)).map((found) => found.address)
  } catch (err) {
    throw new OperationalError(
      'LISTEN_FAILED',
      `cannot listen on ${address}: the name has no address here (${codeOf(err) ?? messageOf(err)})`,
      { cause: err },
    )
  }
}

function hostsOf(device: string, machine: Machine): readonly string[] {
  const interfaces = machine.interfaces()
  const found = Object.hasOwn(interfaces, device) ? interfaces[device] : undefined
  if (found === undefined || found.length === 0) {
    const names = Object.keys(interfaces).join(', ')
    throw new OperationalError(
      'LISTEN_FAILED',
      `bind_interface ${device}: no such network interface with an address; there are ${names}`,
    )
  }
  return found.map(({ address, scopeid = 0 }) => (scopeid === 0 ? address : `${address}%${device}`))
}

function nothingFits({ address, family, bindInterface }: Where): OperationalError {
  const what = [
    address === undefined ? '' : `address ${address}`,
    bindInterface === undefined ? '' : `interface ${bindInterface}`,
    family === undefined ? '' : `socket_domain ${family}`,
  ].filter((part) => part !== '')
  return new OperationalError(
    'LISTEN_FAILED',
    `cannot listen: ${what.join(' and ')} exclude one another`,
  )
}

/**
 * Makes way for a Unix socket: one that nobody listens on any more, as a killed process leaves it, is
 * removed. A file of another kind, or a socket in use, stays.
 *
 * @throws OperationalError `LISTEN_FAILED`
 */
export async function removeStaleSocket(path: string): Promise<void> {
  let isSocket: boolean
  try {
    isSocket = (await lstat(path)).isSocket()
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return
    throw new OperationalError('LISTEN_FAILED', `cannot listen on ${path}: ${messageOf(err)}`, {
      cause: err,
    })
  }
  if (!isSocket) {
    throw new OperationalError(
      'LISTEN_FAILED',
      `cannot listen on ${path}: there is a file of that name that is no socket`,
    )
  }
  if (await answers(path)) {
    throw new OperationalError(
      'LISTEN_FAILED',
      `cannot listen on ${path}: another program listens there; stop it or choose another path`,
    )
  }
  await unlink(path)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    // Anything but a refusal (no permission, backlog full) may mean that somebody is there.
    probe.once('error', (err) => resolve(codeOf(err) !== 'ECONNREFUSED'))
  })
}
