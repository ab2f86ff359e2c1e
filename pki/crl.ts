/**
 * One CRL (RFC 5280 §5): from DER to its facts, and the proof that a CA signed it.
 *
 * What a list is limited to is one of the facts, and so is that it goes beyond what is evaluated
 * here: an indirect list, one of several parts, an unknown critical extension.
 */
import { createHash, type X509Certificate } from 'node:crypto'
import { type CertificateFields, extensionsOf, KeyUsage } from './certificate.ts'
import { DerError, type DerElement, DerReader, readWhole, Tag } from './der.ts'
import { checkInteger, isTime, readOctetAlignedBits, readTime, readUnsigned } from './der-values.ts'
import { CrlRejected } from './errors.ts'
import { type CrlScope, EVERYTHING, isEverything, readScope } from './crl-scope.ts'
import { comparableName, displayName } from './name.ts'
import { SerialCollector, type SerialTable } from './revoked-serials.ts'
import { MAX_SERIAL_OCTETS } from './serial-number.ts'
import {
  algorithmEncoding,
  readSignatureAlgorithm,
  UnsupportedAlgorithm,
  verifySignature,
} from './signature-algorithm.ts'

export interface ParsedCrl {
  /** DER of the issuer's Name. */
  readonly issuer: Uint8Array
  /** Milliseconds since 1970. */
  readonly thisUpdate: number
  /** Undefined: the CRL names none, and so never becomes stale. */
  readonly nextUpdate: number | undefined
  /** Undefined: the CRL has none, as many tools leave it out. */
  readonly crlNumber: bigint | undefined
  /** BaseCRLNumber of a delta CRL (RFC 5280 §5.2.4); undefined: no delta. */
  readonly baseNumber: bigint | undefined
  readonly scope: CrlScope
  /** Why the list cannot be put in force, complete and correct as it is; undefined: it can. */
  readonly unsupported: string | undefined
  readonly revoked: SerialTable
  /** What a delta takes off its base (removeFromCRL). */
  readonly removed: SerialTable
  /** SHA-256 of the DER, hex. */
  readonly digest: string
  /** What the signature covers, by which algorithm, and the signature. */
  readonly signed: Uint8Array
  readonly algorithm: Uint8Array
  readonly signature: Uint8Array
}

/** One entry of revokedCertificates. */
export interface CrlEntry {
  readonly serial: DerElement
  readonly date: DerElement
  /** CRLReason (RFC 5280 §5.3.1); undefined: none given. */
  readonly reason: number | undefined
  /** An extension of the entry that is not evaluated here. */
  readonly unsupported: string | undefined
}

const REMOVE_FROM_CRL = 8

/**
 * Reads and checks everything but the signature and the dates.
 *
 * @throws CrlRejected `crl_malformed`; `crl_unsupported` for a version that is not known
 */
export function readCrl(der: Uint8Array): ParsedCrl {
  try {
    const revoked = new SerialCollector(der)
    const removed = new SerialCollector(der)
    const parsed = readCertificateList(der, ({ serial, reason }) => {
      const list = reason === REMOVE_FROM_CRL ? removed : revoked
      list.add(serial.content, serial.end)
    })
    const digest = createHash('sha256').update(der).digest('hex')
    return { ...parsed, digest, revoked: revoked.finish(), removed: removed.finish() }
  } catch (err) {
    if (err instanceof DerError) {
      throw new CrlRejected('crl_malformed', `not a complete CRL: ${err.message}`, { cause: err })
    }
    throw err
  }
}

/**
 * The same for the one list that says everything of its CA.
 *
 * @throws CrlRejected `crl_malformed`, `crl_unsupported`
 */
export function parseCrl(der: Uint8Array): ParsedCrl {
  const crl = readCrl(der)
  if (crl.unsupported !== undefined) throw unsupported(crl.unsupported)
  if (crl.baseNumber !== undefined) throw unsupported('a delta CRL, expected a complete one')
  if (!isEverything(crl.scope)) throw unsupported('a partial CRL, expected a complete one')
  return crl
}

/** Calls `visit` for each entry, in order. @throws DerError, CrlRejected */
export function readCertificateList(
  der: Uint8Array,
  visit: (entry: CrlEntry) => void,
): Omit<ParsedCrl, 'revoked' | 'removed' | 'digest'> {
  const list = readWhole(der, Tag.sequence)
  const signedPart = list.next(Tag.sequence)
  const algorithm = algorithmEncoding(list)
  const signature = readOctetAlignedBits(list)
  list.finish()

  const tbs = list.inside(signedPart)
  const version = tbs.peek() === Tag.integer ? readUnsigned(tbs) : 0n
  if (version > 1n) throw unsupported(`CRL version ${version + 1n}, expected 1 or 2`)
  if (!Buffer.from(algorithmEncoding(tbs)).equals(algorithm)) {
    throw new DerError('the signed and the outer signature algorithm differ')
  }
  const issuer = tbs.encodingOf(tbs.next(Tag.sequence))
  const thisUpdate = readTime(tbs)
  const nextUpdate = isTime(tbs.peek()) ? readTime(tbs) : undefined
  const noted: Noted = {}
  const read = (entry: CrlEntry): void => {
    if (entry.unsupported !== undefined) note(noted, entry.unsupported)
    visit(entry)
  }
  if (tbs.peek() === Tag.sequence) readEntries(tbs.enter(Tag.sequence), version, read)
  const wrapped = tbs.peek() === 0xa0 ? tbs.enter(0xa0) : undefined
  tbs.finish()
  if (wrapped !== undefined && version === 0n) throw new DerError('version 1 with extensions')
  const extensions = readCrlExtensions(wrapped, noted)
  const { crlNumber, baseNumber, scope, unsupported: why } = extensions
  const signed = list.encodingOf(signedPart)
  const facts = { issuer, thisUpdate, nextUpdate, crlNumber, baseNumber, scope, unsupported: why }
  return { ...facts, signed, algorithm, signature }
}

