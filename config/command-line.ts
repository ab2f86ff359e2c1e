/**
 * `midge` as Mosquitto is called (`-c`, `-p`, `-v` …), with its texts and exit code, and the
 * commands of our own. With `-c` or `-p` it starts as Mosquitto would; with neither, as newcomers
 * start it.
 */
import { Arguments, CommandLineError, isHelp, unknownOption } from './arguments.ts'
import { parseExplain, type ExplainCommand } from './explain-command.ts'
import { shown } from './lines.ts'
import type { Verbosity } from './sections.ts'
import { wholeNumber } from './settings/setting.ts'

export { CommandLineError } from './arguments.ts'
export type { ExplainCommand } from './explain-command.ts'

export interface StartCommand {
  readonly name: 'start'
  /** `mosquitto`: loadConfig decides. `newcomer`: newcomerConfig does. */
  readonly as: 'mosquitto' | 'newcomer'
  readonly file: string | undefined
  readonly ports: readonly number[]
  readonly verbosity: Verbosity
  /** `-d` was given: Node cannot fork, so the caller starts itself again. */
  readonly daemon: boolean
  /** `--data`; wins over MIDGE_DATA. */
  readonly data: string | undefined
  /** Read the configuration, say `Configuration file is OK.`, and end. */
  readonly testConfig: boolean
  readonly tlsKeylog: string | undefined
}

export type Command =
  | StartCommand
  | ExplainCommand
  | { readonly name: 'help' }
  | { readonly name: 'version' }
  | {
      readonly name: 'demo'
      readonly devices: number
      /** Messages per second, all devices together. */
      readonly rate: number
      readonly data: string | undefined
    }
  | {
      readonly name: 'rows'
      readonly limit: number
      readonly follow: boolean
      readonly data: string | undefined
    }
  | { readonly name: 'pki' | 'passwd' | 'quarantine' | 'db'; readonly rest: readonly string[] }
  | { readonly name: 'check'; readonly file: string }
  /** Undefined: where the configuration opens HTTP. */
  | { readonly name: 'health'; readonly url: string | undefined }

export const USAGE = `midge is an MQTT broker that stores telemetry in PostgreSQL.

Usage: midge [start] [-c config_file] [-p port] [-v] [-q] [-d] [--data dir]
             [--test-config] [--tls-keylog file]
       midge demo [--devices n] [--rate r] [--data dir]
       midge pki ...
       midge rows [--limit n] [--follow] [--data dir]
       midge quarantine list|show|replay|discard ...
       midge db init [--data dir]
       midge passwd [-c | -D] [-b] passwordfile username ...
       midge check config_file
       midge explain identity publish|subscribe topic -c config_file
             [--listener name] [--client-id id] [--certificate file] [--registry]
       midge health [--url url]

 -c : read a mosquitto.conf and start as Mosquitto would. Without it, and without
      -p, start with mutual TLS on 8883, passwords on 1883 and 9001, and a database.
 -d : put the broker into the background after starting. Without -c what it says goes
      to midge.log in its directory.
 -h : display this help.
 -p : listen on this port, on this machine only, if the file has no listener.
 -q : log nothing. This overrides the configuration file, and -v.
 -v : log everything. This overrides the configuration file.
 --data : directory of certificates, passwords and database without a file.
 --test-config : test the configuration and exit.
 --tls-keylog : append TLS secrets to a file, for packet analysers. Not for production.
 --version : display the version.

 demo   : send telemetry from simulated devices.
 pki    : make and revoke certificates.
 rows   : show stored telemetry.
 quarantine : look at rejected messages, try them again, discard them.
 db     : make the tables in a database of your own.
 passwd : edit a password file, as mosquitto_passwd does; see midge passwd --help.
 check  : say what becomes of each line of a file, and what is dangerous in it.
          Exit code 2 for dangers alone, 3 for errors.
 explain: say whether tenant/device, an account or anonymous may do it, and by which line;
          of a certificate whether it is admitted; with --registry what the database says.
 health : ask a running broker; exit code 0 if it is ready.
`

const MAX_PORTS = 10

/**
 * @param argv without the runtime and the script
 * @throws CommandLineError
 */
