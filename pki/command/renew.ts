/** `midge pki renew`. */
import { join } from 'node:path'
import { exists } from '../atomic-file.ts'
import { type DevicePaths, devicePaths, pathsBeside } from '../device-files.ts'
import { AuthorityError } from '../errors.ts'
import { renewDevice } from '../renewal.ts'
import { numberOf, readInput } from './context.ts'
import { type IssueCommand, register, sayIssued } from './issue.ts'
import { revokeSerials } from './revoke.ts'
import { UsageError } from './usage.ts'

/** @param what TENANT/DEVICE, or a file @returns the exit code */
export async function renew(command: IssueCommand, what: string): Promise<number> {
  const { authority, values, context } = command
  if (values.rsa === true && values['new-key'] !== true) {
    throw new UsageError('renew: --rsa is of a --new-key')
  }
  if (values.csr !== undefined && values['new-key'] === true) {
    throw new UsageError('renew: either --csr or --new-key')
  }
  const paths = await pathsFor(command, what)
  const { tenant, device, before, issued } = await renewDevice(authority, paths, {
    days: numberOf(values.days),
    newKey: values['new-key'] !== true ? undefined : values.rsa === true ? 'rsa' : 'p256',
    csr: values.csr === undefined ? undefined : (await readInput(values.csr)).toString('latin1'),
    ifDue: values['if-due'] === true,
    now: context.clock.now(),
  })
  const name = `${tenant}/${device}`
  const until = new Date(before.notAfter).toISOString()
  if (issued === undefined) {
    context.stdout.write(`${name} is not due: its certificate is valid until ${until}\n`)
    return 0
  }
  if (values['new-key'] === true) context.stdout.write(`${paths.key}\n`)
  sayIssued(command, paths.certificate, issued)
  const { certificatePem } = issued
  const code = await register(command, name, { tenant, device, site: undefined, certificatePem })
  if (values['revoke-old'] !== true) {
    const kept = join(paths.earlier, `${before.serialNumber}.crt`)
    context.stdout.write(
      `the one before (${kept}) stays good until ${until}, or until midge pki revoke ${before.serialNumber}\n`,
    )
    return code
  }
  const revoked = await revokeSerials(command, [before.serialNumber], 'superseded')
  return Math.max(code, revoked)
}

async function pathsFor({ directory }: IssueCommand, what: string): Promise<DevicePaths> {
  const [tenant, device, ...more] = what.split('/')
  if (tenant !== undefined && device !== undefined && more.length === 0 && device !== '') {
    const paths = devicePaths(join(directory, 'devices'), tenant, device)
    if (await exists(paths.certificate)) return paths
  }
  if (await exists(what)) return pathsBeside(what)
  const text = `expected a certificate file, or the TENANT/DEVICE of one in ${join(directory, 'devices')}, found ${JSON.stringify(what)}`
  throw new AuthorityError('authority_certificate_unknown', text)
}
