import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { runMidge, spawnMidge } from '../helpers/midge-process.ts'
import { RawClient } from '../helpers/raw-client.ts'

async function setUp(t: TestContext, conf: (port: number, folder: string) => string) {
  const folder = await mkdtemp(join(tmpdir(), 'midge-conf-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const file = join(folder, 'mosquitto.conf')
  writeFileSync(file, conf(port, folder))
  return { folder, port, file }
}

test('the life of a broker in the lines of Mosquitto, with its pid_file and signals', {
  timeout: 30_000,
}, async (t) => {
  const { folder, port, file } = await setUp(
    t,
    (port, folder) =>
      `listener ${port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\nlog_type all\nlog_timestamp false\npid_file ${folder}/pid\n`,
  )
  const midge = spawnMidge(t, { args: ['-c', file] })
  await midge.printed(/^midge version .+ running$/mu)
  assert.match(
    midge.output(),
    new RegExp(`^midge version \\S+ starting\nConfig loaded from ${file}\\.\n`, 'u'),
  )
  await midge.printed(new RegExp(`^Opening ipv4 listen socket on port ${port}\\.$`, 'mu'))
  assert.equal(readFileSync(join(folder, 'pid'), 'utf8'), String(midge.child.pid))

  const client = await RawClient.tcp(port)
  await client.connect({ clientId: 'pump', keepAlive: 60, userName: 'x' })
  await client.subscribe('a/#', 1)
  const from = '127\\.0\\.0\\.1:\\d+'
  await midge.printed(new RegExp(`^New connection from ${from} on port ${port}\\.$`, 'mu'))
  await midge.printed(
    new RegExp(`^New client connected from ${from} as pump \\(p4, c1, k60, u'x'\\)\\.$`, 'mu'),
  )
  await midge.printed(/^pump 1 a\/#$/mu)
  await client.disconnect()
  await midge.printed(new RegExp(`^Client pump \\[${from}\\] disconnected\\.$`, 'mu'))

  midge.child.kill('SIGUSR1')
  await midge.printed(/^SIGUSR1: .*nothing to write$/mu)
  midge.child.kill('SIGUSR2')
  await midge.printed(/^SIGUSR2: 0 connections, 0 sessions, 0 subscriptions/mu)

  writeFileSync(file, `${readFileSync(file, 'utf8')}max_connections 3\n`)
  midge.child.kill('SIGHUP')
  await midge.printed(/^Warning: these changes wait for a restart: listener .*: maxConnections$/mu)
  writeFileSync(file, 'foo\n')
  midge.child.kill('SIGHUP')
  await midge.printed(
    /^Error: configuration refused, nothing was changed: .*Unknown configuration variable 'foo'/mu,
  )
  writeFileSync(
    file,
    `listener ${port} 127.0.0.1\nallow_anonymous true\nlog_dest file ${folder}/log\nlog_type all\npid_file ${folder}/pid\n`,
  )
  midge.child.kill('SIGHUP')
  const later = await RawClient.tcp(port)
  t.after(() => later.destroy())
  const log = join(folder, 'log')
  const logged = () => (existsSync(log) ? readFileSync(log, 'utf8') : '')
  while (logged() === '') await new Promise((resolve) => setTimeout(resolve, 20))
  await later.connect({ clientId: 'later' })
  // Lines are written aside from the protocol: CONNACK may be here before its line is.
  while (!/^\d+: New client connected from .* as later /mu.test(logged())) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }

  assert.deepEqual(await midge.end('SIGTERM'), { code: 0, signal: null })
  assert.equal(existsSync(join(folder, 'pid')), false)
  assert.match(logged(), /\d+: midge version \S+ terminating\n$/u)
})

test('a pid_file that cannot be written keeps the broker from starting', async (t) => {
  const { file } = await setUp(
    t,
    (port) => `listener ${port}\nallow_anonymous true\npid_file /no/such/pid\n`,
  )
  const { code, output } = await runMidge(t, { args: ['-c', file] })
  assert.equal(code, 1)
  assert.match(output, /cannot write the pid_file \/no\/such\/pid/u)
})

test('a password_file that does not exist is made, and lets nobody in', async (t) => {
  const { file, folder, port } = await setUp(
    t,
    (port, folder) => `listener ${port} 127.0.0.1\npassword_file ${folder}/passwd\n`,
  )
  const midge = spawnMidge(t, { args: ['-c', file] })
  await midge.printed(/midge\.running/u)
  assert.match(midge.output(), /did not exist: created without any account/u)
  assert.equal(statSync(join(folder, 'passwd')).mode & 0o777, 0o600)
  const client = await RawClient.tcp(port)
  t.after(() => client.destroy())
  const { returnCode } = await client.connect({ clientId: 'a', userName: 'u', password: 'p' })
  assert.equal(returnCode, 5)
})

test('-d starts it once more in the background, and --tls-keylog is for its user alone', async (t) => {
  const { file, folder } = await setUp(
    t,
    (port, folder) =>
      `listener ${port}\nallow_anonymous true\npid_file ${folder}/pid\nlog_dest file ${folder}/log\n`,
  )
  const { code } = await runMidge(t, {
    args: ['-c', file, '-d', '--tls-keylog', join(folder, 'keys')],
  })
  assert.equal(code, 0)
  const log = join(folder, 'log')
  const has = (text: string) => existsSync(log) && readFileSync(log, 'utf8').includes(text)
  while (!has(' running\n')) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(statSync(join(folder, 'keys')).mode & 0o777, 0o600)
  process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 'SIGTERM')
  while (!has(' terminating\n')) await new Promise((resolve) => setTimeout(resolve, 20))
})
