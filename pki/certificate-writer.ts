/**
 * Writing certificates (RFC 5280 §4.1). With an encoder of our own: the library that reads requests
 * takes ten times as long for one, and a fleet is thousands.
 */
import { type KeyObject, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { SerialNumber } from '../core/names.ts'
import { signingAlgorithm } from './crl-generator.ts'
import {
  bitString,
  boolean,
  element,
  explicit,
  extension,
  octetString,
  oid,
  sequence,
  set,
  time,
  unsigned,
  unsignedOf,
  utf8String,
} from './der-writer.ts'
import { Tag } from './der.ts'
import { AuthorityError } from './errors.ts'
import { COMMON_NAME } from './name.ts'
import { toPem } from './pem.ts'

export interface CertificateToWrite {
  readonly serialNumber: SerialNumber
  /** DER of the names, octet for octet. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  /** Milliseconds since 1970; what is less than a second is cut off. */
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKey: KeyObject
  readonly extensions: readonly Uint8Array[]
  /** The issuer's. */
  readonly signingKey: KeyObject
}

/** The signed certificate, PEM. */
export function writeCertificate(certificate: CertificateToWrite): string {
  const { serialNumber, issuer, subject, notBefore, notAfter, extensions } = certificate
  const hex = serialNumber.padStart(serialNumber.length + (serialNumber.length % 2), '0')
  const { identifier, hash } = signingAlgorithm(certificate.signingKey)
  const signed = sequence(
    explicit(0, unsigned(2)),
    unsignedOf(Buffer.from(hex, 'hex')),
    identifier,
    issuer,
    sequence(time(notBefore), time(notAfter)),
    subject,
    certificate.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...extensions)),
  )
  const signature = sign(hash, signed, certificate.signingKey)
  return toPem('CERTIFICATE', sequence(signed, identifier, bitString(signature)))
}

const ORGANIZATION = '2.5.4.10'

/** O, when there is one, and CN: one attribute each, whatever characters they hold. */
export function writeName(commonName: string, organization: string | undefined): Buffer {
  const attribute = (type: string, text: string): Buffer =>
    set(sequence(oid(type), directoryString(text)))
  return sequence(
    ...(organization === undefined ? [] : [attribute(ORGANIZATION, organization)]),
    attribute(COMMON_NAME, commonName),
  )
}

/** PrintableString where its alphabet is enough, as most tools write it; else UTF8String. */
function directoryString(text: string): Buffer {
  return /^[A-Za-z0-9 '()+,./:=?-]+$/u.test(text)
    ? element(Tag.printableString, Buffer.from(text, 'latin1'))
    : utf8String(text)
}

/** Bits of keyUsage (RFC 5280 §4.2.1.3), first octet. */
export const USAGE = {
  digitalSignature: 0x80,
  keyEncipherment: 0x20,
  keyCertSign: 0x04,
  cRLSign: 0x02,
} as const

/** `pathLength` undefined: no CA. Critical. */
export function basicConstraints(pathLength: number | undefined): Buffer {
  const content = pathLength === undefined ? [] : [boolean(true), unsigned(pathLength)]
  return extension('2.5.29.19', true, sequence(...content))
}

/** @param bits of USAGE. Critical. */
export function keyUsage(bits: number): Buffer {
  let unused = 0
  while (unused < 7 && (bits & (1 << unused)) === 0) unused++
  return extension('2.5.29.15', true, bitString(Buffer.of(bits), unused))
}

export function extendedKeyUsage(purpose: string): Buffer {
  return extension('2.5.29.37', false, sequence(oid(purpose)))
}

export function subjectKeyIdentifier(identifier: Uint8Array): Buffer {
  return extension('2.5.29.14', false, octetString(identifier))
}

export function authorityKeyIdentifier(identifier: Uint8Array): Buffer {
  return extension('2.5.29.35', false, sequence(element(0x80, identifier)))
}

/** @param names DNS names and addresses @throws AuthorityError `authority_request_invalid` */
export function subjectAltName(names: readonly string[]): Buffer {
  return extension('2.5.29.17', false, sequence(...names.map(generalName)))
}

const DNS_NAME = 0x82
const IP_ADDRESS = 0x87

function generalName(name: string): Buffer {
  const version = isIP(name)
  if (version === 4) return element(IP_ADDRESS, Buffer.from(name.split('.').map(Number)))
  if (version === 6) return element(IP_ADDRESS, ipv6Of(name))
  const ascii = /^[\u0021-\u007e]+$/u.test(name) ? name : domainToASCII(name)
  if (ascii !== '') return element(DNS_NAME, Buffer.from(ascii, 'latin1'))
  const text = `expected the name or address of a host, found ${JSON.stringify(name)}`
  throw new AuthorityError('authority_request_invalid', text)
}

/** @param address that isIP calls 6 */
function ipv6Of(address: string): Buffer {
  const [bare = ''] = address.split('%')
  // The last 32 bits may stand as an IPv4 address.
  const hex = bare.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/u, (_, ...parts) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [head = '', tail] = hex.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [left, right] = [groups(head), groups(tail ?? '')]
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0)
  const all = tail === undefined ? left : [...left, ...zeros, ...right]
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}
