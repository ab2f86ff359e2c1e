/**
 * Where certificate and key of a device lie: `TENANT/DEVICE.crt` and `.key` below one directory.
 * A key is never overwritten. A renewed certificate takes the place of the one before, which is kept
 * with its key in `TENANT/.earlier/DEVICE/` under its serial number; so is the new pair, so that a
 * renewal cut off between its two renames can be undone.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { basename, dirname, extname, join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import type { SerialNumber } from '../core/names.ts'
import { createFileAtomically, PUBLIC, SECRET, writeFileAtomically } from './atomic-file.ts'
import { readIfThere } from './authority-files.ts'
import { readCertificate } from './certificate.ts'
import { AuthorityError } from './errors.ts'

export interface DevicePaths {
  readonly certificate: string
  readonly key: string
  /** Directory of the pairs before, and of the present one when it was renewed. */
  readonly earlier: string
}

export function devicePaths(out: string, tenant: string, device: string): DevicePaths {
  const folder = join(out, fileNameOf(tenant))
  return pathsOf(folder, fileNameOf(device), '.crt')
}

/** Of a certificate file that lies anywhere; its key is beside it, `.key`. */
export function pathsBeside(certificate: string): DevicePaths {
  const ending = extname(certificate)
  return pathsOf(dirname(certificate), basename(certificate, ending), ending)
}

function pathsOf(folder: string, stem: string, ending: string): DevicePaths {
  return {
    certificate: join(folder, `${stem}${ending}`),
    key: join(folder, `${stem}.key`),
    earlier: join(folder, '.earlier', stem),
  }
}

/** What a file system takes with room for endings, and for the name a file is written under. */
const MAX_NAME = 150

/** One path segment for any id: `..` and `.hidden` among them; one beyond 150 characters ends in a hash. */
export function fileNameOf(id: string): string {
  const name = encodeURIComponent(id).replace(/^\./u, '%2E')
  if (name.length <= MAX_NAME) return name
  const digest = createHash('sha256').update(id).digest('hex').slice(0, 32)
  return `${name.slice(0, 100)}~${digest}`
}

export interface DevicePair {
  readonly certificate: X509Certificate | undefined
  readonly certificatePem: string | undefined
  readonly key: KeyObject | undefined
}

/**
 * What is there. A pair that a killed renewal left in disagreement is put right first, from what it
 * had kept; to be called with the authority's directory locked when that may happen.
 *
 * @throws AuthorityError `authority_state_invalid` for files that are not what they are called, or do
 *   not belong together
 */
export async function readDevicePair(paths: DevicePaths): Promise<DevicePair> {
  const pair = await readFiles(paths)
  const { certificate, key } = pair
  if (certificate === undefined || key === undefined || certificate.checkPrivateKey(key)) {
    return pair
  }
  const kept = await readIfThere(keptIn(paths, serialOf(certificate)).key)
  if (kept !== undefined && certificate.checkPrivateKey(createPrivateKey(kept))) {
    await writeFileAtomically({ path: paths.key, content: kept, mode: SECRET })
    return await readFiles(paths)
  }
  const text = `${paths.key} does not belong to ${paths.certificate}`
  throw new AuthorityError('authority_state_invalid', text)
}

async function readFiles(paths: DevicePaths): Promise<DevicePair> {
  const certificatePem = await readIfThere(paths.certificate)
  const keyPem = await readIfThere(paths.key)
  const read = <T>(file: string, make: () => T): T => {
    try {
      return make()
    } catch (cause) {
      const text = `${file}: expected PEM without a passphrase: ${messageOf(cause)}`
      throw new AuthorityError('authority_state_invalid', text, { cause })
    }
  }
  const pem = Buffer.from(certificatePem ?? '', 'latin1')
  return {
    certificatePem,
    certificate:
      certificatePem === undefined
        ? undefined
        : read(paths.certificate, () => new X509Certificate(pem)),
    key: keyPem === undefined ? undefined : read(paths.key, () => createPrivateKey(keyPem)),
  }
}

export function serialOf(certificate: X509Certificate): SerialNumber {
  return readCertificate(certificate.raw).serialNumber
}

export interface NewPair {
  readonly certificatePem: string
  /** Undefined: the key file, if there is one, stays. */
  readonly keyPem: string | undefined
}

/**
 * For a device that has none yet: the key first, so that what a kill leaves is a key that the next
 * attempt uses.
 *
 * @throws AuthorityError `authority_file_exists`
 */
export async function createPair(paths: DevicePaths, pair: NewPair): Promise<void> {
  const { certificatePem, keyPem } = pair
  if (keyPem !== undefined) {
    const content = { path: paths.key, content: keyPem, mode: SECRET }
    if (!(await createFileAtomically(content))) throw keptFile(paths.key)
  }
  const content = { path: paths.certificate, content: certificatePem, mode: PUBLIC }
  if (!(await createFileAtomically(content))) throw keptFile(paths.certificate)
}

export function keptFile(path: string): AuthorityError {
  const text = `${path} exists already and is not overwritten; midge pki renew replaces it, --out writes elsewhere`
  return new AuthorityError('authority_file_exists', text)
}

/** Puts the new pair in place of the one before, which is kept. */
export async function replacePair(
  paths: DevicePaths,
  before: DevicePair,
  { certificatePem, keyPem }: NewPair,
): Promise<void> {
  const { certificate, certificatePem: oldPem, key } = before
  if (certificate === undefined || oldPem === undefined) throw new Error('nothing to replace')
  const oldKey = key?.export({ type: 'pkcs8', format: 'pem' }).toString()
  const kept: (readonly [SerialNumber, NewPair])[] = [
    [serialOf(certificate), { certificatePem: oldPem, keyPem: oldKey }],
  ]
  const renewed = new X509Certificate(certificatePem)
  if (keyPem !== undefined) kept.push([serialOf(renewed), { certificatePem, keyPem }])
  for (const [serial, pair] of kept) {
    const there = keptIn(paths, serial)
    if (pair.keyPem !== undefined) {
      await createFileAtomically({ path: there.key, content: pair.keyPem, mode: SECRET })
    }
    await createFileAtomically({
      path: there.certificate,
      content: pair.certificatePem,
      mode: PUBLIC,
    })
  }
  if (keyPem !== undefined) {
    await writeFileAtomically({ path: paths.key, content: keyPem, mode: SECRET })
  }
  await writeFileAtomically({ path: paths.certificate, content: certificatePem, mode: PUBLIC })
}

function keptIn(paths: DevicePaths, serial: SerialNumber): { certificate: string; key: string } {
  return {
    certificate: join(paths.earlier, `${serial}.crt`),
    key: join(paths.earlier, `${serial}.key`),
  }
}
