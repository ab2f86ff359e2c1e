/** Where the server listens: a unix socket nobody else may reach, or a loopback port of its own. */
import { unlink } from 'node:fs/promises'
import { createServer, type ListenOptions } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'

export type Place =
  | { readonly kind: 'socket'; readonly directory: string; readonly port: number }
  | { readonly kind: 'loopback'; readonly port: number }

/** PostgreSQL names its socket by a port even when it listens on none. */
const SOCKET_PORT = 5432
const LOOPBACK = '127.0.0.1'

/** What `net.connect` takes. */
export function addressOf(place: Place): { path: string } | { host: string; port: number } {
  return place.kind === 'socket'
    ? { path: socketPath(place.directory) }
    : { host: LOOPBACK, port: place.port }
}

/** What `pg` and libpq take: a host that begins with a slash is the folder of the socket. */
export function hostOf(place: Place): string {
  return place.kind === 'socket' ? place.directory : LOOPBACK
}

/** sun_path of unix(7) and of macOS, less the final NUL. */
function longestSocketPath(platform: NodeJS.Platform): number {
  return platform === 'linux' ? 107 : 103
}

function socketPath(directory: string): string {
  return join(directory, `.s.PGSQL.${SOCKET_PORT}`)
}

/** Does the path of the socket fit, and has this system unix sockets that Node can use at all? */
export function fitsSocket(directory: string, platform: NodeJS.Platform): boolean {
  return (
    platform !== 'win32' && Buffer.byteLength(socketPath(directory)) <= longestSocketPath(platform)
  )
}

/**
 * @param directory an existing folder; a socket is tried there, for some file systems (shared
 *   folders of virtual machines, SMB) hold none
 */
export async function choosePlace(
  directory: string,
  platform: NodeJS.Platform = process.platform,
): Promise<Place> {
  if (fitsSocket(directory, platform) && (await holdsSockets(directory))) {
    return { kind: 'socket', directory, port: SOCKET_PORT }
  }
  return { kind: 'loopback', port: await freePort() }
}

async function holdsSockets(directory: string): Promise<boolean> {
  const path = join(directory, '.probe')
  try {
    await unlink(path).catch(() => undefined)
    await listenOnce({ path })
    return true
  } catch {
    return false
  }
}

/** Free now; the server says so if somebody else was quicker. */
export async function freePort(): Promise<number> {
  const address = await listenOnce({ host: LOOPBACK, port: 0 })
  if (typeof address === 'object' && address !== null) return address.port
  throw new Error('the system gave no port')
}

async function listenOnce(options: ListenOptions) {
  const server = createServer()
  server.listen(options)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return address
}
