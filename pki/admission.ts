/**
 * Who may come in with a client certificate. OpenSSL has verified the chain by then, but its word is
 * only one condition: a resumed session skips it, Node 20 can call a resumed session without any
 * certificate authorized, and key strength and revocation are not asked the way we want them. So
 * everything is judged here again, against the configured CAs alone.
 */
import { createHash, type X509Certificate } from 'node:crypto'
import { messageOf } from '../core/errors.ts'
import type { IssuerKey, SerialNumber } from '../core/names.ts'
import { type CertificateFields, KeyUsage, readCertificate } from './certificate.ts'
import {
  type ChainContext,
  type Refusal,
  type Standing,
  standingOf,
  type Subject,
  usageProblem,
} from './chain.ts'
import { onlyDatesAreWrong } from './date-verdict.ts'
import { weaknessOf } from './key-policy.ts'
import { type CommonName, commonNameOf, displayName } from './name.ts'
import { ambiguous, pinnedRefusal, pinnedStanding, pinProblem } from './pin-admission.ts'
import type { Pinned } from './pins.ts'
import type { CaPath, TrustSet } from './trust.ts'

/** The facts of a client certificate that outlive its handshake. */
export interface AdmittedCertificate {
  /** The only CN of the subject, as text; of a pinned certificate the `tenant/device` of its pin. */
  readonly commonName: string
  readonly issuerKey: IssuerKey
  readonly serialNumber: SerialNumber
  /** SHA-256 of the DER, lower-case hex without separators. */
  readonly fingerprint: string
  /** Milliseconds since 1970. */
  readonly notAfter: number
  /** `commonName` is that of a pin, and no CA had to vouch for it. */
  readonly pinned?: true
}

export type CertificateAdmission =
  | { readonly admitted: true; readonly certificate: AdmittedCertificate }
  | ({ readonly admitted: false } & Refusal)

export interface ClientCertificatesOptions extends ChainContext {
  readonly trust: TrustSet
  /** Bytes of a certificate. Default 16 384. */
  readonly maxBytes?: number
  /** Certificates whose signature need not be verified again. Default 10 000. */
  readonly maxVerified?: number
}

interface Read {
  readonly fields: CertificateFields
  readonly paths: readonly CaPath[]
}

/**
 * What holds as long as the CAs do: dates and revocation are asked for each time. Nothing of it may
 * be a view of the certificate's bytes, which it would keep.
 */
interface Verified {
  readonly subject: Required<Subject>
  readonly paths: readonly CaPath[]
  readonly commonName: CommonName
}

export class ClientCertificateAdmission {
  readonly #context: ChainContext
  readonly #maxBytes: number
  readonly #maxVerified: number
  /** By fingerprint, the one used last at the end; only what chained, so strangers cannot fill it. */
  readonly #verified = new Map<string, Verified>()
  #trust: TrustSet

  constructor(options: ClientCertificatesOptions) {
    this.#context = options
    this.#trust = options.trust
    this.#maxBytes = options.maxBytes ?? 16_384
    this.#maxVerified = options.maxVerified ?? 10_000
  }

  /** Other CAs from now on; certificates already admitted are to be asked for with `stillGood`. */
  replaceTrust(trust: TrustSet): void {
    this.#trust = trust
    this.#verified.clear()
  }

  /**
   * Judges the certificate of a finished handshake. Memory only; verifies a signature the first
   * time it sees a certificate. Never throws.
   *
   * @param verification OpenSSL's verdict on the chain: `undefined` when it verified
   */
  admit(peer: X509Certificate | undefined, verification: string | undefined): CertificateAdmission {
    if (peer === undefined) return refuse('no_certificate', 'the client showed no certificate')
    try {
      return this.#judge(peer, verification)
    } catch (err) {
      return refuse('bad_subject', `the certificate cannot be read: ${messageOf(err)}`)
    }
  }

