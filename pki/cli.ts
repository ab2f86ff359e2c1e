/** `midge pki …`: the authority from a shell. */
import { codeOf, messageOf, OperationalError } from '../core/errors.ts'
import { exists } from './atomic-file.ts'
import { Authority } from './authority.ts'
import { filesIn, readIfThere } from './authority-files.ts'
import { bundle } from './command/bundle.ts'
import { parse, type PkiCommandContext, readInput, type Values } from './command/context.ts'
import { checkHosts } from './command/init.ts'
import { issue, type IssueCommand } from './command/issue.ts'
import { caPassphrase } from './command/passphrase.ts'
import { registerAgain } from './command/register.ts'
import { renew } from './command/renew.ts'
import { revoke } from './command/revoke.ts'
import { COMMANDS, COMMON_OPTIONS, PKI_USAGE, UsageError } from './command/usage.ts'
import { AuthorityError } from './errors.ts'
import { isEncryptedPem, type PassphraseSource } from './private-key.ts'
import { describeFile } from './show.ts'

export type { PkiCommandContext } from './command/context.ts'
export { PKI_USAGE } from './command/usage.ts'

/**
 * @param argv what follows `midge pki`
 * @returns the exit code: 0, 1 when the command failed or did not do all, 2 when it was not understood
 */
export async function runPkiCommand(
  argv: readonly string[],
  context: PkiCommandContext,
): Promise<number> {
  try {
    return await run(argv, context)
  } catch (err) {
    if (err instanceof UsageError) {
      context.stderr.write(`midge pki: ${err.message}\nUse 'midge pki --help' to see the usage.\n`)
      return 2
    }
    // A full disk and a missing right are the operator's, not a bug of ours.
    const isOperational = err instanceof OperationalError || /^E[A-Z]+$/u.test(codeOf(err) ?? '')
    if (!isOperational) throw err
    context.stderr.write(`midge pki: ${messageOf(err)}\n`)
    return 1
  }
}

interface Understood {
  readonly command: string
  readonly first: string
  readonly second: string
  readonly values: Values
}

async function run(argv: readonly string[], context: PkiCommandContext): Promise<number> {
  const { values, positionals } = parse(argv)
  if (values.help === true) {
    context.stdout.write(PKI_USAGE)
    return 0
  }
  const given = understand(positionals, values)
  const directory = values.directory ?? context.directory
  if (given.command === 'show') {
    const bytes = await readInput(given.first)
    const { clock, identify } = context
    const files = filesIn(directory)
    context.stdout.write(await describeFile(given.first, bytes, { clock, files, identify }))
    return 0
  }
  // A mistyped directory must not become a second CA that "revokes".
  if (given.command !== 'init' && !(await exists(filesIn(directory).deviceCa))) {
    const text = `${directory} holds no device-ca.crt; midge pki init makes one`
    throw new AuthorityError('authority_incomplete', text)
  }
  if (given.command === 'bundle') {
    return await bundle(directory, [given.first, given.second], values, context)
  }
  if (given.command === 'register') {
    return await registerAgain(directory, [given.first, given.second], values, context)
  }
  const passphrase = caPassphrase(values, context, values['encrypt-keys'] === true)
  const authority = await open(directory, { given, context, passphrase })
  if (given.command === 'init') return await checkHosts(authority, values.host ?? [], context)
  const enrolment = context.enrolment?.(directory)
  return await act(given, { authority, directory, values, enrolment, context })
}

function understand(positionals: readonly string[], values: Values): Understood {
  const [command, first = '', second = ''] = positionals
  if (command === undefined) throw new UsageError('expected a command')
  const expected = COMMANDS.get(command)
  if (expected === undefined) throw new UsageError(`unknown command ${JSON.stringify(command)}`)
  const stray = Object.keys(values).find(
    (name) => !COMMON_OPTIONS.includes(name) && !expected.options.includes(name),
  )
  if (stray !== undefined) throw new UsageError(`${command} has no option --${stray}`)
  if (values.list !== undefined && values.count !== undefined) {
    throw new UsageError(`${command}: either --list or --count`)
  }
  const wanted = values.list === undefined ? expected.arguments : 0
  const count = positionals.length - 1
  if (count !== wanted) {
    throw new UsageError(`${command}: expected ${wanted} arguments, found ${count}`)
  }
  return { command, first, second, values }
}

interface Opening {
  readonly given: Understood
  readonly context: PkiCommandContext
  readonly passphrase: PassphraseSource
}

async function open(
  directory: string,
  { given: { command, values }, context, passphrase }: Opening,
): Promise<Authority> {
  const isInit = command === 'init'
  const files = filesIn(directory)
  const keyFiles = isInit ? [files.serverCaKey, files.deviceCaKey] : [files.deviceCaKey]
  const pems = await Promise.all(keyFiles.map((file) => readIfThere(file)))
  const isLocked = pems.some((pem) => pem !== undefined && isEncryptedPem(pem))
  const makesLocked = values['encrypt-keys'] === true && pems.includes(undefined)
  // Now, and not while the directory is locked: people take their time.
  const isAsked = makesLocked || (isLocked && !isInit)
  if (isAsked) await passphrase()
  const hosts = isInit ? (values.host ?? []) : []
  const authority = await Authority.open(directory, {
    clock: context.clock,
    keyType: isInit && values.rsa === true ? 'rsa' : 'p256',
    hostNames: [...context.hostNames, ...hosts],
    passphrase,
    encryptKeys: values['encrypt-keys'] === true,
  })
  for (const change of authority.changes) context.stdout.write(`${directory}: ${change}\n`)
  if (!isInit) return authority
  if (authority.changes.length === 0) {
    context.stdout.write(`${directory}: complete, nothing to do\n`)
  }
  if (values['encrypt-keys'] === true && !makesLocked && !isLocked) {
    context.stderr.write(
      `midge pki: ${directory} has its keys already; they stay as they are, unencrypted\n`,
    )
  }
  return authority
}

async function act(given: Understood, command: IssueCommand): Promise<number> {
  const { first, second } = given
  switch (given.command) {
    case 'issue':
      return await issue(command, first, second)
    case 'renew':
      return await renew(command, first)
    case 'revoke':
      return await revoke(command, first)
    case 'crl': {
      const { authority, context } = command
      const crlNumber = await authority.renewCrl()
      context.stdout.write(`${authority.files.deviceCrl}: crlNumber ${crlNumber}\n`)
      return 0
    }
    default:
      return 0
  }
}
