/**
 * The certificate directory, under the names such platforms give its files; `ca.key` and
 * `authority.json` are ours. What is there is kept; what is missing is made; no key is ever
 * overwritten.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  X509Certificate,
} from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { codeOf, messageOf } from '../core/errors.ts'
import { createFileAtomically, SECRET } from './atomic-file.ts'
import { AuthorityError } from './errors.ts'

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
}

/** @throws AuthorityError `authority_state_invalid` for files that cannot be read as what they are */
export async function readPair(certificate: string, keyFile: string): Promise<KeyPairFiles> {
  const [certificatePem, keyPem] = [await readIfThere(certificate), await readIfThere(keyFile)]
  const key = keyPem === undefined ? undefined : parse(keyFile, () => createPrivateKey(keyPem))
  if (certificatePem !== undefined) {
    const read = parse(certificate, () => new X509Certificate(certificatePem))
    if (key !== undefined && !read.checkPrivateKey(key)) {
      const text = `${keyFile} does not belong to ${certificate}`
      throw new AuthorityError('authority_state_invalid', text)
    }
  }
  return { certificatePem, key }
}

function parse<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const text = `${file}: expected PEM: ${messageOf(cause)}`
    throw new AuthorityError('authority_state_invalid', text, { cause })
  }
}

const generate = promisify(generateKeyPair)

/** RSA keys have 3072 bits for a CA's ten years, 2048 for what lives a year. */
export async function newKey(type: KeyType, use: 'ca' | 'leaf'): Promise<KeyObject> {
  const { privateKey } =
    type === 'p256'
      ? await generate('ec', { namedCurve: 'P-256' })
      : await generate('rsa', { modulusLength: use === 'ca' ? 3072 : 2048 })
  return privateKey
}

/** Makes a key and its file. @throws AuthorityError `authority_file_exists` */
export async function createKeyFile(path: string, key: KeyObject): Promise<void> {
  const content = pemOf(key)
  if (await createFileAtomically({ path, content, mode: SECRET })) return
  throw new AuthorityError('authority_file_exists', `${path} exists already and is not overwritten`)
}

/** PKCS #8. */
export function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

export function publicKeyOf(key: KeyObject): KeyObject {
  return createPublicKey(key)
}
