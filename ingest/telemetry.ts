/** What comes in, what is stored, and what happens to a message that may not be stored. */
import type { DeviceId, TenantId } from '../core/names.ts'
import type { Reason } from './reasons.ts'
import type { Timestamp } from './timestamp.ts'

/**
 * One message as it was taken in. `payload` is kept until the record settles: its owner must not
 * reuse the bytes before that.
 */
export interface Telemetry {
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  /** Level 5 of the topic. */
  readonly msgType: string
  readonly topic: string
  readonly payload: Buffer
  /** 0: the sender will not send it again, so that a record turned away is lost and counted. */
  readonly qos: 0 | 1 | 2
  /** Milliseconds since 1970. */
  readonly receivedAt: number
  readonly publisher: Publisher
}

/** Who sent it: the identity of the connection, never taken from topic or payload. */
export interface Publisher {
  readonly kind: 'device' | 'certificate' | 'account' | 'anonymous'
  readonly userName: string | undefined
  readonly clientId: string
  /** SHA-256 of the certificate presented, lower-case hex. */
  readonly fingerprint: string | undefined
}

/** A message that access control turned away before it came here. */
export interface Denied {
  /** Of the connection, never of the topic. */
  readonly tenantId: TenantId | undefined
  readonly deviceId: DeviceId | undefined
  readonly topic: string
  readonly payload: Buffer
  readonly publisher: Publisher
}

/** One row of table `telemetry`. */
export interface Row {
  readonly tenantId: string
  readonly deviceId: string
  readonly siteId: string
  readonly msgType: string
  readonly time: Timestamp
  /** Within int64; a number only when it is a safe integer. */
  readonly seq: number | bigint | null
  /** The JSON text of an object, UTF-8, as it was sent. */
  readonly metrics: Uint8Array
  readonly publisher: Publisher
  /** A row with the same time and key is not stored a second time. Text of a uuid. */
  readonly messageKey?: string
}

/** Degrees as they were sent; finite, not otherwise checked. */
export interface Location {
  readonly latitude: number
  readonly longitude: number
}

/** A message on its way to the quarantine. */
export interface Rejection {
  readonly reason: Reason
  readonly topic: string
  readonly tenantId: string | undefined
  readonly deviceId: string | undefined
  readonly msgType: string | undefined
  readonly payload: Buffer
  /** Milliseconds since 1970. */
  readonly receivedAt: number
  readonly publisher: Publisher
  /** Text of what was thrown, for INGEST_EXCEPTION. */
  readonly error?: string
  /** Beyond the sender's rate: counted and logged, not written. */
  readonly isCountedOnly?: true
}

/** The rejection of a message that came in as telemetry. BAD_TOPIC_FORMAT has no tenant by rule. */
export function rejectionOf(telemetry: Telemetry, reason: Reason, error?: string): Rejection {
  const named = reason !== 'BAD_TOPIC_FORMAT'
  return {
    reason,
    topic: telemetry.topic,
    tenantId: named ? telemetry.tenantId : undefined,
    deviceId: named ? telemetry.deviceId : undefined,
    msgType: named ? telemetry.msgType : undefined,
    payload: telemetry.payload,
    receivedAt: telemetry.receivedAt,
    publisher: telemetry.publisher,
    ...(error === undefined ? {} : { error }),
  }
}

/**
 * The identity as one text for a column: `device:<fingerprint>`, `certificate:<fingerprint>`,
 * `account:<user name>` or `anonymous:<Client Identifier>`. The kind comes first and no kind holds a
 * colon, so that no name can read like another kind's.
 */
export function publisherText(publisher: Publisher): string {
  const { kind, fingerprint, userName, clientId } = publisher
  // A device without a certificate by its name, which has a slash and is no fingerprint.
  if (kind === 'device') return `${kind}:${fingerprint ?? userName ?? ''}`
  if (kind === 'certificate') return `${kind}:${fingerprint ?? ''}`
  return `${kind}:${kind === 'account' ? (userName ?? '') : clientId}`
}
