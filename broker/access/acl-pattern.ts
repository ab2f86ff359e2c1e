/**
 * `pattern` lines: a Topic Filter in which %c, %u, %t and %d stand for the client.
 *
 * Names are compared, never pasted into a filter, and each stays within its level: a name with a
 * wildcard matches itself only, and one with `/` (`acme/pump-7`, or a Client Identifier of the
 * client's own choice) fits no level at all. Mosquitto 2.0 pastes, so `a/b` reaches below `a`;
 * Mosquitto 2.1 stops comparing at the first `/` or at the end of the shorter text, so `pump-70`
 * reaches what belongs to `pump-7`. Neither is copied.
 */
import type { Identity } from '../identity/identity.ts'
import { matches } from './topic-filter.ts'

/** Who asks. */
export interface Subject {
  readonly identity: Identity
  /** The client's own, as it sent it or as it was assigned. */
  readonly clientId: string
}

type Token = '%c' | '%u' | '%t' | '%d'
type Level = '+' | '#' | readonly (Token | { readonly text: string })[]

/** A compiled `pattern`. */
export interface Pattern {
  readonly filter: string
  /** Undefined: no tokens, an ordinary filter. */
  readonly levels: readonly Level[] | undefined
  readonly namesUser: boolean
}

const DOLLAR = 0x24

export function compilePattern(filter: string): Pattern {
  const levels = filter.split('/').map(compileLevel)
  const tokens = levels.flatMap((level) =>
    typeof level === 'string' ? [] : level.filter((part) => typeof part === 'string'),
  )
  return {
    filter,
    levels: tokens.length === 0 ? undefined : levels,
    namesUser: tokens.includes('%u'),
  }
}

function compileLevel(level: string): Level {
  if (level === '+' || level === '#') return level
  return level
    .split(/(?<token>%[cutd])/u)
    .filter((part) => part !== '')
    .map((part) => (isToken(part) ? part : { text: part }))
}

function isToken(part: string): part is Token {
  return part === '%c' || part === '%u' || part === '%t' || part === '%d'
}

/**
 * Does the pattern give this client that topic? A token without a value (`%u` of an anonymous client,
 * `%t` of an account), an empty one, or one with `/` never matches. Allocation-free.
 */
export function patternGrants(pattern: Pattern, topic: string, subject: Subject): boolean {
  const { levels } = pattern
  if (levels === undefined) return matches(pattern.filter, topic)
  // Before substitution: a user called `$SYS` does not turn `%u/#` into a filter of `$` topics.
  if (topic.charCodeAt(0) === DOLLAR && pattern.filter.charCodeAt(0) !== DOLLAR) return false
  let at = 0
  for (const level of levels) {
    // Before the next check: `a/#` matches `a`.
    if (level === '#') return true
    if (at > topic.length) return false
    const slash = topic.indexOf('/', at)
    const end = slash === -1 ? topic.length : slash
    if (level !== '+' && !levelMatches(level, topic, at, end, subject)) return false
    at = end + 1
  }
  return at > topic.length
}

function levelMatches(
  parts: Exclude<Level, '+' | '#'>,
  topic: string,
  start: number,
  end: number,
  subject: Subject,
): boolean {
  let at = start
  for (const part of parts) {
    const text = typeof part === 'string' ? valueOf(part, subject) : part.text
    if (text === undefined || text === '' || !topic.startsWith(text, at)) return false
    at += text.length
  }
  // A text with `/` has gone beyond the end of the level.
  return at === end
}

/**
 * Does the pattern deny this client that topic? Wider than granting, because here that is the safe
 * side: names are pasted in as Mosquitto 2.0 does, `/` included. The caller has made sure that they
 * hold no wildcard. A token without a value matches nothing, as in Mosquitto.
 */
export function patternDenies(pattern: Pattern, topic: string, subject: Subject): boolean {
  const { levels } = pattern
  if (levels === undefined) return matches(pattern.filter, topic)
  if (patternGrants(pattern, topic, subject)) return true
  const written: string[] = []
  for (const level of levels) {
    if (typeof level === 'string') {
      written.push(level)
      continue
    }
    let text = ''
    for (const part of level) {
      const value = typeof part === 'string' ? valueOf(part, subject) : part.text
      if (value === undefined) return false
      text += value
    }
    written.push(text)
  }
  return matches(written.join('/'), topic)
}

function valueOf(token: Token, { identity, clientId }: Subject): string | undefined {
  if (token === '%c') return clientId
  if (token === '%u') return identity.userName
  if (identity.kind !== 'device') return undefined
  return token === '%t' ? identity.tenantId : identity.deviceId
}
