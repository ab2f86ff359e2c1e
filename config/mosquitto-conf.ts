/**
 * mosquitto.conf as lines: one directive each, its name, what follows it, and where it stands.
 *
 * The name ends at the first space; a tab does not separate. A comment is a line whose first
 * character is `#`, so there are none behind a value. Spaces before the name are skipped.
 * `include_dir` is followed here: what comes out is the main file with the others in their places.
 */
import { codeOf } from '../core/errors.ts'
import { missingPermission } from '../core/file-access.ts'
import type { ConfigFiles } from './files.ts'
import { shown, trimBlanks } from './lines.ts'
import type { Problems } from './problems.ts'
import type { Place } from './types.ts'
import { empty } from './values.ts'

export interface ConfLine {
  readonly name: string
  /** What follows the name and one space, blanks not cut. */
  readonly rest: string
  /** The bytes of the line were not UTF-8; `rest` holds U+FFFD in their place. */
  readonly malformed: boolean
  readonly place: Place
  /**
   * Counts the files in the order they were opened. A block does not reach beyond its file, and
   * the main file's goes on after an include.
   */
  readonly opened: number
}

export interface ConfText {
  readonly lines: readonly ConfLine[]
  /** Files that came in by include_dir, in the order they were read. */
  readonly included: readonly string[]
}

/** Never throws: what cannot be opened or read becomes a problem at its place. */
export function readConf(path: string, files: ConfigFiles, problems: Problems): ConfText {
  const lines: ConfLine[] = []
  const included: string[] = []
  let opened = 0

  const readFile = (file: string, from: Place, isMain: boolean): void => {
    const bytes = contentOf(file, from, files, problems)
    if (bytes === undefined) return
    const number = opened++
    for (const line of linesIn(bytes, file, number)) {
      if (problems.isFull) return
      if (line.name !== 'include_dir') lines.push(line)
      else if (isMain) include(line)
      else problems.error(line.place, ONLY_IN_MAIN)
    }
  }

  const include = ({ rest, place }: ConfLine): void => {
    const folder = trimBlanks(rest)
    if (folder === '') return problems.error(place, empty('include_dir'))
    for (const name of namesIn(folder, place, files, problems)) {
      const file = folder.endsWith('/') ? `${folder}${name}` : `${folder}/${name}`
      if (included.length === MAX_INCLUDED) return problems.error(place, TOO_MANY)
      included.push(file)
      readFile(file, place, false)
    }
  }

  readFile(path, { file: path, line: undefined }, true)
  return { lines, included }
}

const MAX_INCLUDED = 1000
const TOO_MANY = `More than ${MAX_INCLUDED} files are included.`
const ONLY_IN_MAIN = 'The include_dir option is only valid in the main configuration file.'

function contentOf(
  file: string,
  from: Place,
  files: ConfigFiles,
  problems: Problems,
): Uint8Array | undefined {
  try {
    return files.read(file)
  } catch (err) {
    const folder = codeOf(err) === 'EISDIR'
    problems.error(
      from,
      folder
        ? `Config file '${shown(file)}' is a directory.`
        : `Unable to open config file '${shown(file)}'${missingPermission(file, err)}.`,
    )
    return undefined
  }
}

function namesIn(
  folder: string,
  place: Place,
  files: ConfigFiles,
  problems: Problems,
): readonly string[] {
  try {
    const names = files.list(folder)
    return names.filter((name) => name.length > 5 && name.endsWith('.conf')).sort(byLetter)
  } catch {
    problems.error(place, `Unable to open include_dir '${shown(folder)}'.`)
    return []
  }
}

/** Letters in alphabetical order, the capital before the small one: `00 01 A a B b`. */
function byLetter(a: string, b: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a.charAt(i), b.charAt(i)]
    const difference = upper(x) - upper(y)
    if (difference !== 0) return difference
    if (x !== y) return x < y ? -1 : 1
  }
  return a.length - b.length
}

const upper = (letter: string): number =>
  (letter >= 'a' && letter <= 'z' ? letter.toUpperCase() : letter).charCodeAt(0)

const LF = 10
const CR = 13
const SPACE = 32
const HASH = 35

function* linesIn(bytes: Uint8Array, file: string, opened: number): Generator<ConfLine> {
  // A lone CR ends a line only where no LF does: within a line of a comment it must not begin
  // a directive.
  const end = bytes.includes(LF) ? LF : CR
  let start = hasByteOrderMark(bytes) ? 3 : 0
  for (let number = 1; start < bytes.length; number++) {
    const found = bytes.indexOf(end, start)
    const next = found === -1 ? bytes.length : found
    const line = lineOf(bytes.subarray(start, next), { file, line: number }, opened)
    if (line !== undefined) yield line
    start = next + 1
  }
}

function hasByteOrderMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const LENIENT = new TextDecoder('utf-8', { ignoreBOM: true })

function lineOf(bytes: Uint8Array, place: Place, opened: number): ConfLine | undefined {
  let from = 0
  let to = bytes.length
  while (to > 0 && bytes[to - 1] === CR) to--
  if (to === 0 || bytes[0] === HASH) return undefined
  while (from < to && bytes[from] === SPACE) from++
  if (from === to) return undefined
  const { text, malformed } = decode(bytes.subarray(from, to))
  const space = text.indexOf(' ')
  const name = space === -1 ? text : text.slice(0, space)
  const rest = space === -1 ? '' : text.slice(space + 1)
  return { name, rest, malformed, place, opened }
}

function decode(bytes: Uint8Array): { readonly text: string; readonly malformed: boolean } {
  try {
    return { text: STRICT.decode(bytes), malformed: false }
  } catch {
    return { text: LENIENT.decode(bytes), malformed: true }
  }
}
