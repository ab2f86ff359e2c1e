/** What the authority's commands ask of a database of devices; whoever runs them provides it. */
import type { SerialNumber } from '../core/names.ts'

export interface EnrolledCertificate {
  readonly tenant: string
  readonly device: string
  /** Undefined: the site it has, or a default. */
  readonly site: string | undefined
  readonly certificatePem: string
}

export interface RegisteredRow {
  /** `tenant/device` */
  readonly name: string
  /** What its messages must name. */
  readonly site: string
  readonly status: string
  readonly wasKnown: boolean
}

/** None: no database is configured or running; failed: there is one, and it took nothing, or not all. */
export type Enrolled<T> =
  | { readonly kind: 'written'; readonly rows: readonly T[] }
  | { readonly kind: 'none'; readonly text: string }
  | { readonly kind: 'failed'; readonly text: string }

export interface RevokedCertificateRow {
  readonly name: string
  readonly serialNumber: string
  /** Of the row: REVOKED now or before, or EXPIRED. */
  readonly status: string
  /** False: it was REVOKED or EXPIRED before. */
  readonly isNew: boolean
}

export interface CertificateToRevoke {
  readonly serialNumber: SerialNumber
  /** Of its CN, when it is known. */
  readonly tenant: string | undefined
}

/** Never rejects for a database that is away: that is `failed`. */
export interface Enrolment {
  registerIssued(certificates: readonly EnrolledCertificate[]): Promise<Enrolled<RegisteredRow>>
  revokeRows(revocation: {
    readonly certificates: readonly CertificateToRevoke[]
    /** The CN of the CA, as rows name it. */
    readonly issuer: string
    readonly reason: string
    /** Milliseconds since 1970. */
    readonly revokedAt: number
  }): Promise<Enrolled<RevokedCertificateRow>>
  /** The site a device is registered with; undefined: unknown, or nobody to ask. */
  siteOf(tenant: string, device: string): Promise<string | undefined>
}
