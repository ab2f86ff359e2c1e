import { OperationalError } from '../core/errors.ts'

/** Why a CRL, or a file of CRLs, was not taken; the codes are listed in docs/errors.md. */
export type CrlRejection =
  /** No file, or one that cannot be read. */
  | 'crl_unreadable'
  /** Not a complete DER or PEM CRL. */
  | 'crl_malformed'
  /** Indirect, partitioned, a delta alone, an unknown extension or algorithm: left out of its file. */
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
  /** The file has no usable list any more of a CA it had one of. */
  | 'crl_list_missing'
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

export type PinRejection =
  | 'pin_unreadable'
  /** Not exactly one complete PEM certificate. */
  | 'pin_malformed'
  /** A file or directory whose name cannot be that of a tenant or a device. */
  | 'pin_name_invalid'
  /** One certificate filed under several devices. */
  | 'pin_ambiguous'
  | 'pin_too_many'

/** A file that pins nothing; the others do. */
export class PinRejected extends OperationalError {
  declare readonly code: PinRejection

  constructor(code: PinRejection, message: string, options?: ErrorOptions) {
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
  | 'dh_parameters_invalid'

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
  /** An encrypted key, and no passphrase, or not the right one. */
  | 'authority_passphrase_refused'

/** The device CA cannot do what it was asked. */
export class AuthorityError extends OperationalError {
  declare readonly code: AuthorityRefusal

  constructor(code: AuthorityRefusal, message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}
