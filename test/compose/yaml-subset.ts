/**
 * As much YAML as the files below compose/ use, so that they can be checked without a parser of all of
 * it: block maps and lists indented by two, plain and double-quoted scalars, flow lists and maps in
 * JSON, and Docker Compose's tags, which become `{ '!override': value }`. Anything else is an error.
 */
export type Yaml = string | number | boolean | readonly Yaml[] | { readonly [key: string]: Yaml }

interface Line {
  readonly number: number
  readonly indent: number
  readonly text: string
}

/** @throws Error naming the line of what is not in the subset */
export function parseYamlSubset(source: string): Yaml {
  const lines = source.split('\n').flatMap((raw, i): Line[] => {
    const text = raw.trim()
    if (text === '' || text.startsWith('#')) return []
    const line = { number: i + 1, indent: raw.length - raw.trimStart().length, text }
    if (raw.includes('\t') || line.indent % 2 !== 0) throw refused(line, 'indentation')
    return [line]
  })
  const [value, rest] = block(lines, 0)
  const [left] = rest
  if (left !== undefined) throw refused(left, 'indentation')
  return value
}

type Parsed = readonly [value: Yaml, rest: readonly Line[]]

function block(lines: readonly Line[], indent: number): Parsed {
  const [first] = lines
  if (first === undefined) throw new Error('nothing where a value was expected')
  if (first.indent !== indent) throw refused(first, 'indentation')
  return first.text.startsWith('- ') ? list(lines, indent) : map(lines, indent)
}

function list(lines: readonly Line[], indent: number): Parsed {
  const items: Yaml[] = []
  let rest = lines
  for (let [line] = rest; line?.indent === indent; [line] = rest) {
    if (!line.text.startsWith('- ')) throw refused(line, 'a key among list items')
    const inner = { ...line, indent: indent + 2, text: line.text.slice(2) }
    if (/^[\w.-]+:( |$)/u.test(inner.text)) {
      const [item, after] = map([inner, ...rest.slice(1)], indent + 2)
      items.push(item)
      rest = after
    } else {
      items.push(scalar(inner))
      rest = rest.slice(1)
    }
  }
  return [items, rest]
}

function map(lines: readonly Line[], indent: number): Parsed {
  const entries = new Map<string, Yaml>()
  let rest = lines
  for (let [line] = rest; line?.indent === indent; [line] = rest) {
    const [, key, tag, text = ''] =
      line.text.match(/^([\w.-]+):(?: +(![a-z]+))?(?: +(.*))?$/u) ?? []
    if (key === undefined) throw refused(line, 'no key')
    if (entries.has(key)) throw refused(line, `${key} a second time`)
    const parsed: Parsed =
      text === '' ? block(rest.slice(1), indent + 2) : [scalar({ ...line, text }), rest.slice(1)]
    entries.set(key, tag === undefined ? parsed[0] : { [tag]: parsed[0] })
    rest = parsed[1]
  }
  return [Object.fromEntries(entries), rest]
}

function scalar(line: Line): Yaml {
  const { text } = line
  if (/^["[{]/u.test(text)) {
    try {
      return JSON.parse(text) as Yaml
    } catch {
      throw refused(line, 'flow style that is not JSON')
    }
  }
  // YAML 1.1 and 1.2 disagree on these; Compose reads one way, other tools the other.
  if (/^(yes|no|on|off|null|~)$/iu.test(text)) throw refused(line, 'a word to be quoted')
  if (/^['&*!|>%@`]|: | #|:$/u.test(text)) throw refused(line, 'style')
  if (text === 'true' || text === 'false') return text === 'true'
  return /^\d+$/u.test(text) ? Number(text) : text
}

function refused({ number, text }: Line, what: string): Error {
  return new Error(`line ${number}: not in the subset (${what}): ${text}`)
}
