/** A server on its address, and what an operator can do when that cannot be had. */
import type { AddressInfo, ListenOptions, Server } from 'node:net'
import { OperationalError, codeOf, messageOf } from '../../core/errors.ts'
import { removeStaleSocket } from './addresses.ts'

/** Undefined: a Unix socket. */
export function addressOf(server: Server): AddressInfo | undefined {
  const address = server.address()
  if (address === null) throw new Error('not listening')
  return typeof address === 'string' ? undefined : address
}

/** @throws OperationalError `LISTEN_FAILED` naming address, port and what to do */
export async function listen(server: Server, at: ListenOptions): Promise<void> {
  if (at.path !== undefined) await removeStaleSocket(at.path)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ ...at, backlog: 4096 }, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } catch (err) {
    const where = at.path ?? `${at.host ?? 'all interfaces'}, port ${at.port}`
    throw new OperationalError('LISTEN_FAILED', `cannot listen on ${where}: ${whatToDo(err)}`, {
      cause: err,
    })
  }
}

function whatToDo(err: unknown): string {
  switch (codeOf(err)) {
    case 'EADDRINUSE':
      return 'the port is in use by another program; stop that one or choose another port'
    case 'EACCES':
      return 'ports below 1024 need privileges; choose a higher one'
    case 'EADDRNOTAVAIL':
      return 'the address is not one of this machine'
    default:
      return messageOf(err)
  }
}
