/** The list of a fleet: CSV (RFC 4180), `tenant,device[,site]` on each line. */
import { messageOf } from '../core/errors.ts'
import { deviceName } from './authority.ts'
import { AuthorityError } from './errors.ts'
import type { FleetMember } from './fleet.ts'

/** Lines of a list; far more than one authority's state should hold. */
export const MAX_FLEET = 1_000_000
/** Problems named before the rest is counted. */
const MAX_NAMED = 20

/**
 * Every device of a list. A first line `tenant,device[,site]`, empty lines and lines that begin with
 * `#` are skipped; a field may stand in double quotes.
 *
 * @param file for messages
 * @throws AuthorityError `authority_request_invalid` with each line that is wrong: nothing is issued
 *   from a list that is not understood as a whole
 */
export function readFleetList(text: string, file: string): readonly FleetMember[] {
  const members: FleetMember[] = []
  const lines = new Map<string, number>()
  const problems: string[] = []
  for (const [n, line] of text
    .replace(/^\uFEFF/u, '')
    .split(/\r?\n/u)
    .entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    try {
      const fields = fieldsOf(line)
      if (members.length === 0 && problems.length === 0 && isHeader(fields)) continue
      const member = memberOf(fields)
      const name = deviceName(member.tenant, member.device)
      const before = lines.get(name)
      if (before !== undefined) throw new Error(`${name} stands on line ${before} already`)
      lines.set(name, n + 1)
      members.push(member)
    } catch (err) {
      problems.push(`${file}:${n + 1}: ${messageOf(err)}`)
    }
  }
  if (problems.length === 0 && members.length === 0) problems.push(`${file}: no device in it`)
  if (members.length > MAX_FLEET) {
    problems.push(`${file}: expected at most ${MAX_FLEET} devices, found ${members.length}`)
  }
  if (problems.length === 0) return members
  const more = problems.length - MAX_NAMED
  const rest = more > 0 ? [`and ${more} more`] : []
  const named = [...problems.slice(0, MAX_NAMED), ...rest].join('\n  ')
  throw new AuthorityError('authority_request_invalid', `nothing was issued:\n  ${named}`)
}

/** `tenant`, `prefix-0001` to the count, as many digits as the last has. */
export function numberedFleet(
  tenant: string,
  prefix: string,
  count: number,
  site: string | undefined,
): readonly FleetMember[] {
  const width = String(count).length
  return Array.from({ length: count }, (_, n) => ({
    tenant,
    device: `${prefix}-${String(n + 1).padStart(width, '0')}`,
    site,
  }))
}

function isHeader(fields: readonly string[]): boolean {
  return fields[0]?.toLowerCase() === 'tenant' && fields[1]?.toLowerCase() === 'device'
}

function memberOf(fields: readonly string[]): FleetMember {
  const [tenant, device, site, ...others] = fields
  if (tenant === undefined || device === undefined || others.length > 0) {
    throw new Error(`expected tenant,device[,site], found ${fields.length} fields`)
  }
  return { tenant, device, site: site === '' ? undefined : site }
}

/** Blanks around a field do not belong to it, unless it is quoted. */
function fieldsOf(line: string): string[] {
  const fields: string[] = []
  let at = 0
  for (;;) {
    const field = /^\s*(?:"((?:[^"]|"")*)"\s*|([^",]*))(?=,|$)/u.exec(line.slice(at))
    if (field === null) throw new Error(`a quote that does not fit, in ${JSON.stringify(line)}`)
    const [whole, quoted, plain = ''] = field
    fields.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'))
    at += whole.length + 1
    if (at > line.length) return fields
  }
}
