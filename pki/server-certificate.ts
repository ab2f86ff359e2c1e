/**
 * Key, certificate, chain and CAs of a TLS listener, read together and checked before anyone is
 * served with them. OpenSSL takes several broken combinations without a word and then fails every
 * handshake (an RSA key with an EC certificate), or trusts fewer CAs than the file holds (a bundle
 * cut short), so the checks are made here.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { TlsConfig } from '../config/types.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { readCertificate } from './certificate.ts'
import { CertificateRejected } from './errors.ts'
import { displayName } from './name.ts'
import { readCertificates, TrustSet } from './trust.ts'

/** What a TLS listener serves with; one value, so that key and chain always match. */
export interface ServerCertificate {
  readonly key: string
  /** Leaf and intermediates, PEM. */
  readonly cert: string
  /** CAs named to clients and used by OpenSSL for their chains, PEM; undefined: none asked for. */
  readonly ca: string | undefined
  /** The same CAs, for admission; undefined when there are none. */
  readonly trust: TrustSet | undefined
  /** Of the leaf; milliseconds since 1970. */
  readonly notAfter: number
  /** SHA-256 of the leaf's DER, lower-case hex. */
  readonly fingerprint: string
  /** CN of the leaf, for people. */
  readonly subject: string
  /** Things an operator should look at, none of which keeps it from working. */
  readonly warnings: readonly string[]
}

export type ServerCertificateFiles = Pick<TlsConfig, 'certfile' | 'keyfile' | 'cafile'> & {
  /**
   * CAs of devices, when `cafile` holds others too: chains that pass none of them are refused.
   * Undefined: beside a `cafile` named `combined-ca.crt`, what stands in `ca.crt` and not in
   * `device-ca.crt` is no CA of devices, if both are there; otherwise every CA is.
   */
  readonly deviceCafile?: string | undefined
}

/**
 * @param now milliseconds since 1970
 * @throws CertificateRejected naming the file, what was found and what was expected
 */
export async function readServerCredentials(
  files: ServerCertificateFiles,
  now: number,
): Promise<ServerCertificate> {
  try {
    return await readAndCheck(files, now)
  } catch (err) {
    if (err instanceof CertificateRejected) throw err
    // Something OpenSSL reads and cannot use, such as a key of an unknown kind.
    const text = `${files.certfile}: cannot be served with: ${messageOf(err)}`
    throw new CertificateRejected('certificate_malformed', text, { cause: err })
  }
}

async function readAndCheck(
  files: ServerCertificateFiles,
  now: number,
): Promise<ServerCertificate> {
  const { certfile, keyfile, cafile } = files
  const [cert, key, ca, deviceCa] = await Promise.all([
    read(certfile),
    read(keyfile),
    cafile === undefined ? undefined : read(cafile),
    readDeviceCa(files),
  ])
  const chain = readCertificates(cert, certfile)
  const [leaf] = chain
  if (leaf === undefined) {
    const text = `${certfile}: expected a PEM certificate, found none in ${cert.length} bytes`
    throw new CertificateRejected('certificate_malformed', text)
  }
  checkKey(leaf, readKey(key, keyfile), files)
  const { notBefore, notAfter, subject } = fieldsOf(leaf, certfile)
  checkDates(certfile, { notBefore, notAfter, now })
  const trust =
    ca === undefined ? undefined : new TrustSet({ ca, origin: cafile ?? 'cafile', deviceCa })
  const fingerprint = leaf.fingerprint256.replaceAll(':', '').toLowerCase()
  const warnings = [...chainWarnings(chain, certfile), ...trustWarnings(trust, cafile)]
  return { key, cert, ca, trust, notAfter, fingerprint, subject: displayName(subject), warnings }
}

/** The files whose change calls for reading them again. */
export function filesOf(files: ServerCertificateFiles): string[] {
  const { certfile, keyfile, cafile, deviceCafile } = files
  const deciding = deviceCafile === undefined ? partsOf(cafile) : [deviceCafile]
  return [certfile, keyfile, ...(cafile === undefined ? [] : [cafile]), ...deciding]
}

