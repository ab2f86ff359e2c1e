import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { deviceClient, runMidge } from '../helpers/midge-process.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const turn = () => new Promise((resolve) => setTimeout(resolve, 20))

test('without a file too, -d and --tls-keylog are obeyed, and SIGUSR1 and SIGUSR2 answered', {
  timeout: 60_000,
}, async (t) => {
  const data = join(await scratchDirectory(t), 'data')
  const keys = join(data, '..', 'keys')
  const { code, output } = await runMidge(t, {
    args: ['-d', '--data', data, '--tls-keylog', keys],
    env: { MIDGE_INGEST: 'off', PUID: '7' },
  })
  assert.equal(code, 0)
  const pid = Number(/background as process (\d+) \(kill \1 stops it\)/u.exec(output)?.[1])
  t.after(() => {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // Ended, as it should.
    }
  })
  const log = join(data, 'midge.log')
  const said = () => (existsSync(log) ? readFileSync(log, 'utf8') : '')
  const until = async (pattern: RegExp) => {
    while (!pattern.test(said())) await turn()
  }
  await until(/Simulated devices/u)
  assert.equal(said().includes('PUID is not obeyed without -c'), process.geteuid?.() === 0)
  assert.equal(statSync(log).mode & 0o777, 0o600)
  assert.equal(statSync(keys).mode & 0o777, 0o600)
  const client = await deviceClient(t, data, Number(/mqtts:\/\/localhost:(\d+)/u.exec(said())?.[1]))
  await client.connect({ clientId: 'a' })
  assert.match(readFileSync(keys, 'utf8'), /^CLIENT_TRAFFIC_SECRET_0 /mu)
  process.kill(pid, 'SIGUSR1')
  await until(/^SIGUSR1: .*nothing to write$/mu)
  process.kill(pid, 'SIGUSR2')
  await until(/^SIGUSR2: 1 connections, 1 sessions/mu)
  process.kill(pid, 'SIGTERM')
  await until(/^Stopping …$/mu)
})

test('-d on a directory that cannot be used says so before it goes to the background', async (t) => {
  const { code, output } = await runMidge(t, { args: ['-d', '--data', '/dev/null'] })
  assert.equal(code, 1)
  assert.match(output, /cannot write below the data directory \/dev\/null .*--data DIR/u)
})
