/** What it says has no reader any more: a log collector that ended, a terminal that was closed. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../helpers/free-port.ts'
import { spawnMidge } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

test('a broker whose standard output and error were closed goes on, and ends in order', {
  timeout: 60_000,
}, async (t) => {
  const port = await freePort()
  const file = join(await scratchDirectory(t), 'mosquitto.conf')
  await writeFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\n`)
  // With -v each packet has a line: many chances to fail.
  const midge = spawnMidge(t, { args: ['-v', '-c', file] })
  await midge.printed(/"event":"midge\.running"/u)
  midge.child.stdout?.destroy()
  midge.child.stderr?.destroy()
  for (let round = 0; round < 5; round++) {
    const client = await RawClient.tcp(port)
    await client.connect({ clientId: `c${round}` })
    await client.ping()
    await client.disconnect()
  }
  assert.deepEqual(await midge.end('SIGTERM'), { code: 0, signal: null })
})

test('the demo ends in order when nobody reads it any more', { timeout: 120_000 }, async (t) => {
  const data = join(await scratchDirectory(t), 'data')
  const midge = spawnMidge(t, {
    args: ['demo', '--devices', '2', '--rate', '20', '--data', data],
  })
  await midge.printed(/[1-9]\d* rows committed/u)
  const exited = once(midge.child, 'exit')
  midge.child.stdout?.destroy()
  assert.deepEqual(await exited, [0, null])
})

test('a command whose output nobody reads ends without a word', async (t) => {
  const midge = spawnMidge(t, { args: ['--help'] })
  midge.child.stdout?.destroy()
  const [code, signal] = (await once(midge.child, 'close')) as [number | null, string | null]
  assert.deepEqual({ code, signal, output: midge.output() }, { code: 0, signal: null, output: '' })
})
