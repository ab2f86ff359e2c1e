import type { Origin } from './inbound.ts'
import type { ConnectionObserver, ObservedConnection } from './ports.ts'

interface Parties {
  readonly listener: { readonly name: string }
  readonly peer: { readonly address: string }
  /** Undefined: its client never got as far as an identity, and there is nothing to tell. */
  readonly open: { readonly origin: Origin } | undefined
}

export function observeOpened(observer: ConnectionObserver | undefined, parties: Parties): void {
  const observed = observer === undefined ? undefined : observedOf(parties)
  if (observed !== undefined) observer?.opened(observed)
}

export function observeClosed(
  observer: ConnectionObserver | undefined,
  parties: Parties,
  reason: string,
): void {
  const observed = observer === undefined ? undefined : observedOf(parties)
  if (observed !== undefined) observer?.closed(observed, reason)
}

function observedOf({ listener, peer, open }: Parties): ObservedConnection | undefined {
  if (open === undefined) return undefined
  const { publisher, subject } = open.origin
  const device = subject.identity.kind === 'device' ? subject.identity : undefined
  return {
    tenantId: device?.tenantId,
    deviceId: device?.deviceId,
    publisher,
    listener: listener.name,
    peer: peer.address,
  }
}
