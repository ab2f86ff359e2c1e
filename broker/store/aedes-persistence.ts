/**
 * The aedes-persistence 11 interface over MemoryStore, for an Aedes that does not carry messages.
 *
 * Subscriptions, retained messages and Wills are those of the store. Packets that Aedes itself would
 * queue, and QoS 2 packets it has received, are kept as they are beside their Session, count at its
 * bounds and go with it; the broker sends through Session.deliver and puts nothing there. The
 * interface is complete nevertheless, so that its published tests say whether Aedes can rely on it.
 */
import { Readable } from 'node:stream'
import { OperationalError } from '../../core/errors.ts'
import type {
  AedesAcknowledgement,
  AedesClient,
  AedesPacket,
  AedesSubscription,
} from './aedes-packet.ts'
import { AedesPackets } from './aedes-packets.ts'
import type { MemoryStore } from './memory.ts'
import { createMessage, type Message } from './message.ts'
import type { Session } from './session.ts'

/** What Aedes keeps for one Session and the store has no word for. */
interface Beside {
  /** MQTT 5 options by Topic Filter. */
  readonly subscriptions: Map<string, AedesSubscription>
  readonly packets: AedesPackets
}

export class AedesPersistence {
  readonly #store: MemoryStore
  readonly #beside = new WeakMap<Session, Beside>()
  /** As Aedes gave them, for what a Message does not carry. */
  readonly #packets = new WeakMap<Message, AedesPacket>()
  #broker: { id: string } | undefined

  constructor(store: MemoryStore) {
    this.#store = store
  }

  get broker(): { id: string } | undefined {
    return this.#broker
  }

  /** Aedes insists on an async function. */
  async setup(broker: { id: string }): Promise<void> {
    this.#broker = broker
  }

  /** At a bound the message is not kept, and nobody fails for it. */
  async storeRetained(packet: AedesPacket): Promise<void> {
    const message = messageOf(packet)
    if (this.#store.retained.store(message)) {
      this.#packets.set(message, { ...packet, payload: message.payload })
    }
  }

  createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter])
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#retained(filters))
  }

  *#retained(filters: readonly string[]): Generator<AedesPacket> {
    for (const filter of filters) {
      for (const message of this.#store.retained.match(filter)) yield this.#packetOf(message)
    }
  }

  /** All entries of `subscriptions` are stored: refused ones must not be passed on to here. */
  async addSubscriptions(
    client: AedesClient,
    subscriptions: readonly AedesSubscription[],
  ): Promise<void> {
    const session = this.#sessionOf(client.id)
    for (const subscription of subscriptions) {
      const { topic, qos } = subscription
      if (!this.#store.subscribe(session, topic, qos)) {
        throw new OperationalError(
          'SUBSCRIPTION_REFUSED',
          `cannot store ${JSON.stringify(topic.slice(0, 100))}: malformed, or one too many`,
        )
      }
      this.#besideOf(session).subscriptions.set(topic, { ...subscription })
    }
  }

  async removeSubscriptions(client: AedesClient, filters: readonly string[]): Promise<void> {
    const session = this.#store.sessions.get(client.id)
    if (session === undefined) return
    for (const filter of filters) {
      this.#store.unsubscribe(session, filter)
      this.#besideOf(session).subscriptions.delete(filter)
    }
  }

  async subscriptionsByClient(client: AedesClient): Promise<AedesSubscription[]> {
    const session = this.#store.sessions.get(client.id)
    if (session === undefined) return []
    return [...session.subscriptions].map(([topic, qos]) => ({
      ...this.#besideOf(session).subscriptions.get(topic),
      topic,
      qos,
    }))
  }

  /** Of Sessions that outlive their connection; looks at each, so not for the hot path. */
  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    let subsCount = 0
    let clientsCount = 0
    for (const { clean, subscriptions } of this.#store.sessions.values()) {
      if (clean || subscriptions.size === 0) continue
      clientsCount++
      for (const qos of subscriptions.values()) if (qos > 0) subsCount++
    }
    return { subsCount, clientsCount }
  }

  /** Whose queues a message belongs in: QoS 0 and clean Sessions have none. */
  async subscriptionsByTopic(
    topic: string,
  ): Promise<(AedesSubscription & { readonly clientId: string })[]> {
    const found = []
    for (const { filter, subscriber, qos } of this.#store.subscriptionsTo(topic)) {
      if (qos === 0 || subscriber.clean) continue
      const { subscriptionIdentifier: _, ...rest } =
        this.#besideOf(subscriber).subscriptions.get(filter) ?? {}
      found.push({ ...rest, clientId: subscriber.key, topic: filter, qos })
    }
    return found
  }

  async cleanSubscriptions(client: AedesClient): Promise<void> {
    const session = this.#store.sessions.get(client.id)
    if (session !== undefined) {
      await this.removeSubscriptions(client, [...session.subscriptions.keys()])
    }
  }

  /** @throws OperationalError `QUEUE_FULL` */
  async outgoingEnqueue(to: { readonly clientId: string }, packet: AedesPacket): Promise<void> {
    this.#besideOf(this.#sessionOf(to.clientId)).packets.enqueue(packet)
  }

  async outgoingEnqueueCombi(
    to: readonly { readonly clientId: string }[],
    packet: AedesPacket,
  ): Promise<void> {
    for (const each of to) await this.outgoingEnqueue(each, packet)
  }

  async outgoingUpdate(client: AedesClient, packet: AedesAcknowledgement): Promise<void> {
    if (this.#packetsOf(client)?.update(packet) !== true) throw new Error('no such packet')
  }

  /**
   * Without a Packet Identifier there is nothing to clear. (Aedes 1.2.0 asks for that when it drops
   * a delivery, and packets never sent have none either: the wrong one would go.)
   */
  async outgoingClearMessageId(
    client: AedesClient,
    { messageId }: AedesAcknowledgement,
  ): Promise<AedesPacket | AedesAcknowledgement | undefined> {
    return messageId === undefined ? undefined : this.#packetsOf(client)?.clear(messageId)
  }

  outgoingStream(client: AedesClient): Readable {
    return Readable.from(this.#packetsOf(client)?.outgoing ?? [])
  }

  /** @throws OperationalError `QUEUE_FULL` or `TOO_MANY_INFLIGHT` */
  async incomingStorePacket(client: AedesClient, packet: AedesPacket): Promise<void> {
    const { messageId } = packet
    if (messageId === undefined) throw new Error('a QoS 2 packet has a Packet Identifier')
    this.#besideOf(this.#sessionOf(client.id)).packets.receive(messageId, packet)
  }

  /** Rejects when there is none: that is how Aedes tells a new message from a repeated one. */
  async incomingGetPacket(
    client: AedesClient,
    { messageId }: AedesAcknowledgement,
  ): Promise<AedesPacket> {
    const packet = this.#packetsOf(client)?.received(messageId ?? 0)
    if (packet === undefined) throw new Error('no such packet')
    return packet
  }

  /** Also fine when there is none: of two PUBRELs in one segment the second comes too late. */
  async incomingDelPacket(client: AedesClient, { messageId }: AedesAcknowledgement): Promise<void> {
    if (messageId !== undefined) this.#packetsOf(client)?.forget(messageId)
  }

  async cleanIncoming(client: AedesClient): Promise<void> {
    this.#packetsOf(client)?.forgetAll()
  }

  /** Aedes wants to find its own id and the client's in the packet it passed. */
  async putWill(client: AedesClient, packet: AedesPacket): Promise<void> {
    const will = messageOf(packet)
    this.#store.putWill(client.id, will)
    if (this.#broker !== undefined) packet.brokerId = this.#broker.id
    packet.clientId = client.id
    packet.payload = will.payload
    this.#packets.set(will, packet)
  }

  async getWill(client: AedesClient): Promise<AedesPacket | undefined> {
    const will = this.#store.wills.get(client.id)
    return will && this.#packetOf(will)
  }

  async delWill(client: AedesClient): Promise<AedesPacket | undefined> {
    const will = this.#store.deleteWill(client.id)
    return will && this.#packetOf(will)
  }

  /** The Wills of brokers other than these. */
  streamWill(brokers: object = {}): Readable {
    const wills = [...this.#store.wills.values()].map((will) => this.#packetOf(will))
    return Readable.from(wills.filter(({ brokerId }) => !Object.hasOwn(brokers, brokerId ?? '')))
  }

  /** Who subscribed with exactly this filter. */
  getClientList(filter: string): Readable {
    const sessions = [...this.#store.sessions.values()]
    return Readable.from(
      sessions.filter(({ subscriptions }) => subscriptions.has(filter)).map(({ key }) => key),
    )
  }

  /** The store is its owner's; there is nothing of ours to end. */
  async destroy(): Promise<void> {}

  #sessionOf(key: string): Session {
    return (
      this.#store.sessions.get(key) ??
      this.#store.open(key, { clientId: key, clean: false }).session
    )
  }

  #besideOf(session: Session): Beside {
    let beside = this.#beside.get(session)
    if (beside === undefined) {
      beside = { subscriptions: new Map(), packets: new AedesPackets(session) }
      this.#beside.set(session, beside)
    }
    return beside
  }

  #packetsOf(client: AedesClient): AedesPackets | undefined {
    const session = this.#store.sessions.get(client.id)
    return session === undefined ? undefined : this.#beside.get(session)?.packets
  }

  #packetOf(message: Message): AedesPacket {
    const { topic, payload, qos, retain } = message
    return this.#packets.get(message) ?? { cmd: 'publish', topic, payload, qos, retain }
  }
}

function messageOf({ topic, payload, qos, retain }: AedesPacket): Message {
  return createMessage({
    topic,
    payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
    qos,
    retain,
  })
}
