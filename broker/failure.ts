import { OperationalError, messageOf } from '../core/errors.ts'
import type { CloseReason } from './close-reason.ts'
import { ConnectRejected, MalformedPacket } from './packets/index.ts'

/** How a connection ends whose packets could not be served. */
export interface Failure {
  readonly reason: CloseReason
  readonly detail: string
  /** What the client is still owed, and the word for why. */
  readonly rejected?: ConnectRejected
  /** A mistake of ours, to be looked into. */
  readonly isBug?: true
}

/** From whatever was thrown. */
export function failureOf(err: unknown): Failure {
  const detail = messageOf(err)
  if (err instanceof ConnectRejected) return { reason: 'connect_refused', detail, rejected: err }
  if (err instanceof MalformedPacket) {
    return {
      reason: err.code === 'PACKET_TOO_LARGE' ? 'packet_too_large' : 'malformed_packet',
      detail,
    }
  }
  if (err instanceof OperationalError) return { reason: 'protocol_error', detail }
  return { reason: 'internal_error', detail, isBug: true }
}
