/**
 * The device CA's CRL out of somebody else's record of revocations: a table, in the platform around
 * the broker. Whatever stands on the present list stays on the next one, wherever it came from.
 */
import { X509Certificate } from 'node:crypto'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { serialNumber } from '../core/names.ts'
import { PUBLIC, writeFileAtomically } from './atomic-file.ts'
import { readIfThere, readPair } from './authority-files.ts'
import { isReason, type RevokedRecord } from './authority-state.ts'
import { readCertificate } from './certificate.ts'
import { writeCrl } from './crl-generator.ts'
import { mergeRevoked, readDeviceCrl } from './device-crl.ts'
import { withDirectoryLock } from './directory-lock.ts'
import { AuthorityError } from './errors.ts'
import type { PassphraseSource } from './private-key.ts'

export interface CrlOutputFiles {
  readonly caCertificate: string
  readonly caKey: string
  readonly output: string
}

/** A revocation as it was written down. */
export interface RecordedRevocation {
  /** Hex; anything else is left out and named in the answer. */
  readonly serialNumber: string
  /** Milliseconds since 1970. */
  readonly revokedAt: number
  /** A CRLReason by its name in RFC 5280 §5.3.1; any other text stands for none. */
  readonly reason: string | undefined
  /** Of the certificate, milliseconds since 1970. */
  readonly notAfter: number
}

export interface WrittenCrl {
  readonly crlNumber: bigint
  readonly entries: number
  /** Milliseconds since 1970. */
  readonly nextUpdate: number
  /** Serial numbers that are none. */
  readonly skipped: readonly string[]
}

/** No CRL reader takes a longer one. */
const MAX_SERIAL_DIGITS = 128
const DAY_MS = 86_400_000
/** A writer that is down this long is noticed before anybody is locked out by a stale list. */
const VALID_MS = 7 * DAY_MS
/** RFC 5280 §3.3: on one list at least that is issued after the certificate's notAfter. */
const KEEP_AFTER_EXPIRY_MS = 60 * DAY_MS

/**
 * Signs the next list and puts it in the place of the present one, by rename. Entries of the present
 * list that the record does not know stay for good: nobody can say when their certificates expire.
 * The crlNumber is above that of the present list, and never below the time in seconds, so that it
 * grows even when the file got lost. The key is read for this call and not kept.
 *
 * @throws AuthorityError `authority_incomplete` without CA or key; `authority_state_invalid` when key
 *   and certificate do not belong together, or the present file is no CRL of this CA: what it holds
 *   could not be kept, so it is left alone; `authority_passphrase_refused` for an encrypted key
 */
export async function writeCrlOutput(
  files: CrlOutputFiles,
  recorded: readonly RecordedRevocation[],
  clock: Clock,
  passphrase?: PassphraseSource,
): Promise<WrittenCrl> {
  const { certificatePem, key } = await readPair(files.caCertificate, files.caKey, {
    source: passphrase,
  })
  if (certificatePem === undefined || key === undefined) {
    const missing = certificatePem === undefined ? files.caCertificate : files.caKey
    const text = `${missing} does not exist; expected the device CA with its key`
    throw new AuthorityError('authority_incomplete', text)
  }
  const ca = new X509Certificate(certificatePem)
  const skipped: string[] = []
  const known: RevokedRecord[] = []
  const readAt = clock.now()
  for (const revocation of recorded) {
    const record = recordOf(revocation, readAt)
    if (record === undefined) skipped.push(revocation.serialNumber)
    else known.push(record)
  }
  return await withDirectoryLock(dirname(files.output), clock, async () => {
    const pem = await readIfThere(files.output)
    const present = pem === undefined ? undefined : readDeviceCrl(pem, files.output, ca)
    const now = clock.now()
    const revoked = mergeRevoked(known, present?.entries ?? []).filter(
      ({ notAfter }) => (notAfter ?? now) + KEEP_AFTER_EXPIRY_MS >= now,
    )
    const next = (present?.crlNumber ?? 0n) + 1n
    const seconds = BigInt(Math.trunc(now / 1000))
    const crlNumber = next > seconds ? next : seconds
    const nextUpdate = now + VALID_MS
    const { subject, subjectKeyIdentifier } = readCertificate(ca.raw)
    const content = await writeCrl({
      issuer: subject,
      key,
      authorityKeyIdentifier: subjectKeyIdentifier,
      crlNumber,
      thisUpdate: now,
      nextUpdate,
      revoked,
    })
    await writeFileAtomically({ path: files.output, content, mode: PUBLIC })
    return { crlNumber, entries: revoked.length, nextUpdate, skipped }
  })
}

function recordOf(revocation: RecordedRevocation, now: number): RevokedRecord | undefined {
  const { serialNumber: hex, reason = '', notAfter } = revocation
  if (!/^[0-9a-f]+$/iu.test(hex)) return undefined
  const serial = serialNumber(hex)
  if (serial === '0' || serial.length > MAX_SERIAL_DIGITS) return undefined
  const named = isReason(reason) ? reason : 'unspecified'
  // One date beyond what DER can say (a table knows "infinity") must not cost the whole list.
  const revokedAt =
    revocation.revokedAt >= 0 && revocation.revokedAt <= now ? revocation.revokedAt : now
  return { serialNumber: serial, revokedAt, reason: named, notAfter }
}
