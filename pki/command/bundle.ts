/** `midge pki bundle`. */
import { join } from 'node:path'
import { deviceName } from '../authority.ts'
import { filesIn } from '../authority-files.ts'
import { writeBundleDirectory, writeBundleFile } from '../bundle.ts'
import { devicePaths } from '../device-files.ts'
import { systemRandom } from '../serial-number.ts'
import { numberOf, type PkiCommandContext, type Values } from './context.ts'
import { p12Passphrase } from './passphrase.ts'
import { UsageError } from './usage.ts'

const MQTTS_PORT = 8883

/** Reads certificates and keys only: no passphrase of a CA is needed. */
export async function bundle(
  directory: string,
  [tenant, device]: readonly [string, string],
  values: Values,
  context: PkiCommandContext,
): Promise<number> {
  deviceName(tenant, device)
  const { p12 = false, host: hosts = [] } = values
  if (!p12 && values['passphrase-file'] !== undefined) {
    throw new UsageError('bundle: --passphrase-file is of a --p12')
  }
  const port = numberOf(values.port) ?? MQTTS_PORT
  if (!(port >= 1 && port <= 65_535)) {
    throw new UsageError(`--port: expected a number from 1 to 65535, found ${values.port}`)
  }
  const known = values.site ?? (await context.enrolment?.(directory).siteOf(tenant, device))
  const files = filesIn(directory)
  const paths = devicePaths(join(directory, 'devices'), tenant, device)
  const options = {
    tenant,
    device,
    site: known ?? tenant,
    host: hosts[0] ?? context.hostNames[0] ?? 'localhost',
    port,
    out: values.out ?? join(directory, 'bundles'),
  }
  if (!p12) {
    const made = await writeBundleDirectory(files, paths, options)
    context.stdout.write(`${made}: try it with ${join(made, 'publish.sh')}\n`)
    return 0
  }
  const { passphrase, isMade } = await p12Passphrase(values, context, systemRandom)
  const random = systemRandom
  const made = await writeBundleFile(files, paths, { ...options, passphrase, random })
  context.stdout.write(`${made}\n`)
  if (isMade) context.stdout.write(`passphrase: ${passphrase} (kept nowhere else)\n`)
  return 0
}
