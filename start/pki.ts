/**
 * `midge pki …`, and what an authority does not know of: a device that is issued a certificate is
 * also registered with the Midge that runs on the data directory, so that its telemetry is accepted.
 */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { CommandLineError } from '../config/index.ts'
import { systemClock } from '../core/clock.ts'
import { OperationalError, codeOf } from '../core/errors.ts'
import { registerDeviceIn } from '../ingest/index.ts'
import { PKI_USAGE, runPkiCommand } from '../pki/index.ts'
import { registrationOf } from './enrolment.ts'
import { deviceFileNames } from './files.ts'
import { databaseOfRunning } from './run-file.ts'

const USAGE = `
  register TENANT DEVICE     make the device and its certificate known to the running Midge
      --site SITE            the site its messages must name (default: the tenant's name)
  issue … --site SITE        the same along with issuing
`

/** @returns the exit code */
export async function runPki(args: readonly string[]): Promise<number> {
  const { rest, site } = takeSite(args)
  const [command, tenant, device] = rest
  if (command === undefined || command === '--help' || command === '-h' || command === 'help') {
    process.stdout.write(`${PKI_USAGE}${USAGE}`)
    return 0
  }
  const data = resolve(process.env['MIDGE_DATA'] ?? 'data')
  if (command === 'register') {
    if (tenant === undefined || device === undefined || rest.length > 3) {
      throw new CommandLineError(`midge pki register takes a tenant and a device\n${USAGE}`)
    }
    await register(data, tenant, device, site ?? tenant)
    return 0
  }
  const code = await runPkiCommand(rest, {
    stdout: process.stdout,
    stderr: process.stderr,
    directory: join(data, 'certs'),
    clock: systemClock,
    hostNames: [hostname()],
  })
  const elsewhere = rest.includes('--out') || rest.includes('--directory') || rest.includes('--csr')
  if (code !== 0 || command !== 'issue' || elsewhere) return code
  if (tenant === undefined || device === undefined) return code
  try {
    await register(data, tenant, device, site ?? tenant)
  } catch (err) {
    if (!(err instanceof OperationalError) || err.code !== 'NOT_RUNNING') throw err
    process.stdout.write(
      `not registered, since no Midge runs on ${data}: once one does, run midge pki register ${tenant} ${device}\n`,
    )
  }
  return code
}

async function register(data: string, tenant: string, device: string, site: string): Promise<void> {
  const database = await databaseOfRunning(data)
  const { certificate } = deviceFileNames(join(data, 'certs', 'devices'), tenant, device)
  let pem: string
  try {
    pem = await readFile(certificate, 'utf8')
  } catch (err) {
    if (codeOf(err) !== 'ENOENT') throw err
    throw new OperationalError(
      'FILE_UNREADABLE',
      `${certificate} does not exist: midge pki issue ${tenant} ${device} makes it`,
      { cause: err },
    )
  }
  const { siteId, wasKnown } = await registerDeviceIn(
    database,
    registrationOf(tenant, device, site, pem),
  )
  const what = wasKnown ? 'was registered before' : 'is registered'
  process.stdout.write(`${tenant}/${device} ${what}; its messages name site_id "${siteId}"\n`)
}

function takeSite(args: readonly string[]): { rest: readonly string[]; site: string | undefined } {
  const at = args.indexOf('--site')
  if (at === -1) return { rest: args, site: undefined }
  const site = args[at + 1]
  if (site === undefined || site === '') throw new CommandLineError('--site needs a value')
  return { rest: [...args.slice(0, at), ...args.slice(at + 2)], site }
}
