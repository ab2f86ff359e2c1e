import { deviceNamesOf } from './device-name.ts'
import type { AccountIdentity, DeviceIdentity } from './identity.ts'

/** Why an identity whose key was right names nobody here; closed set. */
export type PskRefusal = 'no_identity' | 'psk_identity'

/**
 * Who the identity of a pre-shared key (RFC 4279 §5.1) stands for. With tenancy, one with a `/` is a
 * device's, `tenant/device` by the rules of a CN, and nobody's if it is not that: an account must not
 * be called like something below a tenant. Without a `/`, and without tenancy, it is an account.
 */
export function pskIdentityOf(
  text: string | undefined,
  tenancy: boolean,
): DeviceIdentity | AccountIdentity | PskRefusal {
  if (text === undefined || text === '') return 'no_identity'
  if (!tenancy || !text.includes('/')) return { kind: 'account', userName: text }
  const names = deviceNamesOf(text)
  if (typeof names === 'string') return 'psk_identity'
  return Object.freeze({ kind: 'device', ...names, certificate: undefined })
}
