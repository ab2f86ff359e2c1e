import type { Message, QoS } from './message.ts'

export interface PublishOptions {
  readonly qos: QoS
  readonly dup: boolean
  readonly retain: boolean
  /** 1 to 65 535; 0 with QoS 0, which has none. */
  readonly packetId: number
}

/**
 * The Network Connection of a Session, as the Session sees it. Its functions never throw. They may
 * keep the payload Buffer until it is written, but not the message or the options.
 */
export interface Link {
  /** Bytes not yet taken by the operating system, those of the last call included. */
  readonly backlogBytes: number
  sendPublish(message: Message, options: PublishOptions): void
  sendPubrel(packetId: number): void
}

/** Whether the client behind a Link may be sent a message of this Topic Name, now. */
export type MayReceive = (topic: string) => boolean

/**
 * What became of one delivery; the words after the first three are reasons for logs and metrics.
 *
 * - `sent`: handed to the Link; QoS 1 and 2 stay in flight until acknowledged
 * - `queued`: waits for the window, or for the client to come back
 * - `refused`: the client has no right to this topic
 * - `dropped_absent`: QoS 0 and nobody connected, or the Session is over
 * - `dropped_backlog`: QoS 0 and the socket is at its bound
 * - `dropped_queue_messages`, `dropped_queue_bytes`: the Session's queue is at its bound
 * - `dropped_budget`: the queues of all Sessions together are at theirs
 */
export type DeliveryOutcome =
  | 'sent'
  | 'queued'
  | 'refused'
  | 'dropped_absent'
  | 'dropped_backlog'
  | 'dropped_queue_messages'
  | 'dropped_queue_bytes'
  | 'dropped_budget'

/** `wrong_flow`: the acknowledgement does not belong to the QoS or the state of that message. */
export type AcknowledgementOutcome = 'done' | 'unknown' | 'wrong_flow'
