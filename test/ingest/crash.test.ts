import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testServer } from '../helpers/postgres.ts'
import { message, numbered } from './messages.ts'
import { ingestConfig, openIngest } from './open.ts'

test('what was acknowledged is there after PostgreSQL was killed under load, three times', async (t) => {
  const server = await testServer(t)
  const { ingest } = await openIngest(t, ingestConfig(server.connection, { batchSize: 50 }))
  const acknowledged: number[] = []
  let next = 0
  const over = new AbortController()
  const device = async () => {
    while (!over.signal.aborted) {
      const seq = next++
      // Every tenth is rejected: its place in the quarantine is promised as much as a row.
      await ingest.append(seq % 10 === 9 ? message(`{"seq":${seq}}`) : numbered(seq))
      acknowledged.push(seq)
    }
  }
  const devices = Array.from({ length: 40 }, device)
  const acknowledgedMore = async (than: number) => {
    while (acknowledged.length <= than) await new Promise((resolve) => setImmediate(resolve))
  }

  const atKill: number[][] = []
  for (let round = 0; round < 3; round++) {
    await acknowledgedMore(acknowledged.length + 500)
    await server.stop('immediate')
    atKill.push([...acknowledged])
    while (ingest.ready().ready) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(ingest.ready(), { ready: false, reason: 'db_pool' })
    await server.start()
    const stored = await storedNumbers(server.query)
    assert.deepEqual(
      atKill.flat().filter((seq) => !stored.has(seq)),
      [],
      `acknowledged before kill ${round + 1} and gone`,
    )
    await acknowledgedMore(acknowledged.length + 100)
  }
  over.abort()
  await Promise.all(devices)
  const stored = await storedNumbers(server.query)
  assert.deepEqual(
    acknowledged.filter((seq) => !stored.has(seq)),
    [],
  )
  assert.equal(stored.size, next, 'every message was stored in the end')
  assert.deepEqual(ingest.ready(), { ready: true })
})

async function storedNumbers(
  query: (sql: string) => Promise<Record<string, unknown>[]>,
): Promise<Set<number>> {
  const rows = await query(
    `SELECT seq::int FROM telemetry UNION SELECT (payload->>'seq')::int FROM quarantine_events`,
  )
  return new Set(rows.map(({ seq }) => Number(seq)))
}
