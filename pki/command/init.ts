/** `midge pki init`: what is left to say once everything missing was made. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Authority } from '../authority.ts'
import type { PkiCommandContext } from './context.ts'

/**
 * `init` overwrites no certificate: a name that an existing `server.crt` lacks would otherwise be
 * passed over in silence, and found out by the devices.
 *
 * @returns the exit code: 1 when a name that was asked for is missing
 */
export async function checkHosts(
  { files }: Authority,
  hosts: readonly string[],
  { stderr }: PkiCommandContext,
): Promise<number> {
  const server = new X509Certificate(await readFile(files.serverCert))
  const missing = hosts.filter((host) => {
    return (isIP(host) === 0 ? server.checkHost(host) : server.checkIP(host)) === undefined
  })
  if (missing.length === 0) return 0
  const again = ['midge pki init', ...hosts.map((host) => `--host ${host}`)].join(' ')
  stderr.write(
    `midge pki: ${files.serverCert} was there already and does not name ${missing.join(', ')}: move it and ${files.serverKey} away, then once more: ${again}\n`,
  )
  return 1
}
