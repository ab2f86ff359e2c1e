/**
 * The CAs of a TLS listener: those of `cafile`, those of the folder `capath`, and which of them stand
 * for devices.
 */
import { readdir, readFile, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { codeOf, messageOf } from '../core/errors.ts'
import { missingPermission } from '../core/file-access.ts'
import { CertificateRejected } from './errors.ts'
import { readCertificates } from './trust.ts'

export interface CaFiles {
  readonly cafile: string | undefined
  /** A folder; see `membersOf`. */
  readonly capath?: string | undefined
  /**
   * CAs of devices, when the others hold more: chains that pass none of them are refused. Undefined:
   * beside a `cafile` named `combined-ca.crt`, or in `capath`, what stands in `ca.crt` and not in
   * `device-ca.crt` is no CA of devices, if both are there; otherwise every CA is.
   */
  readonly deviceCafile?: string | undefined
}

export interface CaBundle {
  /** PEM of all of them, each once. */
  readonly ca: string
  /** Where they were read, for messages. */
  readonly origin: string
  /** PEM of those for devices; undefined: all are, or they cannot be told apart. */
  readonly deviceCa: string | undefined
  readonly warnings: readonly string[]
}

/** Certificates of a folder `openssl rehash` went over; lists of revoked ones are `.r0`. */
const HASHED = /^[0-9a-f]{8}\.[0-9]+$/u
const HASHED_CRL = /^[0-9a-f]{8}\.r[0-9]+$/u
const PLAIN = /\.(?:pem|crt)$/iu
const CERTIFICATE_BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/u
const OTHER_BEGIN = /-----BEGIN /u
/** Far above any folder of CAs. */
const MAX_MEMBERS = 4096

/** True when client certificates are asked for. */
export function namesCas({ cafile, capath }: CaFiles): boolean {
  return cafile !== undefined || capath !== undefined
}

/**
 * Undefined when none are configured.
 *
 * @throws CertificateRejected naming the file, what was found and what was expected
 */
export async function readCaFiles(files: CaFiles): Promise<CaBundle | undefined> {
  const { cafile, capath } = files
  const own = cafile === undefined ? '' : await readText(cafile)
  if (capath === undefined) {
    if (cafile === undefined) return undefined
    return { ca: own, origin: cafile, deviceCa: await deviceCaOf(files, own), warnings: [] }
  }
  const byFingerprint = new Map<string, string>()
  const add = (pem: string, origin: string): void => {
    for (const certificate of readCertificates(pem, origin)) {
      byFingerprint.set(certificate.fingerprint256, certificate.toString())
    }
  }
  if (cafile !== undefined) add(required(own, cafile), cafile)
  const { members, warnings } = await membersOf(capath)
  for (const member of members) {
    const text = await readText(member)
    // A key or a CRL beside the CAs. An empty file is none of these: it is cut short.
    if (CERTIFICATE_BEGIN.test(text) || !OTHER_BEGIN.test(text)) add(required(text, member), member)
    else warnings.push(`${member}: holds no certificate and is not used`)
  }
  const ca = [...byFingerprint.values()].join('')
  const origin = [cafile, capath].filter((each) => each !== undefined).join(' and ')
  return { ca, origin, deviceCa: await deviceCaOf(files, ca), warnings }
}

/**
 * The files of a folder of CAs, sorted. Where one has a hashed name, those alone count, as in OpenSSL
 * and so in Mosquitto; otherwise every `.pem` and `.crt`.
 *
 * @throws CertificateRejected `certificate_unreadable`
 */
export async function membersOf(
  capath: string,
): Promise<{ members: string[]; warnings: string[] }> {
  let names: string[]
  try {
    names = (await readdir(capath)).sort()
  } catch (err) {
    const text = `${capath}: expected a readable folder, found ${messageOf(err)}`
    throw new CertificateRejected('certificate_unreadable', text, { cause: err })
  }
  const hashed = names.filter((name) => HASHED.test(name))
  const plain = names.filter((name) => PLAIN.test(name))
  const members = (hashed.length > 0 ? hashed : plain).map((name) => join(capath, name))
  if (members.length > MAX_MEMBERS) {
    const text = `${capath}: expected at most ${MAX_MEMBERS} files, found ${members.length}`
    throw new CertificateRejected('certificate_unreadable', text)
  }
  const crls = names.filter((name) => HASHED_CRL.test(name))
  const unhashed = hashed.length > 0 ? await notAmong(capath, plain, members) : []
  return {
    members,
    warnings: [
      ...crls.map((name) => `${join(capath, name)}: CRLs of a capath are not read, see crlfile`),
      ...unhashed.map((name) => `${join(capath, name)}: has no hashed name and is not used`),
    ],
  }
}

/** A hashed name is a link to a file of the same folder, as a rule. */
async function notAmong(
  capath: string,
  names: readonly string[],
  members: readonly string[],
): Promise<string[]> {
  const targets = new Set(await Promise.all(members.map((member) => targetOf(member))))
  const others: string[] = []
  for (const name of names) {
    if (!targets.has(await targetOf(join(capath, name)))) others.push(name)
  }
  return others
}

async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    return path
  }
}

function required(text: string, file: string): string {
  if (CERTIFICATE_BEGIN.test(text)) return text
  const found = `found none in ${text.length} bytes`
  throw new CertificateRejected(
    'certificate_malformed',
    `${file}: expected a PEM certificate, ${found}`,
  )
}

/** Files beside the CAs that decide which of them are for devices. */
export function decidingFiles({ cafile, capath, deviceCafile }: CaFiles): string[] {
  if (deviceCafile !== undefined) return [deviceCafile]
  // A usual layout: a bundle for Mosquitto's one cafile, and its parts beside it.
  const isBundle = cafile !== undefined && basename(cafile) === 'combined-ca.crt'
  const folder = isBundle ? dirname(cafile) : capath
  return folder === undefined ? [] : ['ca.crt', 'device-ca.crt'].map((name) => join(folder, name))
}

async function deviceCaOf(files: CaFiles, ca: string): Promise<string | undefined> {
  const { cafile, capath, deviceCafile } = files
  if (deviceCafile !== undefined) return await readText(deviceCafile)
  const origin = cafile ?? capath ?? ''
  const [serverCa, deviceCa] = await Promise.all(decidingFiles(files).map(readIfThere))
  if (serverCa === undefined || deviceCa === undefined) return undefined
  // All but the server's: an older device CA may still stand in the bundle.
  const [servers, devices] = [setOf(serverCa, origin), setOf(deviceCa, origin)]
  return readCertificates(ca, origin)
    .filter(({ fingerprint256 }) => devices.has(fingerprint256) || !servers.has(fingerprint256))
    .map((certificate) => certificate.toString())
    .join('')
}

function setOf(pem: string, origin: string): Set<string> {
  const certificates = readCertificates(pem, `a part of ${origin}`)
  return new Set(certificates.map(({ fingerprint256 }) => fingerprint256))
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readText(file)
  } catch (err) {
    if (err instanceof CertificateRejected && codeOf(err.cause) === 'ENOENT') return undefined
    throw err
  }
}

/** @throws CertificateRejected `certificate_unreadable` */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (err) {
    const found = `${messageOf(err)}${missingPermission(file, err)}`
    const text = `${file}: expected a readable file, found ${found}`
    throw new CertificateRejected('certificate_unreadable', text, { cause: err })
  }
}
