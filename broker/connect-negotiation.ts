/** From a well-formed CONNECT to an identity and a Client Identifier, or to the reason why not. */
import { randomUUID } from 'node:crypto'
import { OperationalError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { Applicant, Identity } from './identity/index.ts'
import type { Arrival } from './listeners/arrival.ts'
import type { Listener } from './listeners/listener.ts'
import { clientIdOf, connectRefusal } from './mqtt-rules.ts'
import { MalformedPacket, PacketType, type ConnectPacket, type Frame } from './packets/index.ts'

/** `returnCode` of CONNACK; undefined: the connection is closed without an answer. */
export interface Refusal {
  readonly returnCode: number | undefined
  readonly reason: string
}

export type Negotiation =
  | { readonly accepted: true; readonly identity: Identity; readonly clientId: string }
  | { readonly accepted: false; readonly refusal: Refusal }

/** CONNECT comes first, and once. */
export function assertConnectOnce({ type }: Frame, isFirst: boolean): void {
  if (isFirst === (type === PacketType.CONNECT)) return
  if (isFirst) throw new MalformedPacket('the first packet is not CONNECT [MQTT-3.1.0-1]')
  throw new OperationalError('PROTOCOL_ERROR', 'a second CONNECT [MQTT-3.1.0-2]')
}

/** Rejects only on a bug of ours. @param isGone true: whatever it comes to, nobody waits for it */
export async function negotiate(
  packet: ConnectPacket,
  { mqtt }: Pick<BrokerParts, 'mqtt'>,
  listener: Listener,
  { address, certificate, provenName, isStillProven }: Arrival,
  isGone: Applicant['isGone'],
): Promise<Negotiation> {
  const { config } = listener
  const refusal = connectRefusal(packet, config, mqtt)
  if (refusal !== undefined) return refused(refusal)
  const { userName, password } = packet
  const outcome = await listener.authenticate({
    certificate,
    userName,
    password,
    provenName,
    applicant: { address, isGone },
  })
  if (!outcome.accepted) return refused(outcome)
  // Asked last: whoever is open after this is found when a key is taken away.
  if (isStillProven?.() === false) return refused({ returnCode: 5, reason: 'no_identity' })
  const { identity } = outcome
  const naming = clientIdOf(packet, identity, { listener: config, mqtt }, randomUUID())
  if (!('clientId' in naming)) return refused(naming)
  return { accepted: true, identity, clientId: naming.clientId }
}

function refused({ returnCode, reason }: Refusal): Negotiation {
  return { accepted: false, refusal: { returnCode, reason } }
}

/** The connection whose CONNECT it was; its log says where it came from. */
interface Refused {
  readonly log: Log
  readonly listener: { readonly name: string }
  readonly peer: Arrival
}

/** Into the log, at a bounded rate, and to whoever keeps account of refused certificates. */
export function reportRefusal(
  reason: string,
  packet: ConnectPacket,
  { observer, refusals }: Pick<BrokerParts, 'observer' | 'refusals'>,
  { log, listener, peer }: Refused,
): void {
  const { address, certificate } = peer
  refusals.note(reason, () => {
    const user = certificate?.commonName ?? packet.userName
    const fields = { event: 'connect.refused', reason, user }
    log.warn({ ...fields, clientId: packet.clientId }, `CONNECT refused: ${reason}`)
  })
  if (certificate === undefined) return
  const { fingerprint, commonName } = certificate
  const from = { listener: listener.name, peer: address }
  observer?.certificateRefused({ reason, ...from, fingerprint, commonName })
}

/** The same of a client that is welcome, but for whom there is no Session. @returns the reason */
export function reportUnavailable(
  { code, message }: OperationalError,
  { refusals }: Pick<BrokerParts, 'refusals'>,
  log: Log,
): string {
  const reason = code.toLowerCase()
  refusals.note(reason, () =>
    log.warn({ event: 'connect.refused', reason }, `CONNECT refused: ${message}`),
  )
  return reason
}
