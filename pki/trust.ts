/**
 * The configured CAs and the paths between them. Intermediates come from this set alone, never from
 * a handshake, so that the issuer of every certificate we accept is known and can be revoked.
 */
import { X509Certificate } from 'node:crypto'
import { messageOf } from '../core/errors.ts'
import type { IssuerKey } from '../core/names.ts'
import { type CertificateFields, readCertificate } from './certificate.ts'
import { isCrlSigner, isIssuedBy, mayIssue } from './crl-signer.ts'
import { CertificateRejected } from './errors.ts'
import { comparableName, displayName } from './name.ts'
import { readPem } from './pem.ts'

export interface TrustedCa {
  readonly certificate: X509Certificate
  readonly fields: CertificateFields
  /** For people. */
  readonly name: string
}

/** The issuer of the certificate in question first, the CA that ends the path last. */
export type CaPath = readonly TrustedCa[]

const CERTIFICATE_LABELS = ['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE']
const MAX_PATH_LENGTH = 8
const MAX_PATHS = 16
/** CAs looked at for the paths of one: bundles of CAs that certify one another grow exponentially. */
const MAX_STEPS = 500

/**
 * Every certificate of a bundle; the count of blocks is the count of certificates.
 *
 * @param origin file name, for the message
 * @throws CertificateRejected `certificate_malformed`
 */
export function readCertificates(pem: string, origin: string): X509Certificate[] {
  try {
    return readPem(pem, CERTIFICATE_LABELS).map((der) => new X509Certificate(der))
  } catch (err) {
    const text = `${origin}: expected complete PEM certificates: ${messageOf(err)}`
    throw new CertificateRejected('certificate_malformed', text, { cause: err })
  }
}

export interface TrustSources {
  /** PEM of every CA a client's chain may lead through. */
  readonly ca: string
  /** Where it was read, for messages. */
  readonly origin: string
  /**
   * PEM of those among them that stand for devices, when the bundle holds others too (the server's
   * CA): a chain that passes none of these is not a device's. Undefined: all of them do.
   */
  readonly deviceCa?: string | undefined
}

export class TrustSet {
  readonly authorities: readonly TrustedCa[]
  /** Equal for sets of the same certificates with the same CAs for devices. */
  readonly identity: string
  /** Certificates that sign the CRLs of an authority in its place. */
  readonly crlSigners: readonly TrustedCa[]
  /** What stands in the bundle and can issue nothing, for a warning. */
  readonly ignored: readonly string[]
  /** CAs whose issuer is not in the bundle: OpenSSL refuses chains that do not reach a root. */
  readonly rootless: readonly string[]
  readonly #bySubject: ReadonlyMap<string, readonly TrustedCa[]>
  readonly #parents = new Map<TrustedCa, readonly TrustedCa[]>()
  readonly #paths = new Map<TrustedCa, readonly CaPath[]>()
  readonly #byKey = new Map<IssuerKey, CaPath[]>()

