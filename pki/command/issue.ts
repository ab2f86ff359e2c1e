/** `midge pki issue`: one device, one device's request, or a fleet. */
import { join } from 'node:path'
import { type Authority, deviceName } from '../authority.ts'
import { quoted } from '../bundle.ts'
import { createPair, devicePaths, keptFile } from '../device-files.ts'
import { exists } from '../atomic-file.ts'
import type { EnrolledCertificate, Enrolment } from '../enrolment.ts'
import { AuthorityError } from '../errors.ts'
import { type FleetMember, type Issued, issueFleet } from '../fleet.ts'
import { MAX_FLEET, numberedFleet, readFleetList } from '../fleet-list.ts'
import { numberOf, type PkiCommandContext, readInput, type Values } from './context.ts'
import { Progress } from './progress.ts'
import { UsageError } from './usage.ts'

export interface IssueCommand {
  readonly authority: Authority
  readonly directory: string
  readonly values: Values
  readonly enrolment: Enrolment | undefined
  readonly context: PkiCommandContext
}

/** @returns the exit code */
export async function issue(
  command: IssueCommand,
  tenant: string,
  device: string,
): Promise<number> {
  const { values } = command
  if (values.list !== undefined || values.count !== undefined) {
    return await issueMany(command, await membersOf(values, tenant, device))
  }
  const name = deviceName(tenant, device)
  const { out, days, keyType } = optionsOf(command)
  const paths = devicePaths(out, tenant, device)
  if (await exists(paths.certificate)) throw keptFile(paths.certificate)
  const { stdout } = command.context
  let certificatePem: string
  if (values.csr === undefined) {
    const now = command.context.clock.now()
    const member = { tenant, device, site: values.site }
    let done: Issued | undefined
    for await (const [each] of issueFleet(command.authority, [member], {
      out,
      days,
      keyType,
      now,
    })) {
      done = each
    }
    if (done === undefined) throw new Error('a fleet of one without a result')
    if (done.outcome === 'failed') {
      throw new AuthorityError('authority_request_invalid', done.problem)
    }
    // Somebody else was faster by an instant.
    if (done.outcome === 'kept') throw keptFile(paths.certificate)
    certificatePem = done.certificatePem
    stdout.write(`${paths.key}${done.usedKey ? ' (was there, and is used)' : ''}\n`)
    sayIssued(command, paths.certificate, done.issued)
  } else {
    if (await exists(paths.key)) throw keptFile(paths.key)
    const csr = (await readInput(values.csr)).toString('latin1')
    const issued = await command.authority.issueDevice(tenant, device, { days, csr })
    certificatePem = issued.certificatePem
    await createPair(paths, { certificatePem, keyPem: undefined })
    sayIssued(command, paths.certificate, issued)
  }
  const certificate = { tenant, device, site: values.site, certificatePem }
  return await register(command, name, certificate)
}

/** Tells the database of one certificate, and says so. @returns the exit code */
export async function register(
  { enrolment, context: { stdout, stderr } }: Pick<IssueCommand, 'enrolment' | 'context'>,
  name: string,
  certificate: EnrolledCertificate,
): Promise<number> {
  const enrolled = await enrolment?.registerIssued([certificate])
  if (enrolled === undefined) return 0
  if (enrolled.kind === 'none') {
    stdout.write(`not registered, since ${enrolled.text}\n${later(certificate)}`)
    return 0
  }
  if (enrolled.kind === 'failed') {
    stderr.write(
      `midge pki: ${name} has its certificate and is not registered: ${enrolled.text}\n${later(certificate)}`,
    )
    return 1
  }
  for (const { site, status, wasKnown } of enrolled.rows) {
    const what = wasKnown ? 'was registered before' : 'is registered'
    const state = status === 'ACTIVE' ? '' : ` (${status})`
    stdout.write(
      `${name} ${what}${state}; its messages name site_id ${JSON.stringify(site)}; its certificate is in device_certificates\n`,
    )
  }
  return 0
}

