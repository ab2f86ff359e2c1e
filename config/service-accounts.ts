/**
 * What accounts may do where no acl_file says so. Without tenants that is everything, as in Mosquitto.
 * With tenants it would be everything of every tenant, so it is for the accounts named for it.
 */
import type { SettingValues } from './environment.ts'
import type { Problems } from './problems.ts'
import { GENERAL } from './settings/general.ts'
import type { ListenerConfig, Place } from './types.ts'

/**
 * The same listeners, with the rights of accounts that tenancy leaves, also for the time after a
 * reload without the acl_file; a warning where accounts have fewer than Mosquitto gives them.
 */
export function withServiceAccounts(
  listeners: readonly ListenerConfig[],
  values: SettingValues,
  problems: Problems,
  place: Place,
): readonly ListenerConfig[] {
  const accounts = values.of(GENERAL.serviceAccounts)
  return listeners.map((listener) => {
    if (listener.aclFile === undefined && listener.passwordFile !== undefined) {
      const who = accounts.length === 0 ? 'no account' : `only ${accounts.join(', ')}`
      problems.warn(
        place,
        `Listener ${listener.name} has no acl_file: with tenancy ${who} may publish and subscribe there (MIDGE_SERVICE_ACCOUNTS).`,
      )
    }
    return { ...listener, accountAccess: accounts }
  })
}
