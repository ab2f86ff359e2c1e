/** What the database says of a device or a certificate, as far as a decision needs it. */

export interface DeviceRecord {
  readonly siteId: string
  /** Anything but `ACTIVE` is as good as revoked. */
  readonly status: string
  /** SHA-256 of the provision token, lower-case hex. */
  readonly tokenHash: string | undefined
  /** Status of the subscription that counts; undefined: none. */
  readonly subscription: string | undefined
}

/** `no_capacity`: not registered either, and the tenant's subscription has no room for it. */
export type DeviceAnswer = DeviceRecord | 'unregistered' | 'no_capacity'

export interface DeviceName {
  readonly tenantId: string
  readonly deviceId: string
}

/** A device that connects; without a fingerprint it has shown no certificate. */
export interface ConnectingDevice extends DeviceName {
  readonly fingerprint: string | undefined
}

/** An account of a password file whose password was right. */
export interface DeviceAccount {
  readonly userName: string
  /** SHA-256 of the password, lower-case hex. */
  readonly tokenHash: string
}

/** `hidden`: row-level security shows one tenant at a time, and nobody knows which to ask for. */
export type TokenBearers = readonly DeviceName[] | 'hidden'

/** A certificate as it was presented, and whose it claims to be. */
export interface CertificateName extends DeviceName {
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
}

/** The row with the fingerprint presented; `unlisted`: there is none. */
export interface CertificateRecord {
  /** `other`: a state no certificate is good in, or a row of another device. */
  readonly status: 'ACTIVE' | 'REVOKED' | 'EXPIRED' | 'other' | 'unlisted'
  /** Milliseconds since 1970. */
  readonly notAfter: number
  /** The latest notAfter of the device's active certificates; -Infinity: it has none. */
  readonly deviceNotAfter: number
}

export type UnlistedCertificate = 'token' | 'strict' | 'device' | 'ca'

/**
 * Does the certificate prove the device at `now`? The row of the very certificate decides; another
 * active one of the same device never makes up for it (a rotation leaves two), only for its absence.
 */
export function isProof(
  record: CertificateRecord,
  unlisted: UnlistedCertificate,
  now: number,
): boolean {
  if (record.status === 'ACTIVE') return record.notAfter > now
  if (record.status !== 'unlisted') return false
  return unlisted === 'ca' || (unlisted === 'device' && record.deviceNotAfter > now)
}
