/** The promise: what was acknowledged is a row, whatever happens to us right afterwards. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PacketType, encodePublish } from '../../broker/packets/index.ts'
import { deviceClient, environmentOf, startMidge } from '../helpers/midge-process.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const TOPIC = 'tenant/acme/device/pump-7/telemetry'
const KILLS = 20
const MESSAGES = 200

test(`killed with SIGKILL ${KILLS} times at a PUBACK: every acknowledged message is a row`, async (t) => {
  const data = await scratchDirectory(t)
  const { connection, query } = await testDatabase(t)
  const env = environmentOf(connection)
  for (let round = 0; round < KILLS; round++) {
    const midge = await startMidge(t, { args: ['--data', data], env })
    const device = await deviceClient(t, data, midge.ports.mqtts)
    assert.equal((await device.connect({ clientId: 'pump-7' })).returnCode, 0)
    // Half the rounds are killed somewhere in the middle, half at the very last PUBACK.
    const killAt = round % 2 === 0 ? MESSAGES : 1 + ((round * 37) % MESSAGES)
    const acknowledged = new Set<number>()
    for (let packetId = 1; packetId <= MESSAGES; packetId++) {
      const body = { site_id: 'north', seq: round * MESSAGES + packetId, metrics: { round } }
      const payload = Buffer.from(JSON.stringify(body))
      device.send(
        encodePublish({ topic: TOPIC, payload, qos: 1, dup: false, retain: false, packetId }),
      )
    }
    const take = async () => {
      const frame = await device.next(PacketType.PUBACK)
      acknowledged.add(frame.bytes.readUInt16BE(frame.bodyStart))
    }
    while (acknowledged.size < killAt) await take()
    const killed = midge.end('SIGKILL')
    // What was on its way counts too.
    await device.closed
    while (device.unread.length > 0) await take()
    assert.equal((await killed).signal, 'SIGKILL')
    const rows = await query('SELECT seq FROM telemetry WHERE metrics @> $1', [{ round }])
    const stored = new Set(rows.map((row) => Number(row['seq']) - round * MESSAGES))
    const lost = [...acknowledged].filter((packetId) => !stored.has(packetId))
    assert.deepEqual(lost, [], `round ${round}`)
  }
})
