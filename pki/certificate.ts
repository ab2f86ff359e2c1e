/** The fields of a certificate that decisions are made on, read from its DER (RFC 5280 §4.1). */
import { createHash } from 'node:crypto'
import { type IssuerKey, issuerKey, type SerialNumber } from '../core/names.ts'
import { DerError, DerReader, readWhole, Tag } from './der.ts'
import {
  checkInteger,
  readBoolean,
  readNamedBits,
  readOid,
  readTime,
  readUnsigned,
} from './der-values.ts'
import { serialOfInteger } from './serial-number.ts'

/** Bits of keyUsage (RFC 5280 §4.2.1.3). */
export const KeyUsage = { digitalSignature: 1 << 0, keyCertSign: 1 << 5, cRLSign: 1 << 6 } as const

export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

export interface CertificateFields {
  readonly serialNumber: SerialNumber
  /** DER of the Name. */
  readonly issuer: Uint8Array
  /** DER of the Name. */
  readonly subject: Uint8Array
  /** Milliseconds since 1970, inclusive. */
  readonly notBefore: number
  /** Milliseconds since 1970, inclusive. */
  readonly notAfter: number
  /** What CRLs of this certificate are bound to, when it is a CA. */
  readonly key: IssuerKey
  readonly isCa: boolean
  /** Intermediate CAs allowed below this one. */
  readonly pathLength: number | undefined
  /** Undefined: no such extension, every use is allowed. */
  readonly keyUsage: number | undefined
  /** Undefined: no such extension, every use is allowed. */
  readonly extendedKeyUsage: readonly string[] | undefined
  /** What certificates and CRLs of this CA name in their authorityKeyIdentifier. */
  readonly subjectKeyIdentifier: Uint8Array | undefined
  /** OID of a critical extension that neither we nor OpenSSL's path validation evaluate. */
  readonly unknownCritical: string | undefined
}

/** Evaluated here or, in the handshake, by OpenSSL. */
const KNOWN_EXTENSIONS = new Set([
  '2.5.29.17', // subjectAltName
  '2.5.29.18', // issuerAltName
  '2.5.29.30', // nameConstraints
  '2.5.29.31', // cRLDistributionPoints
  '2.5.29.32', // certificatePolicies
  '2.5.29.33', // policyMappings
  '2.5.29.35', // authorityKeyIdentifier
  '2.5.29.36', // policyConstraints
  '2.5.29.54', // inhibitAnyPolicy
  '2.16.840.1.113730.1.1', // nsCertType
])

/** @throws DerError */
export function readCertificate(der: Uint8Array): CertificateFields {
  const tbs = readWhole(der, Tag.sequence).enter(Tag.sequence)
  tbs.optional(0xa0)
  const serial = tbs.next(Tag.integer)
  checkInteger(der, serial)
  tbs.next(Tag.sequence)
  const issuer = tbs.encodingOf(tbs.next(Tag.sequence))
  const validity = tbs.enter(Tag.sequence)
  const notBefore = readTime(validity)
  const notAfter = readTime(validity)
  const subject = tbs.encodingOf(tbs.next(Tag.sequence))
  const publicKey = tbs.encodingOf(tbs.next(Tag.sequence))
  tbs.optional(0x81)
  tbs.optional(0x82)
  const wrapped = tbs.optional(0xa3)
  tbs.finish()
  return {
    serialNumber: serialOfInteger(tbs.contentOf(serial)),
    issuer,
    subject,
    notBefore,
    notAfter,
    key: issuerKey(createHash('sha256').update(publicKey).digest('hex')),
    ...readExtensions(wrapped === undefined ? undefined : tbs.inside(wrapped)),
  }
}

type ExtensionFields = Pick<
  CertificateFields,
  | 'isCa'
  | 'pathLength'
  | 'keyUsage'
  | 'extendedKeyUsage'
  | 'subjectKeyIdentifier'
  | 'unknownCritical'
>

function readExtensions(wrapped: DerReader | undefined): ExtensionFields {
  let isCa = false
  let pathLength: number | undefined
  let keyUsage: number | undefined
  let extendedKeyUsage: string[] | undefined
  let subjectKeyIdentifier: Uint8Array | undefined
  let unknownCritical: string | undefined
  const seen = new Set<string>()
  for (const { id, critical, value } of wrapped === undefined ? [] : extensionsOf(wrapped)) {
    if (seen.has(id)) throw new DerError(`extension ${id} twice`)
    seen.add(id)
    if (id === '2.5.29.19') {
      const constraints = readWhole(value, Tag.sequence)
      if (constraints.peek() === Tag.boolean) isCa = readBoolean(constraints)
      if (!constraints.done) pathLength = Number(readUnsigned(constraints))
      constraints.finish()
    } else if (id === '2.5.29.15') {
      const bits = new DerReader(value)
      keyUsage = readNamedBits(bits)
      bits.finish()
    } else if (id === '2.5.29.37') {
      extendedKeyUsage = []
      const purposes = readWhole(value, Tag.sequence)
      while (!purposes.done) extendedKeyUsage.push(readOid(purposes))
    } else if (id === '2.5.29.14') {
      const identifier = new DerReader(value)
      subjectKeyIdentifier = identifier.contentOf(identifier.next(Tag.octetString))
      identifier.finish()
    } else if (critical && !KNOWN_EXTENSIONS.has(id)) {
      unknownCritical = id
    }
  }
  return { isCa, pathLength, keyUsage, extendedKeyUsage, subjectKeyIdentifier, unknownCritical }
}

/** One entry of an Extensions sequence; `value` is the content of extnValue. */
export interface Extension {
  readonly id: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** Reads `SEQUENCE OF Extension` and finishes the reader it stands in. */
export function* extensionsOf(wrapped: DerReader): Generator<Extension> {
  const list = wrapped.enter(Tag.sequence)
  wrapped.finish()
  while (!list.done) {
    const entry = list.enter(Tag.sequence)
    const id = readOid(entry)
    const critical = entry.peek() === Tag.boolean && readBoolean(entry)
    const value = entry.contentOf(entry.next(Tag.octetString))
    entry.finish()
    yield { id, critical, value }
  }
}
