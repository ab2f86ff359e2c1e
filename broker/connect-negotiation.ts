/** From a well-formed CONNECT to an identity and a Client Identifier, or to the reason why not. */
import { randomUUID } from 'node:crypto'
import type { BrokerParts } from './broker-parts.ts'
import type { Identity } from './identity/index.ts'
import type { Arrival } from './listeners/arrival.ts'
import type { Listener } from './listeners/listener.ts'
import { clientIdOf, connectRefusal } from './mqtt-rules.ts'
import type { ConnectPacket } from './packets/index.ts'

/** `returnCode` of CONNACK; undefined: the connection is closed without an answer. */
export interface Refusal {
  readonly returnCode: number | undefined
  readonly reason: string
}

export type Negotiation =
  | { readonly accepted: true; readonly identity: Identity; readonly clientId: string }
  | { readonly accepted: false; readonly refusal: Refusal }

/** Rejects only on a bug of ours. */
export async function negotiate(
  packet: ConnectPacket,
  { mqtt }: Pick<BrokerParts, 'mqtt'>,
  listener: Listener,
  { certificate, provenName }: Arrival,
): Promise<Negotiation> {
  const { config } = listener
  const refusal = connectRefusal(packet, config, mqtt)
  if (refusal !== undefined) return refused(refusal)
  const { userName, password } = packet
  const outcome = await listener.authenticate({ certificate, userName, password, provenName })
  if (!outcome.accepted) return refused(outcome)
  const { identity } = outcome
  const naming = clientIdOf(packet, identity, { listener: config, mqtt }, randomUUID())
  if (!('clientId' in naming)) return refused(naming)
  return { accepted: true, identity, clientId: naming.clientId }
}

function refused({ returnCode, reason }: Refusal): Negotiation {
  return { accepted: false, refusal: { returnCode, reason } }
}

/** Into the log, at a bounded rate, and to whoever keeps account of refused certificates. */
export function reportRefusal(
  reason: string,
  packet: ConnectPacket,
  { log, observer, refusals }: Pick<BrokerParts, 'log' | 'observer' | 'refusals'>,
  listener: string,
  { address: peer, certificate }: Arrival,
): void {
  refusals.note(reason, () => {
    const user = certificate?.commonName ?? packet.userName
    const fields = { event: 'connect.refused', reason, listener, peer, user }
    log.warn({ ...fields, clientId: packet.clientId }, `CONNECT refused: ${reason}`)
  })
  if (certificate === undefined) return
  const { fingerprint, commonName } = certificate
  observer?.certificateRefused({ reason, listener, peer, fingerprint, commonName })
}
