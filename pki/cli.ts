/** `midge pki …`: the authority from a shell. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Clock } from '../core/clock.ts'
import { codeOf, messageOf, OperationalError } from '../core/errors.ts'
import { type SerialNumber, serialNumber } from '../core/names.ts'
import { createFileAtomically, exists, PUBLIC, SECRET } from './atomic-file.ts'
import { Authority, type IssuedDevice } from './authority.ts'
import { filesIn } from './authority-files.ts'
import { isReason } from './authority-state.ts'
import { readCertificate } from './certificate.ts'
import { REASONS } from './crl-generator.ts'
import { AuthorityError } from './errors.ts'
import { describeFile } from './show.ts'

export interface PkiCommandContext {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
  /** The certificate directory, unless `--directory` names another. */
  readonly directory: string
  readonly clock: Clock
  /** Names of this machine, for the server certificate. */
  readonly hostNames: readonly string[]
}

export const PKI_USAGE = `Usage: midge pki COMMAND [--directory DIR]

  init                       make what is missing: CAs, server certificate, empty CRL
      --rsa                  RSA keys instead of P-256
      --host NAME            a further name or address of the server (may be repeated)
  issue TENANT DEVICE        a certificate with the CN TENANT/DEVICE
      --days N               its validity (365)
      --out DIR              where certificate and key are written (DIRECTORY/devices)
      --csr FILE             sign this request; the device keeps its key
      --rsa                  an RSA key instead of P-256
  revoke WHAT                a serial number (hex), a certificate file, or TENANT/DEVICE
      --reason REASON        ${Object.keys(REASONS).join(', ')}
  crl                        write the CRL anew, valid 30 days
  show FILE                  what a certificate or CRL says
`

class UsageError extends Error {}

/**
 * @param argv what follows `midge pki`
 * @returns the exit code: 0, 1 when the command failed, 2 when it was not understood
 */
export async function runPkiCommand(
  argv: readonly string[],
  context: PkiCommandContext,
): Promise<number> {
  try {
    await run(argv, context)
    return 0
  } catch (err) {
    if (err instanceof UsageError) {
      context.stderr.write(`midge pki: ${err.message}\n\n${PKI_USAGE}`)
      return 2
    }
    // A full disk and a missing right are the operator's, not a bug of ours.
    const isOperational = err instanceof OperationalError || /^E[A-Z]+$/u.test(codeOf(err) ?? '')
    if (!isOperational) throw err
    context.stderr.write(`midge pki: ${messageOf(err)}\n`)
    return 1
  }
}

const OPTIONS = {
  directory: { type: 'string' },
  rsa: { type: 'boolean' },
  host: { type: 'string', multiple: true },
  days: { type: 'string' },
  out: { type: 'string' },
  csr: { type: 'string' },
  reason: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (err) {
    throw new UsageError(messageOf(err))
  }
}

type Values = ReturnType<typeof parse>['values']

const COMMANDS = new Map<
  string,
  { readonly arguments: number; readonly options: readonly string[] }
>([
  ['init', { arguments: 0, options: ['rsa', 'host'] }],
  ['issue', { arguments: 2, options: ['days', 'out', 'csr', 'rsa'] }],
  ['revoke', { arguments: 1, options: ['reason'] }],
  ['crl', { arguments: 0, options: [] }],
  ['show', { arguments: 1, options: [] }],
])

async function run(argv: readonly string[], context: PkiCommandContext): Promise<void> {
  const { values, positionals } = parse(argv)
  const [command, first = '', second = ''] = positionals
  if (values.help === true) {
    context.stdout.write(PKI_USAGE)
    return
  }
  if (command === undefined) throw new UsageError('expected a command')
  const expected = COMMANDS.get(command)
  if (expected === undefined) throw new UsageError(`unknown command ${JSON.stringify(command)}`)
  const count = positionals.length - 1
  if (count !== expected.arguments) {
    throw new UsageError(`${command}: expected ${expected.arguments} arguments, found ${count}`)
  }
  const stray = Object.keys(values).find(
    (name) => name !== 'directory' && !expected.options.includes(name),
  )
  if (stray !== undefined) throw new UsageError(`${command} has no option --${stray}`)
  if (command === 'show') {
    context.stdout.write(describeFile(first, await readInput(first), context.clock.now()))
    return
  }
  const directory = values.directory ?? context.directory
  // A mistyped directory must not become a second CA that "revokes".
  if (command !== 'init' && !(await exists(filesIn(directory).deviceCa))) {
    const text = `${directory} holds no device-ca.crt; midge pki init makes one`
    throw new AuthorityError('authority_incomplete', text)
  }
  const authority = await Authority.open(directory, {
    clock: context.clock,
    keyType: command === 'init' && values.rsa === true ? 'rsa' : 'p256',
    hostNames: [...context.hostNames, ...(values.host ?? [])],
  })
  for (const change of authority.changes) context.stdout.write(`${directory}: ${change}\n`)
  if (command === 'init' && authority.changes.length === 0) {
    context.stdout.write(`${directory}: complete, nothing to do\n`)
  }
  if (command === 'issue')
    await issue(authority, { tenant: first, device: second, values, directory }, context)
  if (command === 'revoke') await revoke(authority, first, values, context)
  if (command === 'crl') {
    const crlNumber = await authority.renewCrl()
    context.stdout.write(`${authority.files.deviceCrl}: crlNumber ${crlNumber}\n`)
  }
}

