/** A client that was let in once, looked at by rules that came in force later. */
import type { AuthenticationRules } from './authentication.ts'
import type { Identity } from './identity/index.ts'

/**
 * Would it be let in now, as who it is? Passwords are not kept, so an account stays only while its
 * line is the one it proved itself by: also a line that stands there for the first time ends it. Of
 * certificates the CRLs are asked, elsewhere.
 *
 * @param presentedName the user name of its CONNECT, which with tenants may be one nobody proved
 * @param isChanged the account's line, or the key of this identity, is gone, new, or another one
 */
export function isStillWelcome(
  identity: Identity,
  presentedName: string | undefined,
  { identityFrom, allowAnonymous, accounts, tenancy }: AuthenticationRules,
  isChanged: (userName: string) => boolean,
): boolean {
  if (identityFrom === 'psk') {
    const hasKey = identity.kind === 'account' || identity.kind === 'device'
    return hasKey && !isChanged(identity.userName)
  }
  // The proxy, or the certificate, is who says it; no file of accounts is asked.
  if (identityFrom !== undefined) return true
  const isUnchanged = (name: string): boolean =>
    accounts?.revisionOf(name) !== undefined && !isChanged(name)
  switch (identity.kind) {
    case 'anonymous':
      return allowAnonymous && (presentedName === undefined || accounts === undefined)
    case 'account':
      if (accounts === undefined) return allowAnonymous && !tenancy
      return isUnchanged(identity.userName)
    case 'device':
      return identity.accountName === undefined || isUnchanged(identity.accountName)
    case 'certificate':
      return true
    default:
      throw new Error('an identity of no known kind')
  }
}
