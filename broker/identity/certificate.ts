import type { PeerCertificate } from '../ports.ts'
import { deviceNamesOf, type NameRefusal } from './device-name.ts'
import type { CertificateIdentity, DeviceIdentity } from './identity.ts'

/** Why a certificate that is good in itself names nobody here; closed set. */
export type CertificateRefusal = 'cn_empty' | `cn_${NameRefusal}`

export type CertificateVerdict =
  | { readonly refused: false; readonly identity: DeviceIdentity | CertificateIdentity }
  | { readonly refused: true; readonly reason: CertificateRefusal }

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
  return tenancy ? deviceOf(certificate) : userOf(certificate)
}

function deviceOf(certificate: PeerCertificate): CertificateVerdict {
  const names = deviceNamesOf(certificate.commonName)
  if (typeof names === 'string') return refuse(`cn_${names}`)
  const identity: DeviceIdentity = Object.freeze({ kind: 'device', ...names, certificate })
  return { refused: false, identity }
}

function userOf(certificate: PeerCertificate): CertificateVerdict {
  const { commonName } = certificate
  if (commonName.length > MAX_USER_NAME) return refuse('cn_too_long')
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
