/**
 * The certificate directory, under the names such platforms give its files; `ca.key` and
 * `authority.json` are ours. What is there is kept; what is missing is made; no key is ever
 * overwritten.
 */
import { createPublicKey, generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { codeOf, messageOf } from '../core/errors.ts'
import { createFileAtomically, SECRET } from './atomic-file.ts'
import { AuthorityError } from './errors.ts'
import {
  type Encryption,
  isEncryptedPem,
  keyPem,
  type PassphraseSource,
  unlockKey,
} from './private-key.ts'

export type KeyType = 'p256' | 'rsa'

export interface AuthorityFiles {
  readonly serverCert: string
  readonly serverKey: string
  readonly serverCa: string
  readonly serverCaKey: string
  readonly deviceCa: string
  readonly deviceCaKey: string
  readonly combinedCa: string
  readonly deviceCrl: string
  readonly state: string
}

export function filesIn(directory: string): AuthorityFiles {
  return {
    serverCert: join(directory, 'server.crt'),
    serverKey: join(directory, 'server.key'),
    serverCa: join(directory, 'ca.crt'),
    serverCaKey: join(directory, 'ca.key'),
    deviceCa: join(directory, 'device-ca.crt'),
    deviceCaKey: join(directory, 'device-ca.key'),
    combinedCa: join(directory, 'combined-ca.crt'),
    deviceCrl: join(directory, 'device-crl.pem'),
    state: join(directory, 'authority.json'),
  }
}

/** The text of a file, or undefined when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}

/** A certificate and its key; the key is undefined when only the certificate is here. */
export interface KeyPairFiles {
  readonly certificatePem: string | undefined
  readonly key: KeyObject | undefined
  /** There is a key, encrypted, and no passphrase was asked for: `key` is undefined. */
  readonly isLocked: boolean
}

/**
 * @param passphrase of an encrypted key; absent: such a key stays locked
 * @throws AuthorityError `authority_state_invalid` for files that cannot be read as what they are,
 *   `authority_passphrase_refused`
 */
export async function readPair(
  certificate: string,
  keyFile: string,
  passphrase?: { readonly source: PassphraseSource | undefined },
): Promise<KeyPairFiles> {
  const [certificatePem, pem] = [await readIfThere(certificate), await readIfThere(keyFile)]
  const isLocked = pem !== undefined && passphrase === undefined && isEncryptedPem(pem)
  const key =
    pem === undefined || isLocked
      ? undefined
      : await parse(keyFile, () => unlockKey(pem, keyFile, passphrase?.source))
  if (certificatePem !== undefined) {
    const read = await parse(certificate, () => new X509Certificate(certificatePem))
    if (key !== undefined && !read.checkPrivateKey(key)) {
      const text = `${keyFile} does not belong to ${certificate}`
      throw new AuthorityError('authority_state_invalid', text)
    }
  }
  return { certificatePem, key, isLocked }
}

async function parse<T>(file: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof AuthorityError) throw cause
    const text = `${file}: expected PEM: ${messageOf(cause)}`
    throw new AuthorityError('authority_state_invalid', text, { cause })
  }
}

const generate = promisify(generateKeyPair)

/** RSA keys have 4096 bits for a CA's ten years, 2048 for what lives a year. */
export async function newKey(type: KeyType, use: 'ca' | 'leaf'): Promise<KeyObject> {
  const { privateKey } =
    type === 'p256'
      ? await generate('ec', { namedCurve: 'P-256' })
      : await generate('rsa', { modulusLength: use === 'ca' ? 4096 : 2048 })
  return privateKey
}

/**
 * Makes a key's file.
 *
 * @param encryption undefined: in the clear
 * @throws AuthorityError `authority_file_exists`
 */
export async function createKeyFile(
  path: string,
  key: KeyObject,
  encryption?: Encryption,
): Promise<void> {
  const content = keyPem(key, encryption)
  if (await createFileAtomically({ path, content, mode: SECRET })) return
  throw new AuthorityError('authority_file_exists', `${path} exists already and is not overwritten`)
}

/** PKCS #8. */
export function pemOf(key: KeyObject): string {
  return keyPem(key)
}

export function publicKeyOf(key: KeyObject): KeyObject {
  return createPublicKey(key)
}
