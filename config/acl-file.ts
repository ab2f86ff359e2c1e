/**
 * Mosquitto's acl_file: `user <name>`, `topic [access] <filter>`, `pattern [access] <filter>`. Words
 * are separated by spaces; the filter and the name are the rest of the line, so they may hold some.
 */
import { isTopicFilter } from '../core/names.ts'
import { hasControl, isDamaged, linesOf, shown, trimBlanks } from './lines.ts'
import { Problems } from './problems.ts'
import type { AclFile, AclRule, Place } from './types.ts'

/** In a `pattern`: Client Identifier, user name, and of a device its tenant and device id. */
export const PATTERN_TOKENS = ['%c', '%u', '%t', '%d'] as const

/**
 * Reads a whole acl_file. `file` is only for messages.
 *
 * @throws ConfigErrors with every bad line (at most MAX_ERRORS)
 */
export function parseAclFile(text: string, file: string): AclFile {
  const rules: AclRule[] = []
  const problems = new Problems()
  let user: string | undefined

  for (const line of linesOf(text)) {
    if (problems.isFull) break
    if (line.text === '' || line.text.startsWith('#')) continue
    const place: Place = { file, line: line.number }
    const statement = parseStatement(line.text)
    if ('expected' in statement) {
      problems.error(
        place,
        `Invalid line in acl_file "${file}": ${shown(line.text)}. ${statement.expected}`,
      )
    } else if (statement.kind === 'user') {
      user = statement.name
    } else {
      const { kind, access, filter } = statement
      const owner = kind === 'topic' ? user : undefined
      rules.push(Object.freeze({ kind, user: owner, access, filter, file, line: line.number }))
      for (const problem of oddities(statement)) problems.warn(place, problem)
    }
  }
  problems.throwIfAny()
  return Object.freeze({ file, rules: Object.freeze(rules), warnings: problems.warnings })
}

interface UserStatement {
  readonly kind: 'user'
  readonly name: string
}

interface RuleStatement extends Pick<AclRule, 'kind' | 'access' | 'filter'> {
  /** No access word: the filter is the only word. */
  readonly bare: boolean
}

interface BadStatement {
  readonly expected: string
}

function parseStatement(line: string): UserStatement | RuleStatement | BadStatement {
  if (isDamaged(line)) return { expected: 'The line is not valid UTF-8' }
  if (hasControl(line)) return { expected: 'Words are separated by spaces; no control characters' }
  const { word, rest } = firstWord(line)
  if (word === 'user') {
    return rest === '' ? { expected: 'A user name must follow' } : { kind: 'user', name: rest }
  }
  if (word === 'topic' || word === 'pattern') return parseRule(word, rest)
  return { expected: 'A line begins with user, topic or pattern, or with # in its first column' }
}

function parseRule(kind: AclRule['kind'], text: string): RuleStatement | BadStatement {
  const { word, rest } = firstWord(text)
  if (word === '') return { expected: 'A Topic Filter must follow' }
  // With one word only it is the filter, even if it reads like an access word: as Mosquitto does.
  const bare = rest === ''
  const access = bare ? 'readwrite' : word
  const filter = bare ? word : rest
  if (!isAccess(access)) {
    return { expected: `Access is read, write, readwrite or deny, not "${shown(access)}"` }
  }
  if (!isTopicFilter(filter)) return { expected: `"${shown(filter)}" is not a Topic Filter` }
  return { kind, access, filter, bare }
}

function isAccess(word: string): word is AclRule['access'] {
  return word === 'read' || word === 'write' || word === 'readwrite' || word === 'deny'
}

function firstWord(text: string): { readonly word: string; readonly rest: string } {
  const body = trimBlanks(text)
  const space = body.indexOf(' ')
  if (space === -1) return { word: body, rest: '' }
  return { word: body.slice(0, space), rest: trimBlanks(body.slice(space)) }
}

/** Legal lines that hardly mean what they say. */
function oddities({ kind, filter, bare }: RuleStatement): readonly string[] {
  const odd: string[] = []
  if (bare && isAccess(filter)) {
    odd.push(`"${kind} ${filter}" gives readwrite on a topic named ${filter}: no filter follows`)
  }
  if (kind === 'topic') return odd
  const levels = filter.split('/')
  const holding = levels.filter((level) => PATTERN_TOKENS.some((token) => level.includes(token)))
  if (holding.length === 0) {
    odd.push(`ACL pattern '${shown(filter)}' does not contain '%c' or '%u': it is for every client`)
  }
  if (holding.some((level) => !PATTERN_TOKENS.some((token) => level === token))) {
    odd.push(
      `ACL pattern '${shown(filter)}' has a % inside a level: replaced there as Mosquitto 2.0 does, ` +
        'while Mosquitto 2.1 takes it literally',
    )
  }
  return odd
}
