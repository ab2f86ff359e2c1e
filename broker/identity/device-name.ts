import { deviceId, isId, tenantId, type DeviceId, type TenantId } from '../../core/names.ts'

/** Why a text is not `tenant/device`; closed set. */
export type NameRefusal =
  | 'too_long'
  | 'forbidden_character'
  | 'without_slash'
  | 'second_slash'
  | 'empty_part'

export interface DeviceNames {
  /** `{tenant}/{device}` */
  readonly userName: string
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  /** `tenant/{T}/device/{D}/` */
  readonly topicPrefix: string
}

/** Of `tenant/device`: what `device_certificates.common_name` holds. */
const MAX_LENGTH = 200

/**
 * Takes `tenant/device` apart: two ids that can each be one topic level. The text is opaque: case
 * counts, nothing is trimmed or normalised.
 */
export function deviceNamesOf(text: string): DeviceNames | NameRefusal {
  if (text.length > MAX_LENGTH) return 'too_long'
  const slash = text.indexOf('/')
  if (slash === -1) return isId(text) ? 'without_slash' : 'forbidden_character'
  const tenant = text.slice(0, slash)
  const device = text.slice(slash + 1)
  if (device.includes('/')) return 'second_slash'
  if (tenant === '' || device === '') return 'empty_part'
  if (!isId(tenant) || !isId(device)) return 'forbidden_character'
  return {
    userName: text,
    tenantId: tenantId(tenant),
    deviceId: deviceId(device),
    topicPrefix: `tenant/${tenant}/device/${device}/`,
  }
}
