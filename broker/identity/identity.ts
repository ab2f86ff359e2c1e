/**
 * Who is on a connection. The kinds never mix: a certificate named like an account has none of that
 * account's rights, and no identity can reach another's Session (`keyOf` tells them apart).
 */
import type { DeviceId, TenantId } from '../../core/names.ts'
import type { PeerCertificate } from '../ports.ts'

export type Identity = DeviceIdentity | CertificateIdentity | AccountIdentity | AnonymousIdentity

/**
 * Tenancy on: a certificate whose CN is `{tenant}/{device}`, a pre-shared key of that identity, or an
 * account whose password is the device's provision token.
 */
export interface DeviceIdentity {
  readonly kind: 'device'
  /** `{tenant}/{device}`, what the ACL file calls `%u`. */
  readonly userName: string
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  /** `tenant/{T}/device/{D}/` */
  readonly topicPrefix: string
  /** Undefined: it came with a key or a password, and nothing vouches for what it sends. */
  readonly certificate: PeerCertificate | undefined
  /** The line of the password_file it came in by, if so. */
  readonly accountName?: string
}

/** Tenancy off: a certificate whose CN is the user name. */
export interface CertificateIdentity {
  readonly kind: 'certificate'
  readonly userName: string
  readonly certificate: PeerCertificate
}

/** A line of the password file. */
export interface AccountIdentity {
  readonly kind: 'account'
  readonly userName: string
}

export interface AnonymousIdentity {
  readonly kind: 'anonymous'
  readonly userName: undefined
}

/** Tells identities apart; the length keeps a user name from reading like another kind's. */
export function keyOf(identity: Pick<Identity, 'kind' | 'userName'>): string {
  const name = identity.userName ?? ''
  return `${identity.kind}:${name.length}:${name}`
}
