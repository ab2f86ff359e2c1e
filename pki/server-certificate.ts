/**
 * Key, certificate, chain and CAs of a TLS listener, read together and checked before anyone is
 * served with them. OpenSSL takes several broken combinations without a word and then fails every
 * handshake (an RSA key with an EC certificate), or trusts fewer CAs than the file holds (a bundle
 * cut short), so the checks are made here.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import type { TlsConfig } from '../config/types.ts'
import { messageOf } from '../core/errors.ts'
import { type CaFiles, decidingFiles, namesCas, readCaFiles, readText } from './ca-files.ts'
import { readCertificate } from './certificate.ts'
import { checkDhParameters } from './dh-parameters.ts'
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
  /** DH parameters, PEM; undefined: no DHE ciphers. */
  readonly dhparam?: string | undefined
  /** Of the leaf; milliseconds since 1970. */
  readonly notAfter: number
  /** SHA-256 of the leaf's DER, lower-case hex. */
  readonly fingerprint: string
  /** CN of the leaf, for people. */
  readonly subject: string
  /** Things an operator should look at, none of which keeps it from working. */
  readonly warnings: readonly string[]
}

export type ServerCertificateFiles = Pick<TlsConfig, 'certfile' | 'keyfile' | 'dhparamfile'> &
  CaFiles

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
  const { certfile, keyfile, dhparamfile } = files
  const [cert, key, dhparam, bundle] = await Promise.all([
    readText(certfile),
    readText(keyfile),
    dhparamfile === undefined ? undefined : readText(dhparamfile),
    readCaFiles(files),
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
  if (dhparamfile !== undefined) checkDhParameters(dhparam ?? '', dhparamfile)
  const trust = bundle === undefined ? undefined : new TrustSet(bundle)
  const fingerprint = leaf.fingerprint256.replaceAll(':', '').toLowerCase()
  const warnings = [
    ...chainWarnings(chain, certfile),
    ...(bundle?.warnings ?? []),
    ...trustWarnings(trust, bundle?.origin),
  ]
  const facts = { notAfter, fingerprint, subject: displayName(subject), warnings }
  return { key, cert, ca: bundle?.ca, trust, dhparam, ...facts }
}

/** The files whose change calls for reading them again; beside them the members of `capath`. */
export function filesOf(files: ServerCertificateFiles): string[] {
  const { certfile, keyfile, cafile, dhparamfile } = files
  const optional = [cafile, dhparamfile].filter((file) => file !== undefined)
  return [certfile, keyfile, ...optional, ...(namesCas(files) ? decidingFiles(files) : [])]
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

function trustWarnings(trust: TrustSet | undefined, origin: string | undefined): string[] {
  const { ignored = [], rootless = [] } = trust ?? {}
  return [
    ...ignored.map((name) => `${origin}: ${name} is not a CA and is not used`),
    ...rootless.map((name) => `${origin}: the issuer of ${name} is missing, OpenSSL needs it too`),
  ]
}
