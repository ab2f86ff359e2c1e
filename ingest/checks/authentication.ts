import { createHash, timingSafeEqual } from 'node:crypto'
import type { Message } from '../decode.ts'
import type { DeviceRecord } from '../registry/records.ts'
import type { Reason } from '../reasons.ts'

/** What a message has to bring. */
export interface AuthenticationRules {
  /** An active certificate of the device is enough. */
  readonly certAuthEnabled: boolean
  /** Without such a certificate a provision token is needed. */
  readonly requireToken: boolean
}

type Proving = Pick<Message, 'telemetry' | 'isOwn'>

/**
 * AUTH_FAILED: the connection is a device's, and not the one of the topic. Access control sees to that
 * before; should it ever not, nothing that a payload holds makes up for it.
 */
export function identityConflict({ telemetry, isOwn }: Proving): Reason | undefined {
  return telemetry.publisher.kind === 'device' && !isOwn ? 'AUTH_FAILED' : undefined
}

/**
 * The fingerprint to ask about: that of the certificate of the connection, when it is the topic's device. Never one
 * derived from the topic, and none for a user name that came with a password.
 */
export function presentedFingerprint({ telemetry, isOwn }: Proving): string | undefined {
  const { kind, fingerprint } = telemetry.publisher
  return isOwn && (kind === 'device' || kind === 'certificate') ? fingerprint : undefined
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
