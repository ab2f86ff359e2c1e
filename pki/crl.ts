/**
 * One CRL (RFC 5280 §5): from DER to its facts, and the proof that a CA signed it.
 *
 * Only a complete list of one CA is taken. A delta CRL, an indirect one and one limited by its
 * issuingDistributionPoint (some reasons, some certificates, one of several parts) would leave
 * revoked certificates out, and are refused with the reason.
 */
import { createHash, type X509Certificate } from 'node:crypto'
import { type CertificateFields, extensionsOf, KeyUsage } from './certificate.ts'
import { DerError, type DerElement, DerReader, readWhole, Tag } from './der.ts'
import {
  checkInteger,
  isTime,
  readBoolean,
  readOctetAlignedBits,
  readTime,
  readUnsigned,
} from './der-values.ts'
import { CrlRejected } from './errors.ts'
import { comparableName, displayName } from './name.ts'
import { MAX_SERIAL_OCTETS, SerialCollector, type SerialTable } from './revoked-serials.ts'
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
  readonly revoked: SerialTable
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
}

const REMOVE_FROM_CRL = 8

/**
 * Reads and checks everything but the signature and the dates.
 *
 * @throws CrlRejected `crl_malformed`, `crl_unsupported`
 */
export function parseCrl(der: Uint8Array): ParsedCrl {
  try {
    const revoked = new SerialCollector(der)
    const parsed = readCertificateList(der, ({ serial, reason }) => {
      if (reason !== REMOVE_FROM_CRL) revoked.add(serial.content, serial.end)
    })
    const digest = createHash('sha256').update(der).digest('hex')
    return { ...parsed, digest, revoked: revoked.finish() }
  } catch (err) {
    if (err instanceof DerError) {
      throw new CrlRejected('crl_malformed', `not a complete CRL: ${err.message}`, { cause: err })
    }
    throw err
  }
}

/** Calls `visit` for each entry, in order. @throws DerError, CrlRejected */
export function readCertificateList(
  der: Uint8Array,
  visit: (entry: CrlEntry) => void,
): Omit<ParsedCrl, 'revoked' | 'digest'> {
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
  if (tbs.peek() === Tag.sequence) readEntries(tbs.enter(Tag.sequence), version, visit)
  const wrapped = tbs.peek() === 0xa0 ? tbs.enter(0xa0) : undefined
  tbs.finish()
  if (wrapped !== undefined && version === 0n) throw new DerError('version 1 with extensions')
  const crlNumber = wrapped === undefined ? undefined : readCrlExtensions(wrapped)
  const signed = list.encodingOf(signedPart)
  return { issuer, thisUpdate, nextUpdate, crlNumber, signed, algorithm, signature }
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
    const reason = entry.done ? undefined : readEntryExtensions(entry)
    if (reason !== undefined && version === 0n) throw new DerError('version 1 with extensions')
    visit({ serial, date, reason })
  }
}

function readEntryExtensions(entry: DerReader): number | undefined {
  let reason: number | undefined
  for (const { id, critical, value } of extensionsOf(entry)) {
    if (id === '2.5.29.21') {
      const reader = new DerReader(value)
      reason = Number(readUnsigned(reader, Tag.enumerated))
      reader.finish()
    } else if (id === '2.5.29.29') {
      throw unsupported('an entry with certificateIssuer: an indirect CRL')
    } else if (critical && id !== '2.5.29.23' && id !== '2.5.29.24') {
      throw unsupported(`an entry with the unknown critical extension ${id}`)
    }
  }
  return reason
}

/** The crlNumber; refuses whatever makes this less than the complete list of one CA. */
function readCrlExtensions(wrapped: DerReader): bigint | undefined {
  let crlNumber: bigint | undefined
  for (const { id, critical, value } of extensionsOf(wrapped)) {
    if (id === '2.5.29.20') {
      if (crlNumber !== undefined) throw new DerError('crlNumber twice')
      if (critical) throw unsupported('a critical crlNumber (RFC 5280 §5.2.3 has it non-critical)')
      const reader = new DerReader(value)
      crlNumber = readUnsigned(reader)
      reader.finish()
    } else if (id === '2.5.29.27') {
      throw unsupported('a delta CRL, expected a complete one')
    } else if (id === '2.5.29.28') {
      refusePartial(value)
    } else if (critical && id !== '2.5.29.35') {
      throw unsupported(`the unknown critical extension ${id}`)
    }
  }
  return crlNumber
}

/** issuingDistributionPoint (RFC 5280 §5.2.5): its presence alone says "not everything". */
function refusePartial(value: Uint8Array): never {
  const point = readWhole(value, Tag.sequence)
  const limits: string[] = []
  while (!point.done) {
    const tag = point.peek() ?? 0
    const name = POINT_FIELDS.get(tag)
    if (name === undefined) throw new DerError(`issuingDistributionPoint with tag ${tag}`)
    const isFlag = tag !== 0xa0 && tag !== 0x83
    if (isFlag ? readBoolean(point, tag) : point.next(tag)) limits.push(name)
  }
  const found = limits.length === 0 ? 'an empty issuingDistributionPoint' : limits.join(', ')
  throw unsupported(`a partial CRL (${found}), expected a complete one of one CA`)
}

const POINT_FIELDS = new Map([
  [0xa0, 'distributionPoint'],
  [0x81, 'onlyContainsUserCerts'],
  [0x82, 'onlyContainsCACerts'],
  [0x83, 'onlySomeReasons'],
  [0x84, 'indirectCRL'],
  [0x85, 'onlyContainsAttributeCerts'],
])

function unsupported(what: string): CrlRejected {
  return new CrlRejected('crl_unsupported', `CRL is not supported: ${what}`)
}

/**
 * Did this CA sign this CRL, and may it? Dates are not looked at.
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
  if (!fields.isCa) throw new CrlRejected('crl_issuer_not_allowed', `${name} is not a CA`)
  if (fields.keyUsage !== undefined && (fields.keyUsage & KeyUsage.cRLSign) === 0) {
    throw new CrlRejected('crl_issuer_not_allowed', `${name} may not sign CRLs (keyUsage)`)
  }
  let algorithm
  try {
    algorithm = readSignatureAlgorithm(crl.algorithm)
  } catch (err) {
    if (err instanceof UnsupportedAlgorithm) throw unsupported(err.message)
    const why = err instanceof DerError ? err.message : String(err)
    throw new CrlRejected('crl_malformed', `not a complete CRL: ${why}`, { cause: err })
  }
  if (!verifySignature(algorithm, ca.publicKey, crl.signed, crl.signature)) {
    const text = `CRL of ${issuer}: the signature (${algorithm.name}) is not that of the CA's key`
    throw new CrlRejected('crl_signature_invalid', text)
  }
}