function later({ tenant, device, site }: EnrolledCertificate): string {
  const more = site === undefined ? '' : ` --site ${quoted(site)}`
  return `later: midge pki register ${quoted(tenant)} ${quoted(device)}${more}\n`
}

export function sayIssued(
  { context: { stdout } }: Pick<IssueCommand, 'context'>,
  file: string,
  issued: { readonly commonName: string; readonly serialNumber: string; readonly notAfter: number },
): void {
  const until = new Date(issued.notAfter).toISOString()
  stdout.write(
    `${file}\nCN ${issued.commonName}, serial ${issued.serialNumber}, valid until ${until}\n`,
  )
}

function optionsOf({ values, directory }: IssueCommand) {
  return {
    out: values.out ?? join(directory, 'devices'),
    days: numberOf(values.days) ?? 365,
    keyType: values.rsa === true ? ('rsa' as const) : ('p256' as const),
  }
}

async function membersOf(
  values: Values,
  tenant: string,
  prefix: string,
): Promise<readonly FleetMember[]> {
  if (values.csr !== undefined) throw new UsageError('issue: a --csr is of one device')
  if (values.list !== undefined) {
    const text = (await readInput(values.list)).toString('utf8')
    const members = readFleetList(text, values.list)
    return members.map((member) => ({ ...member, site: member.site ?? values.site }))
  }
  const count = numberOf(values.count) ?? 0
  if (!(count >= 1 && count <= MAX_FLEET)) {
    throw new UsageError(
      `--count: expected a whole number from 1 to ${MAX_FLEET}, found ${values.count}`,
    )
  }
  deviceName(tenant, `${prefix}-${count}`)
  return numberedFleet(tenant, prefix, count, values.site)
}

/** Failures named before the rest is counted. */
const MAX_NAMED = 20

async function issueMany(command: IssueCommand, members: readonly FleetMember[]): Promise<number> {
  const { authority, enrolment, context } = command
  const options = optionsOf(command)
  const now = context.clock.now()
  const progress = new Progress(context.stderr, members.length)
  const counts = { issued: 0, kept: 0, registered: 0, known: 0 }
  const problems: string[] = []
  let unregistered: string | undefined
  let done = 0
  for await (const part of issueFleet(authority, members, { ...options, now })) {
    const good: EnrolledCertificate[] = []
    for (const result of part) {
      const { tenant, device, site } = result.member
      if (result.outcome === 'failed') problems.push(`${tenant}/${device}: ${result.problem}`)
      else {
        counts[result.outcome]++
        good.push({ tenant, device, site, certificatePem: result.certificatePem })
      }
    }
    const enrolled = await enrolment?.registerIssued(good)
    if (enrolled?.kind === 'written') {
      for (const { wasKnown } of enrolled.rows) counts[wasKnown ? 'known' : 'registered']++
    } else if (enrolled?.kind === 'failed') {
      const [first] = good
      problems.push(
        `${good.length} devices from ${first?.tenant}/${first?.device} on are not registered: ${enrolled.text}`,
      )
    } else unregistered ??= enrolled?.text
    progress.at((done += part.length))
  }
  const { issued, kept, registered, known } = counts
  context.stdout.write(`${options.out}: ${issued} issued, ${kept} were there already\n`)
  if (unregistered !== undefined)
    context.stdout.write(`not registered, since ${unregistered}; later: the same command again\n`)
  else if (enrolment !== undefined) {
    context.stdout.write(`${registered} registered, ${known} were registered before\n`)
  }
  if (problems.length === 0) return 0
  for (const problem of problems.slice(0, MAX_NAMED)) context.stderr.write(`${problem}\n`)
  const more = problems.length - MAX_NAMED
  if (more > 0) context.stderr.write(`and ${more} more\n`)
  context.stderr.write(
    `midge pki: not all is done (${problems.length} problems); the same command goes on from here\n`,
  )
  return 1
}
