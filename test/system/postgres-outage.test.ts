/** The promise: an outage of PostgreSQL disconnects nobody, acknowledges nothing, loses nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { PacketType, encodePublish } from '../../broker/packets/index.ts'
import { deviceClient, environmentOf, runMidge, startMidge } from '../helpers/midge-process.ts'
import { testServer } from '../helpers/postgres.ts'
import type { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const DEVICES = 5
const WINDOW = 20
/** How long PostgreSQL is away: the scenario, not a wait for something to have happened. */
const OUTAGE_MS = 30_000

/** Publishes without end, at most WINDOW unacknowledged. */
class Publisher {
  sent = 0
  acknowledged = 0
  isClosed = false
  readonly #client: RawClient
  readonly #topic: string
  #stopped = false
  readonly #done: Promise<void>

  constructor(client: RawClient, device: string) {
    this.#client = client
    this.#topic = `tenant/acme/device/${device}/telemetry`
    void client.closed.then(() => (this.isClosed = true))
    this.#done = this.#run(device)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  ping(): Promise<void> {
    return this.#client.ping()
  }

  async #run(device: string): Promise<void> {
    while (!this.#stopped || this.acknowledged < this.sent) {
      while (!this.#stopped && this.sent - this.acknowledged < WINDOW) {
        const seq = this.sent++
        const payload = Buffer.from(JSON.stringify({ site_id: 's', seq, metrics: { device } }))
        const packetId = (seq % 60_000) + 1
        this.#client.send(
          encodePublish({
            topic: this.#topic,
            payload,
            qos: 1,
            dup: false,
            retain: false,
            packetId,
          }),
        )
      }
      if (this.acknowledged === this.sent) return
      await this.#client.next(PacketType.PUBACK)
      this.acknowledged++
    }
  }
}

test('PostgreSQL stopped for 30 s under load', { timeout: 180_000 }, async (t) => {
  const data = await scratchDirectory(t)
  const server = await testServer(t)
  const env = { ...environmentOf(server.connection), MIDGE_DATA: data }
  const midge = await startMidge(t, { args: [], env })
  const publishers: Publisher[] = []
  for (let i = 0; i < DEVICES; i++) {
    const device = `d-${i}`
    const issued = await runMidge(t, {
      args: ['pki', 'issue', 'acme', device, '--site', 's'],
      env,
    })
    assert.equal(issued.code, 0, issued.output)
    const client = await deviceClient(t, data, midge.ports.mqtts, { tenant: 'acme', device })
    assert.equal((await client.connect({ clientId: device, keepAlive: 5 })).returnCode, 0)
    publishers.push(new Publisher(client, device))
  }
  const total = (what: 'sent' | 'acknowledged') =>
    publishers.reduce((sum, publisher) => sum + publisher[what], 0)

  await server.stop('immediate')
  await Promise.all(publishers.map((publisher) => publisher.ping()))
  const before = total('acknowledged')
  await delay(OUTAGE_MS)
  await Promise.all(publishers.map((publisher) => publisher.ping()))
  assert.equal(total('acknowledged'), before, 'nothing is acknowledged meanwhile')
  assert.deepEqual(
    publishers.map(({ isClosed }) => isClosed),
    Array.from({ length: DEVICES }, () => false),
  )

  await server.start()
  await Promise.all(publishers.map((publisher) => publisher.stop()))
  assert.deepEqual(
    publishers.map(({ isClosed }) => isClosed),
    Array.from({ length: DEVICES }, () => false),
  )
  assert.equal(total('acknowledged'), total('sent'))
  for (const [i, { sent }] of publishers.entries()) {
    const rows = await server.query('SELECT DISTINCT seq FROM telemetry WHERE device_id = $1', [
      `d-${i}`,
    ])
    assert.equal(rows.length, sent)
  }
})
