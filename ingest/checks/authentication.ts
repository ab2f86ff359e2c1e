import { createHash, timingSafeEqual } from 'node:crypto'
import type { Message } from '../decode.ts'
import { namesDevice } from '../registry/device-key.ts'
import type { CertificateName, DeviceRecord } from '../registry/records.ts'
import type { Reason, Telemetry } from '../telemetry.ts'

/** What a message has to bring. */
export interface AuthenticationRules {
  /** An active certificate of the device is enough. */
  readonly certAuthEnabled: boolean
  /** Without such a certificate a provision token is needed. */
  readonly requireToken: boolean
}

/**
 * AUTH_FAILED: the connection is a device's, and not the one of the topic. Access control sees to that
 * before; should it ever not, nothing that a payload holds makes up for it.
 */
export function identityConflict({ publisher, tenantId, deviceId }: Telemetry): Reason | undefined {
  return publisher.kind === 'device' && !namesDevice(publisher.userName, tenantId, deviceId)
    ? 'AUTH_FAILED'
    : undefined
}

/**
 * The certificate to ask about: that of the connection, when it is the topic's device. Never one
 * derived from the topic, and none for a user name that came with a password.
 */
export function presentedCertificate(telemetry: Telemetry): CertificateName | undefined {
  const { publisher, tenantId, deviceId } = telemetry
  const { kind, fingerprint, userName } = publisher
  if (fingerprint === undefined || (kind !== 'device' && kind !== 'certificate')) return undefined
  return namesDevice(userName, tenantId, deviceId) ? { tenantId, deviceId, fingerprint } : undefined
}

/**
 * TOKEN_NOT_SET_IN_REGISTRY, TOKEN_MISSING, TOKEN_INVALID, in this order. Compares in constant time;
 * a few microseconds, for the hash.
 */
export function tokenProof(
  { token }: Pick<Message, 'token'>,
  { tokenHash }: Pick<DeviceRecord, 'tokenHash'>,
): Reason | undefined {
  if (tokenHash === undefined) return 'TOKEN_NOT_SET_IN_REGISTRY'
  if (token === undefined) return 'TOKEN_MISSING'
  if (token === false) return 'TOKEN_INVALID'
  const found = Buffer.from(createHash('sha256').update(token).digest('hex'))
  const expected = Buffer.from(tokenHash)
  return found.length === expected.length && timingSafeEqual(found, expected)
    ? undefined
    : 'TOKEN_INVALID'
}