  /** @throws CertificateRejected `certificate_malformed`, `certificate_ca_missing` */
  constructor({ ca, origin, deviceCa }: TrustSources) {
    const all = readCertificates(ca, origin).map((certificate) => readCa(certificate, origin))
    this.authorities = all.filter(({ fields }) => mayIssue(fields))
    if (this.authorities.length === 0) {
      const text = `${origin}: expected at least one CA certificate, found ${all.length} others`
      throw new CertificateRejected('certificate_ca_missing', text)
    }
    this.#bySubject = group(this.authorities)
    this.crlSigners = all.filter(
      ({ fields }) => isCrlSigner(fields) && this.#bySubject.has(comparableName(fields.subject)),
    )
    const known = new Set([...this.authorities, ...this.crlSigners])
    this.ignored = all.filter((each) => !known.has(each)).map(({ name }) => name)
    this.rootless = this.authorities
      .filter(({ certificate, fields }) => this.#issuersOf(certificate, fields).length === 0)
      .map(({ name }) => name)
    const deviceKeys = this.#deviceKeys(deviceCa, origin)
    const fingerprints = all.map(({ certificate }) => certificate.fingerprint256)
    this.identity = [...fingerprints, 'devices', ...(deviceKeys ?? [])].join(' ')
    for (const authority of this.authorities) {
      const every: CaPath[] = []
      this.#extend([authority], every, { left: MAX_STEPS })
      const paths = every.filter(
        (path) => deviceKeys === undefined || path.some(({ fields }) => deviceKeys.has(fields.key)),
      )
      this.#paths.set(authority, paths)
      this.#byKey.set(authority.fields.key, [...this.pathsOf(authority.fields.key), ...paths])
    }
  }

  /** DER of each CA, and of each certificate that signs the CRLs of one: whose CRLs count. */
  get encodings(): readonly Uint8Array[] {
    return [...this.authorities, ...this.crlSigners].map(({ certificate }) => certificate.raw)
  }

  /** The paths above a CA of this key; none when it is not (or no longer) trusted for devices. */
  pathsOf(key: IssuerKey): readonly CaPath[] {
    return this.#byKey.get(key) ?? []
  }

  /**
   * The paths above a certificate, by name and by signature: some tenths of a millisecond. Dates
   * and revocation are not looked at.
   */
  pathsAbove(certificate: X509Certificate, fields: CertificateFields): readonly CaPath[] {
    return this.#issuersOf(certificate, fields).flatMap((ca) => this.#paths.get(ca) ?? [])
  }

  /** Is the issuer a CA of the set, if perhaps not one for devices? */
  knowsIssuerOf(certificate: X509Certificate, fields: CertificateFields): boolean {
    return this.#issuersOf(certificate, fields).length > 0
  }

  #issuersOf(certificate: X509Certificate, fields: CertificateFields): readonly TrustedCa[] {
    const named = this.#bySubject.get(comparableName(fields.issuer)) ?? []
    return named.filter((ca) => isIssuedBy(certificate, ca.certificate))
  }

  #parentsOf(ca: TrustedCa): readonly TrustedCa[] {
    const known = this.#parents.get(ca)
    if (known !== undefined) return known
    const isRoot = isIssuedBy(ca.certificate, ca.certificate)
    const parents = isRoot ? [] : this.#issuersOf(ca.certificate, ca.fields)
    this.#parents.set(ca, parents)
    return parents
  }

  /** Upwards from the last CA of `path`; stops at the bounds. */
  #extend(path: CaPath, found: CaPath[], steps: { left: number }): void {
    const last = path.at(-1)
    if (last === undefined || found.length >= MAX_PATHS || steps.left-- <= 0) return
    const parents = this.#parentsOf(last).filter((parent) => !path.includes(parent))
    // A root, or configured by itself, without its issuer: it ends the path.
    if (parents.length === 0) found.push(path)
    else if (path.length < MAX_PATH_LENGTH) {
      for (const parent of parents) this.#extend([...path, parent], found, steps)
    }
  }

  #deviceKeys(deviceCa: string | undefined, origin: string): Set<IssuerKey> | undefined {
    if (deviceCa === undefined) return undefined
    const keys = readCertificates(deviceCa, 'device CA').map(({ raw }) => readCertificate(raw).key)
    const known = new Set(this.authorities.map(({ fields }) => fields.key))
    if (keys.length === 0 || keys.some((key) => !known.has(key))) {
      const text = `${origin}: expected it to hold the device CA too`
      throw new CertificateRejected('certificate_ca_missing', text)
    }
    return new Set(keys)
  }
}

function readCa(certificate: X509Certificate, origin: string): TrustedCa {
  try {
    const fields = readCertificate(certificate.raw)
    comparableName(fields.subject)
    return { certificate, fields, name: displayName(fields.subject) }
  } catch (err) {
    const text = `${origin}: expected certificates in DER: ${messageOf(err)}`
    throw new CertificateRejected('certificate_malformed', text, { cause: err })
  }
}

function group(authorities: readonly TrustedCa[]): Map<string, TrustedCa[]> {
  const bySubject = new Map<string, TrustedCa[]>()
  for (const ca of authorities) {
    const subject = comparableName(ca.fields.subject)
    bySubject.set(subject, [...(bySubject.get(subject) ?? []), ca])
  }
  return bySubject
}
