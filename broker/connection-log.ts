/** The lines of a connection as a whole: who it is from, how it began and how it ended. */
import type { Log } from '../core/log.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { CloseReason } from './close-reason.ts'
import type { Identity } from './identity/index.ts'
import type { Arrival } from './listeners/arrival.ts'

interface Place {
  readonly listener: {
    readonly name: string
    readonly ports: readonly number[]
    readonly config: { readonly port: number }
  }
  readonly peer: Arrival
  /** The same in all lines of the connection. */
  readonly traceId: string
}

/** For lines before the client is known. */
export function arrivalLog(log: Log, { listener, peer, traceId }: Place): Log {
  const { address, port } = peer
  return log.child({ trace_id: traceId, listener: listener.name, peer: address, peerPort: port })
}

/** For lines of a client that has proved who it is. @param arrival its log until then */
export function clientLog(arrival: Log, identity: Identity, clientId: string): Log {
  const { userName: user } = identity
  if (identity.kind !== 'device') return arrival.child({ user, clientId })
  const { tenantId, deviceId } = identity
  return arrival.child({ user, tenantId, deviceId, clientId })
}

export function noteOpened(log: Log, { listener }: Pick<Place, 'listener'>): void {
  const listenerPort = listener.ports[0] ?? listener.config.port
  log.debug({ event: 'connection.opened', listenerPort }, 'connection opened')
}

export interface Closing {
  readonly reason: CloseReason
  readonly detail: string | undefined
  /** Behind `connect_refused`: one word of a closed set. */
  readonly refusal: string | undefined
  /** Client Identifier of a CONNECT that was refused: a claim. */
  readonly claimedId: string | undefined
  /** There was an identity. */
  readonly isKnown: boolean
  /** CONNACK was out. */
  readonly wasOpen: boolean
}

/** Counts, and writes the line unless `connection_messages false` keeps it. */
export function noteClosed(
  { metrics, mqtt }: Pick<BrokerParts, 'metrics' | 'mqtt'>,
  log: Log,
  { reason, detail, refusal, claimedId, isKnown, wasOpen }: Closing,
): void {
  if (isKnown && refusal === undefined) metrics.sessionsClosed.inc({ reason })
  else metrics.connectsRefused.inc({ reason: refusal ?? reason })
  if (!mqtt.connectionMessages) return
  const isRoutine = reason === 'client_disconnected' || reason === 'connection_lost'
  const claim = claimedId === undefined ? {} : { clientId: claimedId }
  log[wasOpen && !isRoutine ? 'warn' : 'debug'](
    { event: 'connection.closed', reason, detail, refusal, ...claim },
    `connection closed: ${reason}`,
  )
}