export function parseCommandLine(argv: readonly string[]): Command {
  const [first = '', ...rest] = argv
  switch (first) {
    case 'start':
      return parseStart(rest)
    case 'demo':
      return parseDemo(rest)
    case 'rows':
      return parseRows(rest)
    case 'pki':
    case 'passwd':
    case 'quarantine':
    case 'db':
      return { name: first, rest }
    case 'check':
      return parseCheck(rest)
    case 'explain':
      return parseExplain(rest) ?? { name: 'help' }
    case 'health':
      return parseHealth(rest)
    default:
      return parseStart(argv)
  }
}

function parseStart(argv: readonly string[]): Command {
  const given = new Arguments(argv)
  const ports: number[] = []
  let file: string | undefined
  let data: string | undefined
  let tlsKeylog: string | undefined
  let verbose = false
  let quiet = false
  let daemon = false
  let testConfig = false
  for (let option = given.take(); option !== undefined; option = given.take()) {
    switch (option) {
      case '-c':
      case '--config-file':
        if (file !== undefined) throw new CommandLineError('-c argument given more than once.')
        file = given.valueOf('-c', 'config file')
        break
      case '-p':
      case '--port':
        ports.push(portOf(given.valueOf('-p', 'port')))
        if (ports.length > MAX_PORTS) {
          throw new CommandLineError(
            `Only ${MAX_PORTS} ports can be specified on the command line.`,
          )
        }
        break
      case '-v':
      case '--verbose':
        verbose = true
        break
      case '-q':
      case '--quiet':
        quiet = true
        break
      case '-d':
      case '--daemon':
        daemon = true
        break
      case '--data':
        data = given.valueOf('--data', 'directory')
        break
      case '--test-config':
        testConfig = true
        break
      case '--tls-keylog':
        tlsKeylog = given.valueOf('--tls-keylog', 'file')
        break
      case '-h':
      case '--help':
        return { name: 'help' }
      case '--version':
        return { name: 'version' }
      default:
        throw unknownOption(option)
    }
  }
  const as = file === undefined && ports.length === 0 ? 'newcomer' : 'mosquitto'
  const verbosity = quiet ? 'quiet' : verbose ? 'verbose' : 'normal'
  return { name: 'start', as, file, ports, verbosity, daemon, data, testConfig, tlsKeylog }
}

function portOf(text: string): number {
  const port = wholeNumber(text)
  if (port !== undefined && port >= 1 && port <= 65_535) return port
  throw new CommandLineError(`Invalid port specified (${shown(text)}).`)
}

function parseDemo(argv: readonly string[]): Command {
  const given = new Arguments(argv)
  let devices = 20
  let rate = 100
  let data: string | undefined
  for (let option = given.take(); option !== undefined; option = given.take()) {
    if (isHelp(option)) return { name: 'help' }
    if (option === '--devices') devices = given.countOf(option)
    else if (option === '--rate') rate = given.countOf(option)
    else if (option === '--data') data = given.valueOf(option, 'directory')
    else throw unknownOption(option)
  }
  return { name: 'demo', devices, rate, data }
}

function parseRows(argv: readonly string[]): Command {
  const given = new Arguments(argv)
  let limit = 10
  let follow = false
  let data: string | undefined
  for (let option = given.take(); option !== undefined; option = given.take()) {
    if (isHelp(option)) return { name: 'help' }
    if (option === '--limit') limit = given.countOf(option)
    else if (option === '--follow') follow = true
    else if (option === '--data') data = given.valueOf(option, 'directory')
    else throw unknownOption(option)
  }
  return { name: 'rows', limit, follow, data }
}

function parseCheck(argv: readonly string[]): Command {
  const [file, extra] = argv
  if (file === undefined)
    throw new CommandLineError('check given, but no config file specified.', true)
  if (isHelp(file)) return { name: 'help' }
  if (extra !== undefined) throw unknownOption(extra)
  return { name: 'check', file }
}

function parseHealth(argv: readonly string[]): Command {
  const given = new Arguments(argv)
  let url: string | undefined
  for (let option = given.take(); option !== undefined; option = given.take()) {
    if (isHelp(option)) return { name: 'help' }
    if (option !== '--url') throw unknownOption(option)
    url = given.valueOf(option, 'URL')
    if (!/^https?:$/u.test(protocolOf(url))) {
      throw new CommandLineError(`--url is "${shown(url)}", expected an http:// URL.`)
    }
  }
  return { name: 'health', url }
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : ''
}
