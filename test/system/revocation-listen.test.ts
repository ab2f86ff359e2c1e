/** What the database takes away ends a live connection at once: here it is polled once an hour only. */
import assert from 'node:assert/strict'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { deviceClient, environmentOf, runMidge, startMidge } from '../helpers/midge-process.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

test('a row that changes ends the connection it means, and no other, without a poll', async (t) => {
  const data = await scratchDirectory(t)
  const { connection, query } = await testDatabase(t)
  const env = {
    ...environmentOf(connection),
    MIDGE_DATA: data,
    MIDGE_LOG_LEVEL: 'info',
    SETTINGS_POLL_SECONDS: '3600',
  }
  const midge = await startMidge(t, { args: [], env })
  const names = ['pump-1', 'pump-2', 'pump-3', 'pump-4']
  for (const device of names) {
    const issued = await runMidge(t, { args: ['pki', 'issue', 'acme', device], env })
    assert.equal(issued.code, 0, issued.output)
  }
  const connectAs = async (device: string) => {
    const client = await deviceClient(t, data, midge.ports.mqtts, { tenant: 'acme', device })
    t.after(() => client.destroy())
    assert.equal((await client.connect({ clientId: device })).returnCode, 0, device)
    return client
  }
  const [revoked, suspended, byCommand, untouched] = await Promise.all(names.map(connectAs))
  assert.ok(revoked && suspended && byCommand && untouched)
  // As on another machine: the CRL that the command writes there is not the one Midge reads.
  const elsewhere = await scratchDirectory(t)
  await cp(join(data, 'certs'), join(elsewhere, 'certs'), { recursive: true })

  const takeAway = [
    [
      revoked,
      () =>
        query(`UPDATE device_certificates SET status = 'REVOKED', revoked_at = now()
        WHERE common_name = 'acme/pump-1'`),
    ],
    [
      suspended,
      () => query(`UPDATE device_registry SET status = 'SUSPENDED' WHERE device_id = 'pump-2'`),
    ],
    [
      byCommand,
      async () => {
        const args = ['pki', 'revoke', 'acme/pump-3']
        const done = await runMidge(t, { args, env: { ...env, MIDGE_DATA: elsewhere } })
        assert.equal(done.code, 0, done.output)
      },
    ],
  ] as const
  for (const [client, take] of takeAway) {
    await client.ping()
    const began = performance.now()
    await take()
    await client.closed
    t.diagnostic(`closed after ${Math.round(performance.now() - began)} ms`)
    await untouched.ping()
  }
  for (const device of names.slice(0, 3)) await assert.rejects(connectAs(device), device)
})
