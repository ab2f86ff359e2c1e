/** What the authority remembers: authority.json in its directory, replaced by rename. */
import { readFile } from 'node:fs/promises'
import { codeOf, messageOf } from '../core/errors.ts'
import { type SerialNumber, serialNumber } from '../core/names.ts'
import { SECRET, writeFileAtomically } from './atomic-file.ts'
import { REASONS, type RevocationReason } from './crl-generator.ts'
import { AuthorityError } from './errors.ts'

export interface IssuedCertificate {
  readonly serialNumber: SerialNumber
  readonly commonName: string
  /** Milliseconds since 1970. */
  readonly notAfter: number
}

export interface RevokedRecord {
  readonly serialNumber: SerialNumber
  readonly revokedAt: number
  readonly reason: RevocationReason
  /** Of the certificate, when we issued it: it leaves the CRL some time after that. */
  readonly notAfter: number | undefined
}

export interface AuthorityState {
  /** Of the CRL we wrote last; 0: none yet. */
  readonly crlNumber: bigint
  /** Not revoked and not expired. */
  readonly issued: readonly IssuedCertificate[]
  readonly revoked: readonly RevokedRecord[]
}

export const EMPTY_STATE: AuthorityState = { crlNumber: 0n, issued: [], revoked: [] }

/** @throws AuthorityError `authority_state_invalid` */
export async function readState(path: string): Promise<AuthorityState> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return EMPTY_STATE
    throw err
  }
  try {
    return stateOf(JSON.parse(text))
  } catch (cause) {
    const message = `${path}: expected the authority's state, found: ${messageOf(cause)}`
    throw new AuthorityError('authority_state_invalid', message, { cause })
  }
}

export async function writeState(path: string, state: AuthorityState): Promise<void> {
  const plain = {
    version: 1,
    crlNumber: state.crlNumber.toString(),
    issued: state.issued.map((each) => ({ ...each, notAfter: isoOf(each.notAfter) })),
    revoked: state.revoked.map((each) => ({
      ...each,
      revokedAt: isoOf(each.revokedAt),
      notAfter: each.notAfter === undefined ? undefined : isoOf(each.notAfter),
    })),
  }
  await writeFileAtomically({ path, content: `${JSON.stringify(plain, null, 1)}\n`, mode: SECRET })
}

function stateOf(parsed: unknown): AuthorityState {
  const record = recordOf(parsed)
  if (record['version'] !== 1) throw new Error(`version ${String(record['version'])}, expected 1`)
  return {
    crlNumber: BigInt(textOf(record, 'crlNumber')),
    issued: listOf(record, 'issued').map((entry) => ({
      serialNumber: serialNumber(textOf(entry, 'serialNumber')),
      commonName: textOf(entry, 'commonName'),
      notAfter: timeOf(entry, 'notAfter'),
    })),
    revoked: listOf(record, 'revoked').map((entry) => ({
      serialNumber: serialNumber(textOf(entry, 'serialNumber')),
      revokedAt: timeOf(entry, 'revokedAt'),
      reason: reasonOf(textOf(entry, 'reason')),
      notAfter: entry['notAfter'] === undefined ? undefined : timeOf(entry, 'notAfter'),
    })),
  }
}

type JsonRecord = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function recordOf(value: unknown): JsonRecord {
  if (!isRecord(value)) throw new Error('something that is not an object')
  return value
}

function listOf(record: JsonRecord, name: string): readonly JsonRecord[] {
  const value = record[name]
  if (!Array.isArray(value)) throw new Error(`${name} is not a list`)
  return value.map(recordOf)
}

function textOf(record: JsonRecord, name: string): string {
  const value = record[name]
  if (typeof value !== 'string') throw new Error(`${name} is not a text`)
  return value
}

function timeOf(record: JsonRecord, name: string): number {
  const ms = Date.parse(textOf(record, name))
  if (Number.isNaN(ms)) throw new Error(`${name} is not a time`)
  return ms
}

export function isReason(text: string): text is RevocationReason {
  return Object.hasOwn(REASONS, text)
}

function reasonOf(text: string): RevocationReason {
  if (!isReason(text)) throw new Error(`reason is ${JSON.stringify(text)}`)
  return text
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString()
}
