/** What the newcomer's start makes once and reuses ever after, below the data directory. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { hashPassword } from '../config/index.ts'
import type { Clock } from '../core/clock.ts'
import { OperationalError, codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { Authority, devicePaths, type PassphraseSource, writeFileAtomically } from '../pki/index.ts'

export const SERVICE_ACCOUNT = 'service_pulse'
export const EXAMPLE_TENANT = 'acme'
export const EXAMPLE_DEVICE = 'pump-7'
export const EXAMPLE_SITE = 'north'

export interface NewcomerFiles {
  readonly dataDirectory: string
  readonly certificates: string
  readonly authority: Authority
  readonly passwordFile: string
  /** Of `service_pulse`, when it was made just now. */
  readonly newPassword: string | undefined
  readonly device: { readonly certificate: string; readonly key: string }
}

/**
 * @param passphrase of encrypted keys of CAs
 * @throws OperationalError `DATA_DIRECTORY_UNUSABLE` naming the directory and what to do
 */
export async function prepareFiles(
  directory: string,
  clock: Clock,
  log: Log,
  passphrase?: PassphraseSource,
): Promise<NewcomerFiles> {
  const dataDirectory = resolve(directory)
  const certificates = join(dataDirectory, 'certs')
  try {
    await mkdir(certificates, { recursive: true })
  } catch (err) {
    throw unusable(dataDirectory, err)
  }
  try {
    const authority = await Authority.open(certificates, {
      clock,
      hostNames: [hostname()],
      passphrase,
    })
    for (const change of authority.changes) log.info({ event: 'authority.changed', change }, change)
    const devices = join(certificates, 'devices')
    const device = await deviceFiles(authority, devices, EXAMPLE_TENANT, EXAMPLE_DEVICE)
    const passwordFile = join(dataDirectory, 'passwd')
    const newPassword = await makePasswordFile(passwordFile)
    return { dataDirectory, certificates, authority, passwordFile, newPassword, device }
  } catch (err) {
    if (['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'ENOTDIR', 'EISDIR'].includes(codeOf(err) ?? '')) {
      throw unusable(dataDirectory, err)
    }
    throw err
  }
}

/** Certificate and key of a device, where `midge pki issue` puts them; made if absent. */
export async function deviceFiles(
  authority: Authority,
  directory: string,
  tenant: string,
  device: string,
): Promise<{ certificate: string; key: string }> {
  const { certificate, key } = devicePaths(directory, tenant, device)
  if ((await exists(certificate)) && (await exists(key))) return { certificate, key }
  const { certificatePem, privateKeyPem } = await authority.issueDevice(tenant, device, {})
  if (privateKeyPem === undefined) throw new Error('no key was made for a device without request')
  await mkdir(dirname(certificate), { recursive: true })
  await writeFileAtomically({ path: key, content: privateKeyPem, mode: 0o600 })
  await writeFileAtomically({ path: certificate, content: certificatePem, mode: 0o644 })
  return { certificate, key }
}

async function makePasswordFile(file: string): Promise<string | undefined> {
  if (await exists(file)) {
    await readFile(file)
    return undefined
  }
  const password = randomBytes(18).toString('base64url')
  const hash = hashPassword(password, { random: randomBytes })
  await writeFileAtomically({ path: file, content: `${SERVICE_ACCOUNT}:${hash}\n`, mode: 0o600 })
  return password
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return false
    throw err
  }
}

/** With what to do about it. */
export function unusable(directory: string, err: unknown): OperationalError {
  return new OperationalError(
    'DATA_DIRECTORY_UNUSABLE',
    `cannot write below the data directory ${directory} (${messageOf(err)}): make it writable for this user, or choose another with --data DIR or MIDGE_DATA`,
    { cause: err },
  )
}
