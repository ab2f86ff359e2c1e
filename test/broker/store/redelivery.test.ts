/** Connections cut anywhere: what is sent again, in which order, and that nothing is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QoS } from '../../../broker/store/message.ts'
import { QueueBudget } from '../../../broker/store/queue-budget.ts'
import type { Session } from '../../../broker/store/session.ts'
import { FakeLink, LIVE, always, createSession, message, randomNumbers } from './support.ts'

/** What one client has seen and owes, kept from the packets alone. */
class Client {
  readonly link = new FakeLink()
  readonly #session: Session
  readonly #maxInflight: number
  /** By Packet Identifier, in the order first sent. */
  readonly inflight = new Map<number, { topic: string; qos: QoS }>()
  readonly awaitsPubcomp: number[] = []
  readonly received: string[] = []

  constructor(session: Session, maxInflight: number) {
    this.#session = session
    this.#maxInflight = maxInflight
  }

  /** Checks each packet of this connection as it came. */
  read(): void {
    for (const { message: sent, options } of this.link.publishes.splice(0)) {
      const { qos, dup, packetId } = options
      const known = this.inflight.get(packetId)
      assert.equal(dup, known !== undefined, `DUP of ${packetId}`)
      assert.ok(!this.awaitsPubcomp.includes(packetId), `${packetId} is still awaiting PUBCOMP`)
      if (known === undefined) {
        this.inflight.set(packetId, { topic: sent.topic, qos })
        this.received.push(sent.topic)
      } else {
        assert.deepEqual({ topic: sent.topic, qos }, known, `${packetId} sent again`)
      }
    }
    this.link.take()
    assert.ok(this.inflight.size + this.awaitsPubcomp.length <= this.#maxInflight)
  }

  /** The next thing a well-behaved client can do for the `nth` message in flight. */
  acknowledge(nth: number): void {
    const ids = [...this.inflight.keys(), ...this.awaitsPubcomp]
    const id = ids[nth % ids.length]
    if (id === undefined) return
    const known = this.inflight.get(id)
    this.inflight.delete(id)
    if (known === undefined) {
      this.awaitsPubcomp.splice(this.awaitsPubcomp.indexOf(id), 1)
      assert.equal(this.#session.pubcomp(id), 'done')
    } else if (known.qos === 1) {
      assert.equal(this.#session.puback(id), 'done')
    } else {
      this.awaitsPubcomp.push(id)
      assert.equal(this.#session.pubrec(id), 'done')
    }
    this.read()
  }

  /** Cuts the connection and takes the next; exactly what is owed must come, and only that. */
  reconnect(whileAway: () => void = () => undefined): void {
    this.#session.detach()
    whileAway()
    const room = this.#maxInflight - this.inflight.size - this.awaitsPubcomp.length
    const queued = this.#session.queued
    this.#session.attach(this.link, always)
    const again = [...this.inflight].map(([id, { topic, qos }]) => `${qos}+:${topic}#${id}`)
    const owed = [...this.awaitsPubcomp.map((id) => `R#${id}`), ...again]
    assert.deepEqual(this.link.sent.slice(0, owed.length), owed)
    assert.equal(this.link.sent.length - owed.length, Math.min(room, queued))
    this.read()
  }

  get isDone(): boolean {
    return this.inflight.size === 0 && this.awaitsPubcomp.length === 0
  }
}

const MESSAGES = 9

/** Plays the same exchange for each cut: `cutAfter` packets of the client, then a new connection. */
function play(seed: number, maxInflight: number, cutAfter: number): number {
  const random = randomNumbers(seed)
  const budget = new QueueBudget({ maxQueuedBytesTotal: 1e6 })
  const session = createSession({ maxInflightMessages: maxInflight, budget })
  const client = new Client(session, maxInflight)
  session.attach(client.link, always)
  const topics = Array.from({ length: MESSAGES }, (_, i) => `m${i}`)
  for (const topic of topics)
    session.deliver(message(topic, random.below(2) === 0 ? 1 : 2), 2, LIVE)
  client.read()
  let packets = 0
  while (!client.isDone) {
    if (packets === cutAfter) client.reconnect()
    client.acknowledge(random.below(3))
    packets++
  }
  assert.deepEqual(client.received, topics)
  assert.equal(session.isEmpty, true)
  assert.equal(budget.usedBytes, 0)
  return packets
}

for (const maxInflight of [1, 2, 3, 20]) {
  test(`cut at every point of mixed QoS 1 and 2 flows, window ${maxInflight}: the same ids in the same order, nothing lost [MQTT-4.4.0-1]`, () => {
    for (let seed = 1; seed <= 25; seed++) {
      const packets = play(seed, maxInflight, -1)
      assert.ok(packets >= MESSAGES)
      for (let cut = 0; cut < packets; cut++) assert.equal(play(seed, maxInflight, cut), packets)
    }
  })
}

test('PUBREL is sent again in the order in which PUBREC came [MQTT-4.6.0-4]', () => {
  const session = createSession()
  session.attach(new FakeLink(), always)
  for (const topic of ['a', 'b', 'c', 'd']) session.deliver(message(topic, 2), 2, LIVE)
  for (const id of [3, 1]) session.pubrec(id)
  session.detach()
  const link = new FakeLink()
  session.attach(link, always)
  assert.deepEqual(link.sent, ['R#3', 'R#1', '2+:b#2', '2+:d#4'])
})

test('once all is sent again and acknowledged, new messages leave at once', () => {
  const session = createSession()
  session.attach(new FakeLink(), always)
  for (const topic of ['a', 'b']) session.deliver(message(topic), 1, LIVE)
  session.detach()
  const link = new FakeLink()
  session.attach(link, always)
  for (const id of [1, 2]) session.puback(id)
  assert.equal(session.deliver(message('c'), 1, LIVE), 'sent')
  assert.deepEqual(link.topics, ['a', 'b', 'c'])
})

test('an acknowledgement that comes before its message was sent again stops that', () => {
  const session = createSession({ maxSocketBacklogBytes: 1000 })
  session.attach(new FakeLink(), always)
  for (const topic of ['a', 'b', 'c', 'd']) session.deliver(message(topic, 2), 2, LIVE)
  session.detach()
  const link = new FakeLink()
  link.backlogBytes = 5000
  session.attach(link, always)
  assert.deepEqual(link.take(), ['2+:a#1'])
  assert.equal(session.pubrec(2), 'done')
  // One message for each acknowledgement: b has been received, so it is the turn of c.
  assert.deepEqual(link.take(), ['R#2', '2+:c#3'])
})

test('random deliveries, acknowledgements, cuts and slow sockets: in order, once, within bounds', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = randomNumbers(seed)
    const maxInflight = 1 + random.below(5)
    // Some are mostly idle, others mostly full.
    const deliveries = 1 + random.below(5)
    const budget = new QueueBudget({ maxQueuedBytesTotal: 30_000 })
    const limits = {
      maxInflightMessages: maxInflight,
      maxQueuedMessages: 20,
      maxQueuedBytes: 15_000,
    }
    const session = createSession({ ...limits, maxSocketBacklogBytes: 1000, budget })
    const client = new Client(session, maxInflight)
    session.attach(client.link, always)
    const accepted: string[] = []
    const deliver = () => {
      const topic = `m${accepted.length}`
      const payload = 'x'.repeat(random.below(1500))
      const sent = message(topic, random.below(2) === 0 ? 1 : 2, payload)
      const outcome = session.deliver(sent, 2, LIVE)
      if (outcome === 'sent' || outcome === 'queued') accepted.push(topic)
      assert.ok(session.queued <= 20 && session.queuedBytes <= 15_000)
      assert.ok(budget.usedBytes <= 30_000)
      assert.equal(budget.queuedMessages, session.queued)
    }
    for (let step = 0; step < 300; step++) {
      const choice = random.below(10)
      if (choice < deliveries) deliver()
      else if (choice < 8) client.acknowledge(random.below(5))
      else if (choice === 8) client.link.backlogBytes = random.below(2) * 5000
      else {
        client.link.backlogBytes = 0
        client.reconnect(() => {
          for (let i = random.below(4); i > 0; i--) deliver()
        })
      }
      client.read()
    }
    while (!client.isDone) client.acknowledge(0)
    assert.deepEqual(client.received, accepted, `seed ${seed}`)
    assert.equal(session.isEmpty, true, 'no socket event is needed to get to the end')
    assert.deepEqual([budget.usedBytes, budget.queuedMessages], [0, 0])
  }
})
