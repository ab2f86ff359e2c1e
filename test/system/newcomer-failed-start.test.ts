import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runMidge, startMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

test('a first start that fails leaves no password that nobody has seen', {
  timeout: 60_000,
}, async (t) => {
  const data = join(await scratchDirectory(t), 'data')
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const args = ['--data', data]
  const failed = await runMidge(t, {
    args,
    env: { MIDGE_INGEST: 'off', MIDGE_MQTT_PORT: String(port) },
  })
  assert.equal(failed.code, 1)
  assert.match(
    failed.output,
    new RegExp(`cannot listen on .*, port ${port}: the port is in use`, 'u'),
  )
  assert.doesNotMatch(failed.output, /shown this once/u)
  const midge = await startMidge(t, { args, env: { MIDGE_INGEST: 'off' } })
  assert.match(midge.output(), /password of service_pulse, shown this once: \S+/u)
})
