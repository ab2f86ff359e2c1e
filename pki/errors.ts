import { OperationalError } from '../core/errors.ts'

/** Why a CRL, or a file of CRLs, was not taken; the codes are listed in docs/errors.md. */
export type CrlRejection =
  /** No file, or one that cannot be read. */
  | 'crl_unreadable'
  /** Not a complete DER or PEM CRL. */
  | 'crl_malformed'
  /** Delta, indirect, partitioned, an unknown critical extension, a weak or unknown algorithm. */
  | 'crl_unsupported'
  /** None of the configured CAs has this name. */
  | 'crl_issuer_unknown'
  /** The CA's keyUsage lacks cRLSign. */
  | 'crl_issuer_not_allowed'
  | 'crl_signature_invalid'
  /** thisUpdate lies in the future. */
  | 'crl_not_yet_valid'
  /** A newer list of this CA is in force. */
  | 'crl_older'
  /** No crlNumber although one is required. */
  | 'crl_number_missing'
  | 'crl_too_large'
  /** The thread that read it ended. */
  | 'crl_reading_failed'

/** A CRL that is not put in force; the last good one stays. */
export class CrlRejected extends OperationalError {
  declare readonly code: CrlRejection

  constructor(code: CrlRejection, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}

export type CertificateRejection =
  | 'certificate_unreadable'
  | 'certificate_malformed'
  | 'certificate_key_mismatch'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'certificate_ca_missing'

/** Certificate, key or CA files that cannot be served with; the ones in use stay. */
export class CertificateRejected extends OperationalError {
  declare readonly code: CertificateRejection

  constructor(code: CertificateRejection, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}

export type AuthorityRefusal =
  /** A certificate without its key, or the reverse. */
  | 'authority_incomplete'
  /** Another process is changing the same directory. */
  | 'authority_locked'
  | 'authority_state_invalid'
  | 'authority_name_invalid'
  | 'authority_request_invalid'
  | 'authority_certificate_unknown'
  | 'authority_file_exists'

/** The device CA cannot do what it was asked. */
export class AuthorityError extends OperationalError {
  declare readonly code: AuthorityRefusal

  constructor(code: AuthorityRefusal, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}
