/** The words behind `midge explain`. */
import { Arguments, CommandLineError, isHelp, unknownOption } from './arguments.ts'
import { shown } from './lines.ts'

export interface ExplainCommand {
  readonly name: 'explain'
  /** `tenant/device`, a user name, or `anonymous`. */
  readonly identity: string
  readonly access: 'publish' | 'subscribe'
  readonly topic: string
  readonly file: string
  /** Undefined: each listener of the file. */
  readonly listener: string | undefined
  /** What `%c` stands for; undefined: no line with it matches. */
  readonly clientId: string | undefined
  /** PEM or DER: say whether it would be admitted. */
  readonly certificate: string | undefined
  /** Ask the configured database about the device and the certificate. */
  readonly registry: boolean
}

/**
 * Undefined: the usage is asked for.
 *
 * @throws CommandLineError
 */
export function parseExplain(argv: readonly string[]): ExplainCommand | undefined {
  const given = new Arguments(argv)
  const words: string[] = []
  let file: string | undefined
  let listener: string | undefined
  let clientId: string | undefined
  let certificate: string | undefined
  let registry = false
  for (let word = given.take(); word !== undefined; word = given.take()) {
    if (isHelp(word)) return undefined
    if (word === '-c' || word === '--config-file') file = given.valueOf(word, 'config file')
    else if (word === '--listener') listener = given.valueOf(word, 'name')
    else if (word === '--client-id') clientId = given.valueOf(word, 'id')
    else if (word === '--certificate') certificate = given.valueOf(word, 'file')
    else if (word === '--registry') registry = true
    else if (word.startsWith('-') || words.length === 3) throw unknownOption(word)
    else words.push(word)
  }
  const [identity, access, topic] = words
  if (identity === undefined || topic === undefined) {
    const what = 'explain needs an identity, publish or subscribe, and a topic.'
    throw new CommandLineError(what, true)
  }
  if (access !== 'publish' && access !== 'subscribe') {
    throw new CommandLineError(`explain "${shown(access ?? '')}", expected publish or subscribe.`)
  }
  if (file === undefined) throw new CommandLineError('explain needs -c config_file.')
  return {
    name: 'explain',
    identity,
    access,
    topic,
    file,
    listener,
    clientId,
    certificate,
    registry,
  }
}
