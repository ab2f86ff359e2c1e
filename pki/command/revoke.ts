/** `midge pki revoke`: the CRL first, since that is what brokers ask; then the database's rows. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { messageOf } from '../../core/errors.ts'
import { type SerialNumber, serialNumber } from '../../core/names.ts'
import type { Authority } from '../authority.ts'
import { isReason } from '../authority-state.ts'
import { readCertificate } from '../certificate.ts'
import { REASONS, type RevocationReason } from '../crl-generator.ts'
import { AuthorityError } from '../errors.ts'
import { isIssuedBy } from '../fleet.ts'
import { commonNameOf, displayName } from '../name.ts'
import type { IssueCommand } from './issue.ts'
import { UsageError } from './usage.ts'

/** @param what a serial number, a file, or TENANT/DEVICE @returns the exit code */
export async function revoke(command: IssueCommand, what: string): Promise<number> {
  const reason = command.values.reason ?? 'unspecified'
  if (!isReason(reason)) {
    throw new UsageError(
      `--reason: expected one of ${Object.keys(REASONS).join(', ')}, found ${reason}`,
    )
  }
  const found = await certificatesFor(command.authority, what)
  return await revokeSerials(command, found.serials, reason, found.tenant)
}

/** @param tenant of certificates that were not issued here, as far as it is known */
export async function revokeSerials(
  { authority, enrolment, context: { stdout, stderr, clock } }: IssueCommand,
  serials: readonly SerialNumber[],
  reason: RevocationReason,
  tenant?: string,
): Promise<number> {
  const { issued, revoked } = await authority.state()
  const names = new Map(issued.map((each) => [each.serialNumber, each.commonName]))
  const listed = new Set(revoked.map((each) => each.serialNumber))
  const crlNumber = await authority.revoke(serials, reason)
  for (const serial of serials) {
    const before = listed.has(serial) ? ', was on the list before' : ''
    const stranger =
      before === '' && !names.has(serial) && tenant === undefined
        ? ', not known as issued here'
        : ''
    stdout.write(`revoked ${serial} (${reason}${before}${stranger})\n`)
  }
  stdout.write(`${authority.files.deviceCrl}: crlNumber ${crlNumber}\n`)
  const ca = new X509Certificate(await readFile(authority.files.deviceCa))
  const written = await enrolment?.revokeRows({
    certificates: serials.map((serial) => ({
      serialNumber: serial,
      tenant: names.get(serial)?.split('/')[0] ?? tenant,
    })),
    issuer: displayName(readCertificate(ca.raw).subject),
    // What the platform writes for a revocation by hand.
    reason: reason === 'unspecified' ? 'manual_revocation' : reason,
    revokedAt: clock.now(),
  })
  if (written === undefined) return 0
  if (written.kind === 'none') {
    stdout.write(`no row of device_certificates was changed, since ${written.text}\n`)
    return 0
  }
  if (written.kind === 'failed') {
    stderr.write(
      `midge pki: the CRL is written, the rows of device_certificates are not: ${written.text}\n`,
    )
    const again = reason === 'unspecified' ? '' : ` --reason ${reason}`
    for (const serial of serials) stderr.write(`later: midge pki revoke ${serial}${again}\n`)
    return 1
  }
  for (const { name, serialNumber: serial, status, isNew } of written.rows) {
    const what = isNew ? `is ${status}` : `was ${status} before`
    stdout.write(`device_certificates: ${serial} of ${name} ${what}\n`)
  }
  const rows = new Set(written.rows.map((row) => row.serialNumber))
  for (const serial of serials) {
    if (!rows.has(serial)) stdout.write(`device_certificates: no row has ${serial}\n`)
  }
  return 0
}

interface Certificates {
  readonly serials: readonly SerialNumber[]
  readonly tenant?: string
}

/** RFC 5280 §4.1.2.2: 20 octets at most. */
const MAX_SERIAL = 40

async function certificatesFor(authority: Authority, what: string): Promise<Certificates> {
  const named = await authority.serialsOf(what)
  if (named.length > 0) return { serials: named }
  if (/^[0-9a-f]+(?::[0-9a-f]+)*$/iu.test(what)) {
    const serial = serialNumber(what.replaceAll(':', ''))
    if (serial.length <= MAX_SERIAL) return { serials: [serial] }
  }
  const bytes = await readFile(what).catch(() => undefined)
  if (bytes === undefined) {
    const text = `expected a serial number, a certificate file or the TENANT/DEVICE of a certificate issued here that is neither revoked nor expired, found ${JSON.stringify(what)}`
    throw new AuthorityError('authority_certificate_unknown', text)
  }
  return await certificateInFile(authority, what, bytes)
}

async function certificateInFile(
  authority: Authority,
  file: string,
  bytes: Buffer,
): Promise<Certificates> {
  try {
    const certificate = new X509Certificate(bytes)
    const ca = new X509Certificate(await readFile(authority.files.deviceCa))
    if (!isIssuedBy(certificate, ca)) throw new Error('a certificate of another CA')
    const { serialNumber: serial, subject } = readCertificate(certificate.raw)
    const commonName = commonNameOf(subject)
    const tenant = commonName.found ? commonName.text.split('/')[0] : undefined
    return { serials: [serial], ...(tenant === undefined ? {} : { tenant }) }
  } catch (cause) {
    const text = `${file}: expected a certificate issued by ${authority.files.deviceCa}, found ${messageOf(cause)}`
    throw new AuthorityError('authority_certificate_unknown', text, { cause })
  }
}
