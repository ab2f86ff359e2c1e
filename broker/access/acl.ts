import type { AclFile, AclRule } from '../../config/types.ts'
import {
  compilePattern,
  type Pattern,
  patternDenies,
  patternGrants,
  type Subject,
} from './acl-pattern.ts'
import { DENIED, type Decision } from './decision.ts'
import { matches } from './topic-filter.ts'

/** An acl_file ready to be asked. */
export interface Acl {
  readonly file: string
  /**
   * What the file says, and nothing else: prefixes and `$SYS` are the authoriser's. First the client's
   * own section, then the patterns; in each the deny lines, then the others in file order; the first
   * line that matches and is about this access decides. Nothing matched: refused. A device that came
   * in by an account has that account's section as well.
   *
   * With `tenancy`, clients that are no device get nothing below `tenant/` from a pattern without
   * `%u`: such lines (`pattern write tenant/+/device/+/telemetry`) are written for devices, which
   * their prefix binds, and would open every tenant to any other client. Deny lines always count.
   *
   * Memory only, allocation-free, linear in the lines that apply to the client; nothing is cached, so
   * a replaced Acl is in force with the next question.
   */
  grants(subject: Subject, topic: string, access: 'read' | 'write', tenancy: boolean): Decision
}

export function compileAcl(file: AclFile): Acl {
  return new CompiledAcl(file)
}

interface Verdict {
  readonly decision: Decision
  readonly read: boolean
  readonly write: boolean
}

interface TopicLine extends Verdict {
  readonly filter: string
}

interface PatternLine extends Verdict {
  readonly pattern: Pattern
}

/** Deny lines apart from the others: they are looked at first. */
interface Lines<Line> {
  readonly deny: Line[]
  readonly allow: Line[]
}

class CompiledAcl implements Acl {
  readonly file: string
  readonly #anonymous: Lines<TopicLine> = { deny: [], allow: [] }
  readonly #byUser = new Map<string, Lines<TopicLine>>()
  readonly #patterns: Lines<PatternLine> = { deny: [], allow: [] }
  readonly #hasPatterns: boolean

  constructor({ file, rules }: AclFile) {
    this.file = file
    for (const rule of rules) {
      const verdict = verdictOf(rule)
      const list = rule.access === 'deny' ? 'deny' : 'allow'
      if (rule.kind === 'pattern') {
        this.#patterns[list].push({ ...verdict, pattern: compilePattern(rule.filter) })
      } else {
        this.#section(rule.user)[list].push({ ...verdict, filter: rule.filter })
      }
    }
    this.#hasPatterns = this.#patterns.deny.length + this.#patterns.allow.length > 0
  }

  #section(user: string | undefined): Lines<TopicLine> {
    if (user === undefined) return this.#anonymous
    let section = this.#byUser.get(user)
    if (section === undefined) {
      section = { deny: [], allow: [] }
      this.#byUser.set(user, section)
    }
    return section
  }

  grants(subject: Subject, topic: string, access: 'read' | 'write', tenancy: boolean): Decision {
    const { identity } = subject
    const { kind, userName } = identity
    const own = userName === undefined ? this.#anonymous : this.#byUser.get(userName)
    const account = identity.kind === 'device' ? identity.accountName : undefined
    const ofAccount = account === undefined ? undefined : this.#byUser.get(account)
    const decision =
      denial(own, topic) ??
      denial(ofAccount, topic) ??
      grant(own, topic, access) ??
      grant(ofAccount, topic, access)
    if (decision !== undefined) return decision
    if (!this.#hasPatterns) return DENIED.acl_no_match
    // As Mosquitto: with patterns in the file such a name has nothing but its own section.
    if (hasWildcard(userName) || hasWildcard(subject.clientId)) return DENIED.unsafe_name
    for (const line of this.#patterns.deny) {
      if (patternDenies(line.pattern, topic, subject)) return line.decision
    }
    const onlyNamed = tenancy && kind !== 'device' && topic.startsWith('tenant/')
    for (const line of this.#patterns.allow) {
      if (onlyNamed && !line.pattern.namesUser) continue
      if (line[access] && patternGrants(line.pattern, topic, subject)) return line.decision
    }
    return DENIED.acl_no_match
  }
}

type Section = Lines<TopicLine> | undefined

function denial(section: Section, topic: string): Decision | undefined {
  if (section === undefined) return undefined
  for (const line of section.deny) if (matches(line.filter, topic)) return line.decision
  return undefined
}

function grant(section: Section, topic: string, access: 'read' | 'write'): Decision | undefined {
  if (section === undefined) return undefined
  for (const line of section.allow) {
    if (line[access] && matches(line.filter, topic)) return line.decision
  }
  return undefined
}

function verdictOf({ access, file, line }: AclRule): Verdict {
  const rule = Object.freeze({ file, line })
  if (access === 'deny') {
    return { decision: Object.freeze({ ...DENIED.acl_deny, rule }), read: true, write: true }
  }
  return {
    decision: Object.freeze({ allowed: true, rule }),
    read: access !== 'write',
    write: access !== 'read',
  }
}

function hasWildcard(name: string | undefined): boolean {
  return name !== undefined && (name.includes('+') || name.includes('#'))
}
