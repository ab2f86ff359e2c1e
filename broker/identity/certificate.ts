import { deviceId, isId, tenantId } from '../../core/names.ts'
import type { PeerCertificate } from '../ports.ts'
import type { CertificateIdentity, DeviceIdentity } from './identity.ts'

/** Why a certificate that is good in itself names nobody here; closed set. */
export type CertificateRefusal =
  | 'cn_empty'
  | 'cn_too_long'
  | 'cn_forbidden_character'
  | 'cn_without_slash'
  | 'cn_second_slash'
  | 'cn_empty_part'

export type CertificateVerdict =
  | { readonly refused: false; readonly identity: DeviceIdentity | CertificateIdentity }
  | { readonly refused: true; readonly reason: CertificateRefusal }

/** Of `tenant/device`: what `device_certificates.common_name` holds. */
const MAX_DEVICE_NAME = 200
/** Of a user name; X.520 says 64, certificates in the field say more. */
const MAX_USER_NAME = 1024

/**
 * Who a verified client certificate stands for. Tenancy on: its CN is `tenant/device`, two ids that
 * can each be one topic level. Off: its CN is the user name, as Mosquitto's `use_identity_as_username`.
 *
 * The CN is opaque: case counts, nothing is trimmed or normalised.
 */
export function identityOf(certificate: PeerCertificate, tenancy: boolean): CertificateVerdict {
  const { commonName } = certificate
  if (commonName === '') return refuse('cn_empty')
  if (commonName.length > (tenancy ? MAX_DEVICE_NAME : MAX_USER_NAME)) return refuse('cn_too_long')
  return tenancy ? deviceOf(certificate) : userOf(certificate)
}

function deviceOf(certificate: PeerCertificate): CertificateVerdict {
  const { commonName } = certificate
  const slash = commonName.indexOf('/')
  if (slash === -1) return refuse(isId(commonName) ? 'cn_without_slash' : 'cn_forbidden_character')
  const tenant = commonName.slice(0, slash)
  const device = commonName.slice(slash + 1)
  if (device.includes('/')) return refuse('cn_second_slash')
  if (tenant === '' || device === '') return refuse('cn_empty_part')
  if (!isId(tenant) || !isId(device)) return refuse('cn_forbidden_character')
  const identity: DeviceIdentity = Object.freeze({
    kind: 'device',
    userName: commonName,
    tenantId: tenantId(tenant),
    deviceId: deviceId(device),
    topicPrefix: `tenant/${tenant}/device/${device}/`,
    certificate,
  })
  return { refused: false, identity }
}

function userOf(certificate: PeerCertificate): CertificateVerdict {
  const { commonName } = certificate
  if (!isUserName(commonName)) return refuse('cn_forbidden_character')
  const identity: CertificateIdentity = Object.freeze({
    kind: 'certificate',
    userName: commonName,
    certificate,
  })
  return { refused: false, identity }
}

/** Any text but control characters, U+FFFF and lone surrogates; wildcards are the acl_file's care. */
function isUserName(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return text.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f\uffff]/u.test(text)
}

function refuse(reason: CertificateRefusal): CertificateVerdict {
  return { refused: true, reason }
}
