/**
 * Private keys at rest: PKCS #8, plain or encrypted with a passphrase (RFC 5958 §3, RFC 8018 §6.2).
 * Encrypted by an encoder of our own, since Node 20 to 24 encrypt with 2048 rounds of PBKDF2 and
 * offer no more; reading is OpenSSL's.
 */
import { createCipheriv, createPrivateKey, type KeyObject, pbkdf2Sync } from 'node:crypto'
import { codeOf } from '../core/errors.ts'
import { element, octetString, oid, sequence, unsigned } from './der-writer.ts'
import { Tag } from './der.ts'
import { AuthorityError } from './errors.ts'
import { toPem } from './pem.ts'
import type { RandomOctets } from './serial-number.ts'

/** Rounds of PBKDF2-HMAC-SHA-256 for a CA's key, which is opened a few times a day at most. */
export const CA_KEY_ROUNDS = 600_000

/** What encryption needs beside the plain text. */
export interface Encryption {
  readonly passphrase: string
  readonly rounds: number
  readonly random: RandomOctets
}

export interface Encrypted {
  /** DER of the AlgorithmIdentifier: PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC. */
  readonly algorithm: Buffer
  readonly content: Buffer
}

/** The passphrase counts as UTF-8, as OpenSSL 3 takes it. */
export function encrypt(plain: Uint8Array, { passphrase, rounds, random }: Encryption): Encrypted {
  const [salt, iv] = [random(16), random(16)]
  const key = pbkdf2Sync(Buffer.from(passphrase, 'utf8'), salt, rounds, 32, 'sha256')
  const cipher = createCipheriv('aes-256-cbc', key, iv)
  const content = Buffer.concat([cipher.update(plain), cipher.final()])
  const prf = sequence(oid('1.2.840.113549.2.9'), element(Tag.null))
  const kdf = sequence(
    oid('1.2.840.113549.1.5.12'),
    sequence(octetString(salt), unsigned(rounds), prf),
  )
  const scheme = sequence(oid('2.16.840.1.101.3.4.1.42'), octetString(iv))
  const algorithm = sequence(oid('1.2.840.113549.1.5.13'), sequence(kdf, scheme))
  return { algorithm, content }
}

/** DER of an EncryptedPrivateKeyInfo. */
export function encryptedKey(key: KeyObject, encryption: Encryption): Buffer {
  const plain = key.export({ type: 'pkcs8', format: 'der' })
  const { algorithm, content } = encrypt(plain, encryption)
  return sequence(algorithm, octetString(content))
}

/** PKCS #8 as PEM. @param encryption undefined: in the clear */
export function keyPem(key: KeyObject, encryption?: Encryption): string {
  if (encryption !== undefined) return toPem('ENCRYPTED PRIVATE KEY', encryptedKey(key, encryption))
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** Can this text be read only with a passphrase? PKCS #8, and what OpenSSL wrote before it. */
export function isEncryptedPem(pem: string): boolean {
  return pem.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----') || /^Proc-Type: 4,ENC/mu.test(pem)
}

/** Gives the passphrase of the CAs' keys; undefined: there is none to be had. May be called often. */
export type PassphraseSource = () => Promise<string | undefined>

/**
 * @param file where it was read, for the message
 * @throws AuthorityError `authority_passphrase_refused`; what OpenSSL throws for what is no key
 */
export async function unlockKey(
  pem: string,
  file: string,
  source: PassphraseSource | undefined,
): Promise<KeyObject> {
  if (!isEncryptedPem(pem)) return createPrivateKey(pem)
  const passphrase = await source?.()
  if (passphrase === undefined || passphrase === '') {
    const text = `${file} is encrypted: expected its passphrase in --ca-passphrase-file, MIDGE_CA_PASSPHRASE_FILE or MIDGE_CA_PASSPHRASE, found none`
    throw new AuthorityError('authority_passphrase_refused', text)
  }
  try {
    return createPrivateKey({ key: pem, passphrase: Buffer.from(passphrase, 'utf8') })
  } catch (cause) {
    // A wrong passphrase most often shows as bad padding, now and then as DER that makes no sense.
    if (codeOf(cause)?.startsWith('ERR_OSSL') !== true) throw cause
    const text = `${file}: expected the passphrase it was encrypted with, found another`
    throw new AuthorityError('authority_passphrase_refused', text, { cause })
  }
}