  /** Dates and revocation now, of the certificate and of the CAs above it. */
  stillGood(
    certificate: AdmittedCertificate,
  ): { good: true } | { good: false; reason: Refusal['reason'] } {
    const paths = this.#trust.pathsOf(certificate.issuerKey)
    const pin = pinProblem(certificate, this.#context)
    if (pin !== undefined) return { good: false, reason: pin.reason }
    const refusal =
      certificate.pinned === true
        ? pinnedStanding(certificate, paths, this.#context)
        : problemOf(standingOf(certificate, paths, this.#context))
    return refusal === undefined ? { good: true } : { good: false, reason: refusal.reason }
  }

  /**
   * The layer beneath identity and use: does the certificate chain to the configured CAs, and are
   * the dates and the revocation of each link good?
   *
   * @throws DerError for a certificate that OpenSSL reads and that is not DER
   */
  standing(peer: X509Certificate): Standing {
    const { fields, paths } = this.#read(peer)
    return standingOf(fields, paths, this.#context)
  }

  #read(peer: X509Certificate): Read {
    const fields = readCertificate(peer.raw)
    return { fields, paths: this.#trust.pathsAbove(peer, fields) }
  }

  #judge(peer: X509Certificate, verification: string | undefined): CertificateAdmission {
    const { raw } = peer
    if (raw.length > this.#maxBytes) {
      return refuse('too_large', `${raw.length} bytes, expected at most ${this.#maxBytes}`)
    }
    const fingerprint = createHash('sha256').update(raw).digest('hex')
    const pin = this.#context.pins?.pinned(fingerprint)
    if (pin !== undefined) return this.#judgePinned(peer, fingerprint, pin)
    const verified = this.#verified.get(fingerprint) ?? this.#verify(peer)
    if ('reason' in verified) return { admitted: false, ...verified }
    this.#remember(fingerprint, verified)
    const { subject, paths, commonName } = verified
    const standing = standingOf(subject, paths, this.#context)
    if (!standing.good) return refuse(standing.reason, standing.detail)
    if (verification !== undefined && !this.#isForgiven(verification, peer, standing.path)) {
      return refuse(wordFor(verification), `OpenSSL: ${verification}`)
    }
    if (!commonName.found) return refuse('bad_subject', commonName.problem)
    const issuerKey = standing.path[0]?.fields.key
    if (issuerKey === undefined) return refuse('unknown_ca', 'no issuer')
    const { serialNumber, notAfter } = subject
    const facts = { commonName: commonName.text, issuerKey, serialNumber, fingerprint, notAfter }
    return { admitted: true, certificate: Object.freeze(facts) }
  }

  /** What is looked at once: the signature, and what no passing of time and no CRL changes. */
  #verify(peer: X509Certificate): Verified | Refusal {
    const { fields, paths } = this.#read(peer)
    const refusal = this.#lastingRefusal(peer, { fields, paths })
    if (refusal !== undefined) return refusal
    const { serialNumber, notBefore, notAfter, isCa } = fields
    const subject = { serialNumber, notBefore, notAfter, isCa }
    return { subject, paths, commonName: commonNameOf(fields.subject) }
  }

  #judgePinned(peer: X509Certificate, fingerprint: string, pin: Pinned): CertificateAdmission {
    if (pin.kind === 'ambiguous') return { admitted: false, ...ambiguous(pin) }
    const { fields, paths } = this.#read(peer)
    const refusal = pinnedRefusal(peer, fields) ?? pinnedStanding(fields, paths, this.#context)
    if (refusal !== undefined) return { admitted: false, ...refusal }
    const { commonName } = pin
    const { serialNumber, notAfter } = fields
    // Of a certificate that is its own issuer, as far as anyone here knows, the key is its own.
    const issuerKey = paths[0]?.[0]?.fields.key ?? fields.key
    const facts = {
      commonName,
      issuerKey,
      serialNumber,
      fingerprint,
      notAfter,
      pinned: true,
    } as const
    return { admitted: true, certificate: Object.freeze(facts) }
  }

  #isForgiven(verification: string, peer: X509Certificate, path: CaPath): boolean {
    return this.#context.ignoreDates === true && onlyDatesAreWrong(verification, peer, path)
  }

  #lastingRefusal(peer: X509Certificate, { fields, paths }: Read): Refusal | undefined {
    if (paths.length === 0) {
      const known = this.#trust.knowsIssuerOf(peer, fields)
      const issuer = displayName(fields.issuer)
      const detail = known ? `${issuer} is not a CA for devices` : `issued by ${issuer}`
      return { reason: 'unknown_ca', detail }
    }
    const weakness = weaknessOf(peer, 'client')
    if (weakness !== undefined) return { reason: 'weak_key', detail: weakness }
    if (fields.isCa) return { reason: 'wrong_usage', detail: 'a CA certificate' }
    const { keyUsage } = fields
    if (keyUsage !== undefined && (keyUsage & KeyUsage.digitalSignature) === 0) {
      return { reason: 'wrong_usage', detail: 'keyUsage lacks digitalSignature' }
    }
    const misuse = usageProblem(fields)
    return misuse === undefined ? undefined : { reason: 'wrong_usage', detail: misuse }
  }

  #remember(fingerprint: string, certificate: Verified): void {
    this.#verified.delete(fingerprint)
    this.#verified.set(fingerprint, certificate)
    if (this.#verified.size <= this.#maxVerified) return
    const [oldest] = this.#verified.keys()
    if (oldest !== undefined) this.#verified.delete(oldest)
  }
}

/** Answers the broker's question about client certificates. */
export function createClientCertificates(
  options: ClientCertificatesOptions,
): ClientCertificateAdmission {
  return new ClientCertificateAdmission(options)
}

function problemOf(standing: Standing): Refusal | undefined {
  return standing.good ? undefined : standing
}

function refuse(reason: Refusal['reason'], detail: string): CertificateAdmission {
  return { admitted: false, reason, detail }
}

/** Only names a refusal that is certain already; no text of OpenSSL's ever lets anyone in. */
function wordFor(verification: string): Refusal['reason'] {
  switch (verification) {
    case 'CERT_HAS_EXPIRED':
      return 'expired'
    case 'CERT_NOT_YET_VALID':
      return 'not_yet_valid'
    case 'CERT_REVOKED':
      return 'revoked'
    case 'INVALID_PURPOSE':
      return 'wrong_usage'
    default:
      return 'unknown_ca'
  }
}
