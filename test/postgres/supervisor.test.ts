import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Exit } from '../../postgres/index.ts'
import { ask, spawnOwner, start, usedDirectory } from './scratch.ts'

test('a server killed while we run is reported and started again in the same place', async (t) => {
  const directory = await usedDirectory(t)
  const exits: Exit[] = []
  const { embedded, log } = await start(t, directory, (exit) => exits.push(exit))
  await ask(embedded.connection, 'CREATE TABLE kept AS SELECT 42 AS n')
  const killed = embedded.pid
  process.kill(killed, 'SIGKILL')

  await log.until('postgres.restarted')
  assert.deepEqual(exits, [{ code: null, signal: 'SIGKILL' }])
  assert.notEqual(embedded.pid, killed)
  assert.deepEqual(await ask(embedded.connection, 'SELECT n FROM kept'), [[42]])
  assert.equal(log.last('postgres.exited')?.['pid'], killed)
})

test('a taken over server that is killed is started again too', async (t) => {
  const directory = await usedDirectory(t)
  const owner = spawnOwner(t, directory)
  await owner.until('ready')
  await owner.kill()
  const exits: Exit[] = []
  const { embedded, log } = await start(t, directory, (exit) => exits.push(exit))
  const killed = embedded.pid
  process.kill(killed, 'SIGKILL')
  await log.until('postgres.restarted')
  assert.deepEqual(exits, [{ code: null, signal: null }])
  assert.notEqual(embedded.pid, killed)
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
})

test('a session that outlives the killed server only delays the restart', async (t) => {
  const directory = await usedDirectory(t)
  const { embedded, log } = await start(t, directory)
  const counting = ask(embedded.connection, 'SELECT count(*) FROM generate_series(1, 20000000)')
  counting.catch(() => undefined)
  const active = `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%series(1, 2%' AND state = 'active'
    AND pid <> pg_backend_pid()`
  while ((await ask(embedded.connection, active)).length === 0);
  process.kill(embedded.pid, 'SIGKILL')
  await log.until('postgres.restarted')
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
  await Promise.allSettled([counting])
})

test('stop ends the wait for a server that cannot be started again', async (t) => {
  const directory = await usedDirectory(t)
  const { embedded, log } = await start(t, directory)
  const cluster = join(directory, 'postgres', 'cluster')
  await writeFile(join(cluster, 'postgresql.conf'), 'no_such_setting = 1\n')
  process.kill(embedded.pid, 'SIGKILL')
  const failed = await log.until('postgres.restart_failed')
  assert.match(JSON.stringify(failed['err']), /no_such_setting/u)
  await embedded.stop()
  assert.ok((await readdir(cluster)).includes('PG_VERSION'))
})