function readEntries(entries: DerReader, version: bigint, visit: (entry: CrlEntry) => void): void {
  const { bytes } = entries
  while (!entries.done) {
    const entry = entries.enter(Tag.sequence)
    const serial = entry.next(Tag.integer)
    checkInteger(bytes, serial)
    if (serial.end - serial.content > MAX_SERIAL_OCTETS) {
      throw new DerError(`serial number of ${serial.end - serial.content} octets`)
    }
    const date = entry.next()
    if (!isTime(date.tag)) throw new DerError(`expected a time at byte ${date.start}`)
    const extended = !entry.done
    if (extended && version === 0n) throw new DerError('version 1 with extensions')
    visit({ serial, date, ...(extended ? readEntryExtensions(entry) : NO_EXTENSIONS) })
  }
}

type EntryExtensions = Pick<CrlEntry, 'reason' | 'unsupported'>

const NO_EXTENSIONS: EntryExtensions = { reason: undefined, unsupported: undefined }

function readEntryExtensions(entry: DerReader): EntryExtensions {
  let reason: number | undefined
  let unknown: string | undefined
  for (const { id, critical, value } of extensionsOf(entry)) {
    if (id === '2.5.29.21') {
      const reader = new DerReader(value)
      reason = Number(readUnsigned(reader, Tag.enumerated))
      reader.finish()
    } else if (id === '2.5.29.29') {
      unknown = 'an entry with certificateIssuer: an indirect CRL'
    } else if (critical && id !== '2.5.29.23' && id !== '2.5.29.24') {
      unknown = `an entry with the unknown critical extension ${id}`
    }
  }
  return { reason, unsupported: unknown }
}

interface CrlExtensions extends Noted {
  crlNumber?: bigint
  baseNumber?: bigint
  scope: CrlScope
}

function readCrlExtensions(wrapped: DerReader | undefined, noted: Noted): CrlExtensions {
  const found: CrlExtensions = { ...noted, scope: EVERYTHING }
  const seen = new Set<string>()
  for (const { id, critical, value } of wrapped === undefined ? [] : extensionsOf(wrapped)) {
    if (seen.has(id)) throw new DerError(`${NAMES.get(id) ?? id} twice`)
    seen.add(id)
    if (id === '2.5.29.20') {
      if (critical) note(found, 'a critical crlNumber (RFC 5280 §5.2.3 has it non-critical)')
      found.crlNumber = readNumber(value)
    } else if (id === '2.5.29.27') {
      found.baseNumber = readNumber(value)
    } else if (id === '2.5.29.28') {
      const read = readScope(value)
      if ('scope' in read) found.scope = read.scope
      else note(found, read.unsupported)
    } else if (critical && id !== '2.5.29.35') {
      note(found, `the unknown critical extension ${id}`)
    }
  }
  if (found.baseNumber !== undefined && found.crlNumber === undefined) {
    note(found, 'a delta CRL without crlNumber')
  }
  return found
}

const NAMES = new Map([
  ['2.5.29.20', 'crlNumber'],
  ['2.5.29.27', 'deltaCRLIndicator'],
  ['2.5.29.28', 'issuingDistributionPoint'],
])

function readNumber(value: Uint8Array): bigint {
  const reader = new DerReader(value)
  const number = readUnsigned(reader)
  reader.finish()
  return number
}

/** What is correct and yet not evaluated here; the first of it is named. */
interface Noted {
  unsupported?: string
}

function note(noted: Noted, what: string): void {
  noted.unsupported ??= what
}

export function unsupported(what: string, issuerName?: string): CrlRejected {
  const list = issuerName === undefined ? 'CRL' : `CRL of ${issuerName}`
  return new CrlRejected('crl_unsupported', `${list} is not supported: ${what}`)
}

/**
 * Did this CA, or whoever signs CRLs in its place, sign this CRL, and may it? Dates are not looked at.
 *
 * @throws CrlRejected `crl_issuer_unknown`, `crl_issuer_not_allowed`, `crl_signature_invalid`,
 *   `crl_unsupported`
 */
export function verifyCrl(crl: ParsedCrl, ca: X509Certificate, fields: CertificateFields): void {
  const issuer = displayName(crl.issuer)
  const name = displayName(fields.subject)
  if (comparableName(crl.issuer) !== comparableName(fields.subject)) {
    throw new CrlRejected('crl_issuer_unknown', `CRL of ${issuer}, expected one of ${name}`)
  }
  if (!fields.isCa && fields.keyUsage === undefined) {
    throw new CrlRejected('crl_issuer_not_allowed', `${name} is not a CA`)
  }
  if (fields.keyUsage !== undefined && (fields.keyUsage & KeyUsage.cRLSign) === 0) {
    throw new CrlRejected('crl_issuer_not_allowed', `${name} may not sign CRLs (keyUsage)`)
  }
  let algorithm
  try {
    algorithm = readSignatureAlgorithm(crl.algorithm)
  } catch (err) {
    if (err instanceof UnsupportedAlgorithm) throw unsupported(err.message, issuer)
    const why = err instanceof DerError ? err.message : String(err)
    throw new CrlRejected('crl_malformed', `not a complete CRL: ${why}`, { cause: err })
  }
  if (!verifySignature(algorithm, ca.publicKey, crl.signed, crl.signature)) {
    const text = `CRL of ${issuer}: the signature (${algorithm.name}) is not that of the CA's key`
    throw new CrlRejected('crl_signature_invalid', text)
  }
}
