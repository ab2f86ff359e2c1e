/**
 * From an accepted message to the Sessions that want it. Synchronous, so that the order of the calls
 * is the order every subscriber sees [MQTT-4.6.0-6], and a slow subscriber can delay nobody: its
 * Session queues within bounds or drops.
 */
import type { Metrics } from '../core/metrics.ts'
import {
  createMessage,
  type DeliveryOutcome,
  type Message,
  type MessageSource,
  type MemoryStore,
  type RetainedSource,
  type Session,
} from './store/index.ts'

export interface Publication {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  /** Undefined: the broker itself. */
  readonly source?: MessageSource | undefined
}

export class Router {
  readonly #store: MemoryStore
  readonly #metrics: Pick<Metrics, 'publishDropped'>
  readonly #owed: RetainedSource

  constructor(
    store: MemoryStore,
    metrics: Pick<Metrics, 'publishDropped'>,
    options: { readonly checkRetainSource: boolean } = { checkRetainSource: true },
  ) {
    this.#store = store
    this.#metrics = metrics
    const { checkRetainSource } = options
    this.#owed = {
      retained: store.retained,
      mayStillSend: ({ topic, source }) =>
        !checkRetainSource || source?.mayStillPublish(topic) !== false,
      notDelivered: (outcome) => this.#count(outcome),
    }
  }

  /** Retains if asked to, and delivers to every matching Session once. */
  publish(publication: Publication): void {
    const subscribers = this.#store.match(publication.topic)
    if (subscribers.size === 0 && !publication.retain) return
    const message = createMessage(publication)
    if (message.retain) this.#retain(message)
    for (const [session, grantedQos] of subscribers) this.#deliver(session, message, grantedQos)
  }

  /**
   * A new subscription is owed what is retained [MQTT-3.3.1-6], with RETAIN set [MQTT-3.3.1-8]:
   * `session.walkRetained` sends it. A message whose
   * publisher may no longer write there stays where it is, until it may again or is replaced.
   */
  oweRetained(session: Session, filter: string, grantedQos: 0 | 1 | 2): void {
    if (!filter.startsWith('$share/')) session.oweRetained(filter, grantedQos, this.#owed)
  }

  #retain(message: Message): void {
    if (!this.#store.retained.store(message)) {
      this.#metrics.publishDropped.inc({ reason: 'retained_full' })
    }
  }

  #deliver(session: Session, message: Message, grantedQos: 0 | 1 | 2): void {
    this.#count(session.deliver(message, grantedQos, { retained: false }))
  }

  #count(outcome: DeliveryOutcome): void {
    if (outcome !== 'sent' && outcome !== 'queued')
      this.#metrics.publishDropped.inc({ reason: outcome })
  }
}
