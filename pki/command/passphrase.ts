/**
 * Where passphrases come from: a file, the environment, the terminal; never the command line, which
 * every user of the machine can read.
 */
import { AuthorityError } from '../errors.ts'
import type { PassphraseSource } from '../private-key.ts'
import type { RandomOctets } from '../serial-number.ts'
import { type PkiCommandContext, readInput, type Values } from './context.ts'

/**
 * Of the CAs' keys; looked for once, when it is needed first.
 *
 * @param isNew asked for twice at the terminal
 */
export function caPassphrase(
  values: Values,
  context: PkiCommandContext,
  isNew: boolean,
): PassphraseSource {
  let found: Promise<string | undefined> | undefined
  const find = async (): Promise<string | undefined> => {
    const { environment = {}, prompt } = context
    const file = values['ca-passphrase-file']
    if (file !== undefined) return await passphraseIn(file)
    const given = await passphraseOf(environment)
    if (given !== undefined) return given
    if (prompt === undefined) {
      if (!isNew) return undefined
      const text =
        'expected a passphrase for the CA keys in --ca-passphrase-file, MIDGE_CA_PASSPHRASE_FILE or MIDGE_CA_PASSPHRASE, found none'
      throw new AuthorityError('authority_passphrase_refused', text)
    }
    const first = await prompt('Passphrase of the CA keys: ')
    if (!isNew || (await prompt('Once more: ')) === first) return first
    throw new AuthorityError('authority_passphrase_refused', 'the two passphrases differ')
  }
  return () => (found ??= find())
}

/**
 * Of the CAs' keys, for a process with nobody at a terminal; undefined when no variable is set: then
 * what an encrypted key is needed for is left to the operator.
 */
export function caPassphraseIn(
  environment: Readonly<Record<string, string | undefined>>,
): PassphraseSource | undefined {
  const names = ['MIDGE_CA_PASSPHRASE_FILE', 'MIDGE_CA_PASSPHRASE']
  if (names.every((name) => (environment[name] ?? '') === '')) return undefined
  return () => passphraseOf(environment)
}

async function passphraseOf(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  const file = environment['MIDGE_CA_PASSPHRASE_FILE'] ?? ''
  if (file !== '') return await passphraseIn(file)
  const given = environment['MIDGE_CA_PASSPHRASE'] ?? ''
  return given === '' ? undefined : given
}

/** Of a PKCS #12 file; `isMade` when nobody gave one, so that it has to be shown. */
export async function p12Passphrase(
  values: Values,
  { environment = {} }: PkiCommandContext,
  random: RandomOctets,
): Promise<{ readonly passphrase: string; readonly isMade: boolean }> {
  const file = values['passphrase-file']
  if (file !== undefined) return { passphrase: await passphraseIn(file), isMade: false }
  const given = environment['MIDGE_P12_PASSPHRASE']
  if (given !== undefined && given !== '') return { passphrase: given, isMade: false }
  return { passphrase: Buffer.from(random(15)).toString('base64url'), isMade: true }
}

/** The first line. */
async function passphraseIn(file: string): Promise<string> {
  const [line = ''] = (await readInput(file)).toString('utf8').split(/\r?\n/u)
  if (line !== '') return line
  const text = `${file}: expected a passphrase on its first line, found none`
  throw new AuthorityError('authority_passphrase_refused', text)
}
