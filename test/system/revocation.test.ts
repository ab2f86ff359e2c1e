/** The promise: revoked means out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceClient, environmentOf, runMidge, startMidge } from '../helpers/midge-process.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

test('a revoked device is cut off and does not come back; others stay', async (t) => {
  const data = await scratchDirectory(t)
  const { connection } = await testDatabase(t)
  const env = { ...environmentOf(connection), MIDGE_DATA: data, MIDGE_LOG_LEVEL: 'info' }
  const midge = await startMidge(t, { args: [], env })
  const issued = await runMidge(t, {
    args: ['pki', 'issue', 'acme', 'pump-8'],
    env,
  })
  assert.equal(issued.code, 0, issued.output)
  const revoked = await deviceClient(t, data, midge.ports.mqtts)
  const other = await deviceClient(t, data, midge.ports.mqtts, { tenant: 'acme', device: 'pump-8' })
  for (const client of [revoked, other]) {
    assert.equal((await client.connect({ clientId: 'x' })).returnCode, 0)
  }

  const done = await runMidge(t, {
    args: ['pki', 'revoke', 'acme/pump-7', '--reason', 'keyCompromise'],
    env,
  })
  assert.equal(done.code, 0, done.output)
  await revoked.closed
  await midge.printed(/certificate_revoked/u)
  await other.ping()

  const again = await deviceClient(t, data, midge.ports.mqtts)
  // Whichever hears of it first: the CRL refuses the handshake, the registry the CONNECT.
  const answer = await again.connect({ clientId: 'x' }).then(
    ({ returnCode }) => returnCode,
    () => 'closed',
  )
  assert.ok(answer === 'closed' || answer === 5, String(answer))
  await midge.printed(/"reason":"revoked"|"connect\.refused","reason":"certificate_revoked"/u)
  await other.ping()
})