/** A usual layout: a bundle for Mosquitto's one cafile, and its parts beside it. */
function partsOf(cafile: string | undefined): string[] {
  if (cafile === undefined || basename(cafile) !== 'combined-ca.crt') return []
  return ['ca.crt', 'device-ca.crt'].map((name) => join(dirname(cafile), name))
}

/** PEM of the CAs that stand for devices; undefined: all of them do, or they cannot be told apart. */
async function readDeviceCa({
  cafile,
  deviceCafile,
}: ServerCertificateFiles): Promise<string | undefined> {
  if (cafile === undefined) return undefined
  if (deviceCafile !== undefined) return await read(deviceCafile)
  const [serverCa, deviceCa] = await Promise.all(partsOf(cafile).map(readIfThere))
  if (serverCa === undefined || deviceCa === undefined) return undefined
  // All but the server's: an older device CA may still stand in the bundle.
  const [servers, devices] = [setOf(serverCa, cafile), setOf(deviceCa, cafile)]
  return readCertificates(await read(cafile), cafile)
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
    return await read(file)
  } catch (err) {
    if (err instanceof CertificateRejected && codeOf(err.cause) === 'ENOENT') return undefined
    throw err
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch (err) {
    const text = `${file}: expected a readable file, found ${messageOf(err)}`
    throw new CertificateRejected('certificate_unreadable', text, { cause: err })
  }
}

function readKey(pem: string, keyfile: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (err) {
    const found = pem.includes('ENCRYPTED') ? 'an encrypted one' : messageOf(err)
    const text = `${keyfile}: expected a PEM private key without passphrase, found ${found}`
    throw new CertificateRejected('certificate_malformed', text, { cause: err })
  }
}

function fieldsOf(leaf: X509Certificate, certfile: string): ReturnType<typeof readCertificate> {
  try {
    return readCertificate(leaf.raw)
  } catch (err) {
    const text = `${certfile}: expected a certificate in DER: ${messageOf(err)}`
    throw new CertificateRejected('certificate_malformed', text, { cause: err })
  }
}

function checkKey(leaf: X509Certificate, key: KeyObject, files: ServerCertificateFiles): void {
  if (leaf.checkPrivateKey(key)) return
  const kinds = `${key.asymmetricKeyType} key, ${leaf.publicKey.asymmetricKeyType} certificate`
  const text = `${files.keyfile} does not belong to the first certificate of ${files.certfile} (${kinds})`
  throw new CertificateRejected('certificate_key_mismatch', text)
}

interface Dates {
  readonly notBefore: number
  readonly notAfter: number
  readonly now: number
}

function checkDates(certfile: string, { notBefore, notAfter, now }: Dates): void {
  const clock = `the clock says ${new Date(now).toISOString()}`
  if (notAfter < now) {
    const text = `${certfile} expired at ${new Date(notAfter).toISOString()}, ${clock}`
    throw new CertificateRejected('certificate_expired', text)
  }
  if (notBefore > now) {
    const text = `${certfile} is valid from ${new Date(notBefore).toISOString()}, ${clock}`
    throw new CertificateRejected('certificate_not_yet_valid', text)
  }
}

function chainWarnings(chain: readonly X509Certificate[], certfile: string): string[] {
  const unordered = chain.findIndex((certificate, n) => {
    const issuer = chain[n + 1]
    return issuer !== undefined && !certificate.checkIssued(issuer)
  })
  if (unordered === -1) return []
  return [`${certfile}: certificate ${unordered + 2} did not issue certificate ${unordered + 1}`]
}

function trustWarnings(trust: TrustSet | undefined, cafile: string | undefined): string[] {
  const { ignored = [], rootless = [] } = trust ?? {}
  return [
    ...ignored.map((name) => `${cafile}: ${name} is not a CA and is not used`),
    ...rootless.map((name) => `${cafile}: the issuer of ${name} is missing, OpenSSL needs it too`),
  ]
}
