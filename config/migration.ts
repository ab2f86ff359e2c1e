/** A mosquitto.conf line by line: what becomes of each directive here. */
import type { Environment } from './environment.ts'
import { ConfigErrors, placeText } from './errors.ts'
import { directiveNamed } from './directives.ts'
import { spelled } from './directives/directive.ts'
import type { ConfigFiles } from './files.ts'
import { shown, trimBlanks } from './lines.ts'
import { loadConfig, type LoadedConfig } from './load.ts'
import { readConf, type ConfLine } from './mosquitto-conf.ts'
import { Problems } from './problems.ts'
import { GENERAL } from './settings/general.ts'
import type { Place } from './types.ts'

export interface Migration {
  /** `file:line: directive: honoured | ignored because … | refused because …`, in the order read. */
  readonly lines: readonly string[]
  /** What is wrong or odd with no line in particular. */
  readonly otherwise: readonly string[]
  /** Undefined: the file is refused, for the reasons in `errors`. */
  readonly loaded: LoadedConfig | undefined
  readonly errors: ConfigErrors | undefined
  /** Whether MIDGE_TENANCY, here or as a directive, decides about tenants itself. */
  readonly tenancyGiven: boolean
}

export interface MigrationOptions {
  readonly file: string
  readonly environment: Environment
  readonly files: ConfigFiles
}

/** Reads what a start would read; no value of a line is repeated but ports and names of blocks. */
export function migrationOf(options: MigrationOptions): Migration {
  const { file, files, environment } = options
  const text = readConf(file, files, new Problems())
  let loaded: LoadedConfig | undefined
  let errors: ConfigErrors | undefined
  try {
    loaded = loadConfig({ ...options, ports: [] })
  } catch (err) {
    if (!(err instanceof ConfigErrors)) throw err
    errors = err
  }
  const refusals = new Map<string, string[]>()
  for (const { place, message } of errors?.errors ?? []) {
    append(refusals, place, message.slice(placeText(place).length + 2))
  }
  const notes = new Map<string, string[]>()
  for (const { place, problem } of loaded?.warnings ?? []) append(notes, place, problem)
  const lines = text.lines.map((line) => {
    const place = placeText(line.place)
    const refused = refusals.get(place)
    const noted = notes.get(place) ?? []
    refusals.delete(place)
    notes.delete(place)
    return `${place}: ${titleOf(line)}: ${verdictOf(line, refused, noted)}`
  })
  const tenancy = GENERAL.tenancy.variable
  const given =
    environment[tenancy] ??
    text.lines.findLast(({ name }) => name === tenancy.toLowerCase())?.rest ??
    'auto'
  return {
    lines,
    otherwise: [...told('refused because', refusals), ...told('note:', notes)],
    loaded,
    errors,
    tenancyGiven: given !== '' && trimBlanks(given) !== 'auto',
  }
}

function append(to: Map<string, string[]>, place: Place, problem: string): void {
  const key = placeText(place)
  const earlier = to.get(key)
  if (earlier === undefined) to.set(key, [problem])
  else earlier.push(problem)
}

const told = (verdict: string, rest: ReadonlyMap<string, readonly string[]>): string[] =>
  [...rest].flatMap(([place, problems]) => problems.map((one) => `${place}: ${verdict} ${one}`))

function titleOf({ name, rest }: ConfLine): string {
  const opens = name === 'listener' || name === 'connection' || name === 'port'
  return shown(opens ? `${name} ${trimBlanks(rest)}` : name)
}

function verdictOf(
  line: ConfLine,
  refused: readonly string[] | undefined,
  notes: readonly string[],
): string {
  if (refused !== undefined) return `refused because ${refused.join(' ')}`
  const directive = directiveNamed(line.name)
  if (directive?.status.is === 'ignored') {
    const parsed = directive.value.parse(directive.label, line)
    const isNeutral = 'value' in parsed && directive.neutral.includes(spelled(parsed.value))
    if (!isNeutral) return `ignored because ${directive.status.because}`
  }
  if (directive?.status.is === 'with its block') return 'judged with the line that opens its block'
  return notes.length === 0 ? 'honoured' : `honoured; note: ${notes.join(' ')}`
}
