/**
 * SUBSCRIBE and UNSUBSCRIBE (MQTT 3.1.1 §3.8, §3.10), one Topic Filter per step: 10 000 of them in a
 * packet, each owed retained messages, would otherwise keep everybody waiting.
 */
import type { Log } from '../core/log.ts'
import { maySubscribe } from './access/index.ts'
import type { BrokerParts } from './broker-parts.ts'
import type { Origin } from './inbound.ts'
import {
  encodeSuback,
  encodeUnsuback,
  parseSubscribe,
  parseUnsubscribe,
  type Frame,
} from './packets/index.ts'
import type { Session } from './store/index.ts'

/** SUBACK's return code for a filter that is refused (MQTT 3.1.1 §3.9.3). */
const REFUSED = 0x80

export interface Subscriber {
  readonly session: Session
  readonly origin: Origin
  readonly maxQos: 0 | 1 | 2
  readonly parts: Pick<BrokerParts, 'store' | 'router'>
  readonly log: Log
  write(bytes: Buffer): void
}

/**
 * Grants or refuses each filter, then sends SUBACK, then what is retained, as far as it goes out at
 * once: the rest follows as the client takes it, and its packets are served meanwhile.
 *
 * @returns the step; false: it was the last
 * @throws MalformedPacket
 */
export function subscribing(frame: Frame, subscriber: Subscriber): () => boolean {
  const { session, origin, maxQos, parts, log } = subscriber
  const { packetId, subscriptions } = parseSubscribe(frame)
  const granted: number[] = []

  const grantNext = (): boolean => {
    const wanted = subscriptions[granted.length]
    if (wanted === undefined) return false
    const filter = origin.mountPoint.filterIn(wanted.topic)
    const qos = wanted.qos < maxQos ? wanted.qos : maxQos
    const isAllowed = maySubscribe(origin.subject, filter, origin.policy.rules).allowed
    if (isAllowed && parts.store.subscribe(session, filter, qos)) {
      log.debug({ event: 'subscription.granted', filter, qos }, 'subscription granted')
      granted.push(qos)
      parts.router.oweRetained(session, filter, qos)
    } else {
      log.debug({ event: 'subscription.refused', filter, qos }, 'subscription refused')
      granted.push(REFUSED)
    }
    if (granted.length === subscriptions.length) subscriber.write(encodeSuback(packetId, granted))
    return true
  }

  return () => grantNext() || session.walkRetained()
}

/** Takes back each filter, then sends UNSUBACK; otherwise as `subscribing`. */
export function unsubscribing(frame: Frame, subscriber: Subscriber): () => boolean {
  const { session, origin, parts, log } = subscriber
  const { packetId, topics } = parseUnsubscribe(frame)
  let next = 0
  return () => {
    const topic = topics[next++]
    if (topic !== undefined) {
      const filter = origin.mountPoint.filterIn(topic)
      const wasInForce = parts.store.unsubscribe(session, filter)
      log.debug({ event: 'subscription.ended', filter, wasInForce }, 'subscription ended')
    }
    if (next < topics.length) return true
    subscriber.write(encodeUnsuback(packetId))
    return false
  }
}