interface IssueArguments {
  readonly tenant: string
  readonly device: string
  readonly values: Values
  readonly directory: string
}

async function issue(
  authority: Authority,
  { tenant, device, values, directory }: IssueArguments,
  { stdout }: PkiCommandContext,
): Promise<void> {
  const { csr, rsa, out = join(directory, 'devices') } = values
  const days = values.days === undefined ? 365 : Number(values.days)
  const folder = join(out, fileNameOf(tenant))
  const paths = {
    crt: join(folder, `${fileNameOf(device)}.crt`),
    key: join(folder, `${fileNameOf(device)}.key`),
  }
  for (const path of Object.values(paths)) if (await exists(path)) throw keptFile(path)
  const issued = await authority.issueDevice(tenant, device, {
    days,
    keyType: rsa === true ? 'rsa' : 'p256',
    ...(csr === undefined ? {} : { csr: (await readInput(csr)).toString('latin1') }),
  })
  for (const [path, content, mode] of filesOf(issued, paths)) {
    if (!(await createFileAtomically({ path, content, mode }))) throw keptFile(path)
    stdout.write(`${path}\n`)
  }
  const until = new Date(issued.notAfter).toISOString()
  stdout.write(`CN ${issued.commonName}, serial ${issued.serialNumber}, valid until ${until}\n`)
}

function keptFile(path: string): AuthorityError {
  const text = `${path} exists already and is not overwritten; move it away or give another --out`
  return new AuthorityError('authority_file_exists', text)
}

function filesOf(issued: IssuedDevice, paths: { readonly crt: string; readonly key: string }) {
  const certificate = [paths.crt, issued.certificatePem, PUBLIC] as const
  if (issued.privateKeyPem === undefined) return [certificate]
  return [[paths.key, issued.privateKeyPem, SECRET] as const, certificate]
}

/** One path segment for any id: `..` and `.hidden` among them. */
function fileNameOf(id: string): string {
  return encodeURIComponent(id).replace(/^\./u, '%2E')
}

async function revoke(
  authority: Authority,
  what: string,
  values: Values,
  { stdout }: PkiCommandContext,
): Promise<void> {
  const reason = values.reason ?? 'unspecified'
  if (!isReason(reason)) {
    throw new UsageError(
      `--reason: expected one of ${Object.keys(REASONS).join(', ')}, found ${reason}`,
    )
  }
  const serials = await serialsFor(authority, what)
  const crlNumber = await authority.revoke(serials, reason)
  for (const serial of serials) stdout.write(`revoked ${serial} (${reason})\n`)
  stdout.write(`${authority.files.deviceCrl}: crlNumber ${crlNumber}\n`)
}

async function serialsFor(authority: Authority, what: string): Promise<readonly SerialNumber[]> {
  const named = await authority.serialsOf(what)
  if (named.length > 0) return named
  if (/^[0-9a-f]+(?::[0-9a-f]+)*$/iu.test(what)) return [serialNumber(what.replaceAll(':', ''))]
  const bytes = await readFile(what).catch(() => undefined)
  if (bytes === undefined) {
    const text = `expected a serial number, a certificate file or the TENANT/DEVICE of a certificate issued here, found ${JSON.stringify(what)}`
    throw new AuthorityError('authority_certificate_unknown', text)
  }
  return [await serialInFile(authority, what, bytes)]
}

async function serialInFile(
  authority: Authority,
  file: string,
  bytes: Buffer,
): Promise<SerialNumber> {
  try {
    const certificate = new X509Certificate(bytes)
    const ca = new X509Certificate(await readFile(authority.files.deviceCa))
    if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) {
      throw new Error('a certificate of another CA')
    }
    return readCertificate(certificate.raw).serialNumber
  } catch (cause) {
    const text = `${file}: expected a certificate issued by ${authority.files.deviceCa}, found ${messageOf(cause)}`
    throw new AuthorityError('authority_certificate_unknown', text, { cause })
  }
}

async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    const text = `${file} cannot be read: ${messageOf(cause)}`
    throw new AuthorityError('authority_request_invalid', text, { cause })
  }
}
