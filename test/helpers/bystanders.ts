/**
 * A broker under attack: two clients exchange numbered messages the whole time, and it must not show.
 * Time stands still unless the test moves it, and what the broker logs as an error fails the test.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { encodePublish } from '../../broker/packets/index.ts'
import { createLog } from '../../core/log.ts'
import { startBroker, type TestBroker, type TestBrokerOptions } from './broker.ts'
import { FakeClock } from './clock.ts'

const SWEEP_MS = 1000

/** A PUBLISH as it stands on the wire. */
export const publishBytes = (
  topic: string,
  payload: Uint8Array | string,
  qos: 0 | 1 | 2,
  packetId = 1,
) =>
  encodePublish({
    topic,
    payload: Buffer.from(payload),
    qos,
    dup: false,
    retain: false,
    packetId,
  })

/** A publisher and a subscriber that exchange numbered QoS 1 messages until told to stop. */
async function startBystanders({ client }: TestBroker) {
  const subscriber = await client('bystander-subscriber')
  await subscriber.subscribe('bystander/#', 1)
  const publisher = await client('bystander-publisher')
  const stopping = new AbortController()
  let sent = 0
  const sending = (async () => {
    while (!stopping.signal.aborted) {
      await publisher.publish('bystander/n', `${++sent}`, { qos: 1 })
      // At a pace that leaves the machine to those the test is about.
      for (let turn = 0; turn < 5; turn++) await nextTurn()
    }
    await publisher.publish('bystander/n', 'end', { qos: 1 })
  })()
  const received: string[] = []
  const receiving = (async () => {
    for (;;) {
      const text = String((await subscriber.receive()).payload)
      if (text === 'end') return
      received.push(text)
    }
  })()
  return {
    subscriber,
    publisher,
    /** Every message came, once and in order. @returns how many */
    async stop(): Promise<number> {
      stopping.abort()
      await Promise.all([sending, receiving])
      assert.deepEqual(
        received,
        Array.from({ length: sent }, (_, i) => `${i + 1}`),
      )
      return sent
    },
  }
}

/** A broker whose time the test moves, with bystanders; what it logs as an error fails the test. */
export async function startWithBystanders(t: TestContext, options: TestBrokerOptions = {}) {
  const clock = new FakeClock()
  const errors: string[] = []
  const log = createLog({
    level: 'error',
    service: 'test',
    destination: { write: (line) => errors.push(line) },
  })
  const started = await startBroker(t, { clock, log, ...options })
  t.after(() => assert.deepEqual(errors, []))
  const bystanders = await startBystanders(started)
  const { metrics } = started
  const valueOf = async (name: 'connectionsOpen' | 'sessionsOpen' | 'sessionsStored') =>
    (await metrics[name].get()).values[0]?.value
  /** What the broker says of itself once it has noticed that all others are gone. */
  const counts = async () => {
    // What a client sent before it hung up may still be served once its socket is gone.
    const areGone = async () =>
      (await valueOf('connectionsOpen')) === 2 && started.broker.counts().connections === 2
    while (!(await areGone())) await nextTurn()
    clock.advance(SWEEP_MS)
    return { connections: await valueOf('sessionsOpen'), sessions: await valueOf('sessionsStored') }
  }
  /** Every reason for which a connection was closed or not let in. */
  const reasons = async () => {
    const [closed, refused] = [
      await metrics.sessionsClosed.get(),
      await metrics.connectsRefused.get(),
    ]
    return new Set([...closed.values, ...refused.values].map(({ labels }) => labels.reason))
  }
  return { ...started, clock, bystanders, counts, reasons }
}

/** What `counts` gives when nothing is left over. */
export const ONLY_BYSTANDERS = { connections: 2, sessions: 2 }
