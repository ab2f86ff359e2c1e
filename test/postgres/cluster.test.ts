import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { clusterExists, reasonIn } from '../../postgres/cluster.ts'
import { ask, scratchDirectory, spawnOwner, start } from './scratch.ts'

test('a first start that was killed half-way is done again', async (t) => {
  const directory = await scratchDirectory(t)
  const owner = spawnOwner(t, directory)
  await owner.until('cluster.creating')
  const base = join(directory, 'postgres')
  while (!(await readdir(base)).some((name) => name.startsWith('unfinished-'))) {
    await new Promise(setImmediate)
  }
  await owner.kill()
  assert.ok(!(await readdir(base)).includes('cluster'))

  const { embedded } = await start(t, directory)
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
  assert.deepEqual((await readdir(base)).sort(), ['cluster', 'credentials.json', 'lock', 'socket'])
})

test('what is no cluster of this version is named, never touched', async (t) => {
  const cluster = join(await scratchDirectory(t), 'cluster')
  assert.equal(await clusterExists(cluster, '18'), false)
  await mkdir(cluster)
  assert.equal(await clusterExists(cluster, '18'), false, 'a mount point made ahead')
  await writeFile(join(cluster, 'PG_VERSION'), '17\n')
  await assert.rejects(clusterExists(cluster, '18'), {
    code: 'EMBEDDED_POSTGRES_CLUSTER',
    message: `${cluster} is not empty and not a PostgreSQL cluster: move it away, or put it back from a backup`,
  })
  await mkdir(join(cluster, 'global'))
  await assert.rejects(clusterExists(cluster, '18'), {
    code: 'EMBEDDED_POSTGRES_VERSION',
    message: `${cluster} was made by PostgreSQL 17, and the one installed here is 18: install the version of Midge that made it and move the data with pg_dump, or set DATABASE_URL to use a PostgreSQL server of your own`,
  })
  assert.equal(await clusterExists(cluster, '17'), true)
  assert.deepEqual(await readdir(cluster), ['PG_VERSION', 'global'])
})

test('a cluster is made in an empty folder that was there before', async (t) => {
  const directory = await scratchDirectory(t)
  await mkdir(join(directory, 'postgres', 'cluster'), { recursive: true })
  const { embedded } = await start(t, directory)
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
})

test('a failed initdb is reported with its reason', () => {
  const output = `running bootstrap script ... 2026-03-01 UTC [7] FATAL:  could not write: No space left on device
child process exited with exit code 1
initdb: removing contents of data directory "/d"`
  assert.equal(
    reasonIn(output),
    'running bootstrap script ... 2026-03-01 UTC [7] FATAL:  could not write: No space left on device',
  )
  assert.equal(reasonIn('initdb: error: no such option\n'), 'initdb: error: no such option')
  assert.equal(reasonIn('a\nb\nc\nd\ne'), 'b; c; d; e')
})
