/** Who has to leave: connections that would not be let in any more, found by what changed. */
import type { Connections } from './connections.ts'
import type { Identity } from './identity/index.ts'

/** A device that the registry bars; with a fingerprint, only where it came with that certificate. */
export interface BarredDevice {
  readonly tenantId: string
  readonly deviceId: string
  readonly fingerprint: string | undefined
}

/** @returns how many were closed */
export function closeDevice(connections: Connections, barred: BarredDevice): number {
  const { tenantId, deviceId, fingerprint } = barred
  return connections.closeWhere(({ open }) => {
    const identity = open?.subject.identity
    if (identity?.kind !== 'device') return undefined
    if (identity.tenantId !== tenantId || identity.deviceId !== deviceId) return undefined
    if (fingerprint !== undefined && identity.certificate?.fingerprint !== fingerprint) {
      return undefined
    }
    open?.forsake('discard')
    return fingerprint === undefined ? 'not_authorised' : 'certificate_revoked'
  })
}

/** Asks again about every certificate that is connected. @returns how many were closed */
export function closeRevoked(connections: Connections): number {
  return connections.closeWhere(({ certificate, listener, open }) => {
    if (certificate === undefined) return undefined
    const state = listener.certificates.stillGood(certificate)
    if (state.good) return undefined
    // Until its last day an expired certificate was good, and so is the Will that came with it.
    if (state.reason === 'expired') return 'certificate_expired'
    const isRevoked = state.reason === 'revoked'
    // Of a CA that is trusted no longer, its devices may come back with certificates of the next; and
    // the Session of an account is no certificate's.
    const identity = open?.subject.identity
    const isItsOwn =
      identity !== undefined && 'certificate' in identity && identity.certificate !== undefined
    open?.forsake(isRevoked && isItsOwn ? 'discard' : 'keep')
    return isRevoked ? 'certificate_revoked' : 'certificate_untrusted'
  })
}

/**
 * Of one listener, the accounts, and devices with an account or a pre-shared key, for whose name in
 * that file `isGone` answers true.
 *
 * @returns how many were closed
 */
export function closeAccounts(
  connections: Connections,
  listener: string,
  isGone: (userName: string) => boolean,
): number {
  return connections.closeWhere((connection) => {
    const identity = connection.open?.subject.identity
    if (connection.listener.name !== listener || identity === undefined) return undefined
    const name = nameInFile(identity)
    return name !== undefined && isGone(name) ? 'not_authorised' : undefined
  })
}

/**
 * After other rules came in force: everyone who would not come in by them as who they are now.
 *
 * @param changed by the listener's name; see ListenerAccess
 * @returns how many were closed
 */
export function closeUnwelcome(
  connections: Connections,
  changed: ReadonlyMap<string, { isChanged(userName: string): boolean }>,
): number {
  return connections.closeWhere(({ listener, open }) => {
    const access = changed.get(listener.name)
    if (open === undefined || access === undefined) return undefined
    const { identity } = open.subject
    const isWelcome = listener.isWelcome(identity, open.presentedName, (name) =>
      access.isChanged(name),
    )
    return isWelcome ? undefined : 'not_authorised'
  })
}

/** Undefined: no file of the listener names it. */
function nameInFile(identity: Identity): string | undefined {
  if (identity.kind === 'account') return identity.userName
  if (identity.kind !== 'device' || identity.certificate !== undefined) return undefined
  return identity.accountName ?? identity.userName
}
