/**
 * Writing PKCS #12 (RFC 7292): one private key, its certificate and those of the CAs, in one file
 * under one passphrase. Key and certificates are encrypted with PBES2 (AES-256), the whole is
 * protected by HMAC-SHA-256: what OpenSSL 3 writes by default, and Node takes as `pfx`.
 */
import { createHash, createHmac, type KeyObject } from 'node:crypto'
import { element, explicit, octetString, oid, sequence, set, unsigned } from './der-writer.ts'
import { Tag } from './der.ts'
import { encrypt, encryptedKey, type Encryption } from './private-key.ts'

export interface Pkcs12Content {
  readonly key: KeyObject
  /** DER. */
  readonly certificate: Uint8Array
  readonly authorities: readonly { readonly name: string; readonly certificate: Uint8Array }[]
  /** Shown by programs that import the file. */
  readonly friendlyName: string
}

const DATA = '1.2.840.113549.1.7.1'
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6'
const FRIENDLY_NAME = '1.2.840.113549.1.9.20'
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21'
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1'
const SHROUDED_KEY_BAG = '1.2.840.113549.1.12.10.1.2'
const CERT_BAG = '1.2.840.113549.1.12.10.1.3'
const SHA_256 = '2.16.840.1.101.3.4.2.1'

/** @returns DER of the PFX */
export function writePkcs12(content: Pkcs12Content, encryption: Encryption): Buffer {
  const { key, certificate, authorities, friendlyName } = content
  // What joins the key to its certificate; by custom the certificate's SHA-1.
  const id = createHash('sha1').update(certificate).digest()
  const own = [
    attribute(FRIENDLY_NAME, bmpString(friendlyName)),
    attribute(LOCAL_KEY_ID, octetString(id)),
  ]
  const certificates = sequence(
    certificateBag(certificate, own),
    ...authorities.map(({ name, certificate: ca }) =>
      certificateBag(ca, [attribute(FRIENDLY_NAME, bmpString(name))]),
    ),
  )
  const keys = sequence(bag(SHROUDED_KEY_BAG, encryptedKey(key, encryption), own))
  const safe = sequence(
    encryptedContent(certificates, encryption),
    sequence(oid(DATA), explicit(0, octetString(keys))),
  )
  return sequence(
    unsigned(3),
    sequence(oid(DATA), explicit(0, octetString(safe))),
    macOf(safe, encryption),
  )
}

function bag(type: string, value: Uint8Array, attributes: readonly Uint8Array[]): Buffer {
  // A SET OF is in the order of its encodings (X.690 §11.6).
  const sorted = attributes.toSorted(Buffer.compare)
  return sequence(oid(type), explicit(0, value), set(...sorted))
}

function certificateBag(certificate: Uint8Array, attributes: readonly Uint8Array[]): Buffer {
  const value = sequence(oid(X509_CERTIFICATE), explicit(0, octetString(certificate)))
  return bag(CERT_BAG, value, attributes)
}

function attribute(type: string, value: Uint8Array): Buffer {
  return sequence(oid(type), set(value))
}

function encryptedContent(bags: Uint8Array, encryption: Encryption): Buffer {
  const { algorithm, content } = encrypt(bags, encryption)
  // [0] IMPLICIT OCTET STRING.
  const info = sequence(oid(DATA), algorithm, element(0x80, content))
  return sequence(oid(ENCRYPTED_DATA), explicit(0, sequence(unsigned(0), info)))
}

function macOf(safe: Uint8Array, { passphrase, rounds, random }: Encryption): Buffer {
  const salt = random(16)
  const mac = createHmac('sha256', macKey(passphrase, salt, rounds))
    .update(safe)
    .digest()
  const digest = sequence(sequence(oid(SHA_256), element(Tag.null)), octetString(mac))
  return sequence(digest, octetString(salt), unsigned(rounds))
}

const BLOCK = 64
/** ID of the diversifier for integrity keys (RFC 7292 Appendix B.3). */
const MAC_MATERIAL = 3

/** RFC 7292 Appendix B.2 with SHA-256; one hash is as long as the key, so step 6 runs once. */
function macKey(passphrase: string, salt: Uint8Array, rounds: number): Buffer {
  const password = Buffer.concat([utf16be(passphrase), Buffer.alloc(2)])
  const input = Buffer.concat([Buffer.alloc(BLOCK, MAC_MATERIAL), fill(salt), fill(password)])
  let key = createHash('sha256').update(input).digest()
  for (let round = 1; round < rounds; round++) key = createHash('sha256').update(key).digest()
  return key
}

/** Repeated up to a whole number of blocks. */
function fill(octets: Uint8Array): Buffer {
  return Buffer.alloc(BLOCK * Math.ceil(octets.length / BLOCK), octets)
}

function bmpString(text: string): Buffer {
  return element(Tag.bmpString, utf16be(text))
}

function utf16be(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16()
}
