/** The device CA's own CRL: what stands on it, and the next one. */
import { X509Certificate } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { type SerialNumber, serialNumber } from '../core/names.ts'
import { PUBLIC, writeFileAtomically } from './atomic-file.ts'
import { readIfThere } from './authority-files.ts'
import {
  type AuthorityState,
  isReason,
  readState,
  type RevokedRecord,
  writeState,
} from './authority-state.ts'
import { readCertificate } from './certificate.ts'
import type { CaIdentity } from './certificate-profile.ts'
import { parseCrl, readCertificateList, verifyCrl } from './crl.ts'
import { REASONS, type RevocationReason, writeCrl } from './crl-generator.ts'
import { splitCrlFile } from './crl-reading.ts'
import { DerReader } from './der.ts'
import { readTime } from './der-values.ts'
import { AuthorityError, CrlRejected } from './errors.ts'

export interface CrlOnDisk {
  readonly crlNumber: bigint
  readonly thisUpdate: number
  readonly nextUpdate: number | undefined
  readonly entries: readonly RevokedRecord[]
}

/**
 * Every entry of the CRL in the directory, whoever wrote it: the next one must not forget any.
 *
 * @throws AuthorityError `authority_state_invalid` when it is not a CRL of this CA
 */
export function readDeviceCrl(pem: string, path: string, ca: X509Certificate): CrlOnDisk {
  try {
    const [der, ...others] = splitCrlFile(Buffer.from(pem, 'latin1'))
    if (der === undefined || others.length > 0) {
      throw new CrlRejected('crl_malformed', `${others.length + 1} CRLs, expected one`)
    }
    const crl = parseCrl(der)
    verifyCrl(crl, ca, readCertificate(ca.raw))
    const entries: RevokedRecord[] = []
    readCertificateList(der, ({ serial, date, reason }) => {
      const octets = der.subarray(serial.content, serial.end)
      entries.push({
        serialNumber: serialNumber(Buffer.from(octets).toString('hex')),
        revokedAt: readTime(new DerReader(der, date.start, date.end)),
        reason: reasonOf(reason),
        notAfter: undefined,
      })
    })
    const { crlNumber = 0n, thisUpdate, nextUpdate } = crl
    return { crlNumber, thisUpdate, nextUpdate, entries }
  } catch (cause) {
    if (!(cause instanceof CrlRejected)) throw cause
    const text = `${path}: expected the CRL of the device CA: ${cause.message}; move it away to start a new one`
    throw new AuthorityError('authority_state_invalid', text, { cause })
  }
}

function reasonOf(code: number | undefined): RevocationReason {
  const found = Object.entries(REASONS).find(([, value]) => value === code)?.[0] ?? 'unspecified'
  return isReason(found) ? found : 'unspecified'
}

/** The union, the state's record first; a serial number counts once. */
export function mergeRevoked(
  known: readonly RevokedRecord[],
  onDisk: readonly RevokedRecord[],
): RevokedRecord[] {
  const bySerial = new Map<SerialNumber, RevokedRecord>()
  for (const record of [...known, ...onDisk]) {
    if (!bySerial.has(record.serialNumber)) bySerial.set(record.serialNumber, record)
  }
  return [...bySerial.values()]
}

/** Days a CRL is current; far more than the time between two. */
export const CRL_DAYS = 30
const DAY_MS = 86_400_000
/** A certificate stays on the list this long after its notAfter (RFC 5280 §3.3: once at least). */
const KEEP_AFTER_EXPIRY_MS = 2 * CRL_DAYS * DAY_MS

export interface CrlFiles {
  readonly files: { readonly deviceCrl: string; readonly state: string }
  readonly clock: Clock
}

/**
 * Signs the next list and puts it in place of the present one. To be called with the directory
 * locked.
 *
 * @param change gives the entries of the next list from those of the present one
 * @returns its crlNumber: above that of any list of ours and of the one in the directory
 */
export async function writeNextCrl(
  { files, clock }: CrlFiles,
  { certificatePem, key }: CaIdentity,
  change: (revoked: readonly RevokedRecord[], state: AuthorityState) => readonly RevokedRecord[],
): Promise<bigint> {
  const ca = new X509Certificate(certificatePem)
  const state = await readState(files.state)
  const pem = await readIfThere(files.deviceCrl)
  const onDisk = pem === undefined ? undefined : readDeviceCrl(pem, files.deviceCrl, ca)
  const now = clock.now()
  const merged = change(mergeRevoked(state.revoked, onDisk?.entries ?? []), state)
  const revoked = merged.filter(({ notAfter }) => (notAfter ?? now) + KEEP_AFTER_EXPIRY_MS >= now)
  const last = onDisk !== undefined && onDisk.crlNumber > state.crlNumber ? onDisk : state
  const crlNumber = last.crlNumber + 1n
  const { subject, subjectKeyIdentifier } = readCertificate(ca.raw)
  const content = await writeCrl({
    issuer: subject,
    key,
    authorityKeyIdentifier: subjectKeyIdentifier,
    crlNumber,
    thisUpdate: now,
    nextUpdate: now + CRL_DAYS * DAY_MS,
    revoked,
  })
  // The list first: what it holds is read back into the state, should the process end here.
  await writeFileAtomically({ path: files.deviceCrl, content, mode: PUBLIC })
  const listed = new Set(revoked.map(({ serialNumber }) => serialNumber))
  const issued = state.issued.filter(
    ({ serialNumber, notAfter }) => notAfter >= now && !listed.has(serialNumber),
  )
  await writeState(files.state, { crlNumber, issued, revoked })
  return crlNumber
}
