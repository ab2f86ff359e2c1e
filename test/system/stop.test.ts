/** SIGTERM: what was received is stored and acknowledged, nothing new comes in, the end is orderly. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { Client } from 'pg'
import { PacketType, encodePublish } from '../../broker/packets/index.ts'
import { deviceClient, environmentOf, startMidge } from '../helpers/midge-process.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const TOPIC = 'tenant/acme/device/pump-7/telemetry'

test('a stop drains: not ready, no new connection, PUBACKs after COMMIT, exit code 0', async (t) => {
  const data = await scratchDirectory(t)
  const { connection, query } = await testDatabase(t)
  const midge = await startMidge(t, { args: ['--data', data], env: environmentOf(connection) })
  const device = await deviceClient(t, data, midge.ports.mqtts)
  assert.equal((await device.connect({ clientId: 'pump-7' })).returnCode, 0)
  const holder = new Client({ ...connection })
  holder.on('error', () => undefined)
  await holder.connect()
  t.after(() => holder.end())
  await holder.query('BEGIN; LOCK TABLE telemetry IN SHARE MODE')

  const get = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${midge.ports.http}${path}`)
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  }
  assert.equal((await get('/ready')).status, 200)
  const payload = Buffer.from('{"site_id":"north","seq":7}')
  device.send(
    encodePublish({ topic: TOPIC, payload, qos: 1, dup: false, retain: false, packetId: 7 }),
  )
  for (let received: unknown = 0; received !== 1; ) {
    const { body } = await get('/health')
    received = (body['counters'] as Record<string, unknown>)['messages_received']
  }

  const ended = midge.end('SIGTERM')
  for (let status = 200; status === 200; ) {
    const ready = await get('/ready')
    status = ready.status
    if (status === 503) assert.deepEqual(ready.body, { status: 'not_ready', reason: 'draining' })
  }
  assert.equal((await get('/health')).status, 200)
  await refused(midge.ports.mqtts)
  await refused(midge.ports.mqtt)
  assert.deepEqual(await query('SELECT 1 FROM telemetry'), [])
  assert.deepEqual(device.unread, [])

  await holder.query('ROLLBACK')
  const frame = await device.next(PacketType.PUBACK)
  assert.equal(frame.bytes.readUInt16BE(frame.bodyStart), 7)
  assert.deepEqual(await query('SELECT seq::int FROM telemetry'), [{ seq: 7 }])
  await device.closed
  assert.deepEqual(await ended, { code: 0, signal: null })
})

/** Settles once nobody listens there. */
async function refused(port: number): Promise<void> {
  const isOpen = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.on('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.on('error', () => resolve(false))
    })
  while (await isOpen());
}
