import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client } from 'pg'
import { findBinaries } from '../../postgres/binaries.ts'
import { makeLayout } from '../../postgres/directories.ts'
import { spawnPostmaster } from '../../postgres/postmaster.ts'
import { ask, defer, isRoot, spawnOwner, start, untilGone, usedDirectory } from './scratch.ts'

test('a server that a killed owner left running is taken over, then stopped', async (t) => {
  const directory = await usedDirectory(t)
  const owner = spawnOwner(t, directory)
  const { pid, connection } = await owner.until('ready')
  assert.ok(pid !== undefined && connection !== undefined)
  await ask(connection, 'CREATE TABLE kept AS SELECT 42 AS n')
  await owner.kill()

  const { embedded } = await start(t, directory)
  assert.equal(embedded.wasTakenOver, true)
  assert.equal(embedded.pid, pid)
  assert.deepEqual(embedded.connection, connection)
  assert.deepEqual(await ask(embedded.connection, 'SELECT n FROM kept'), [[42]])
  await embedded.stop()
  await untilGone(pid)
})

test('a server left running with other settings is replaced, not taken over', async (t) => {
  const directory = await usedDirectory(t)
  const first = await start(t, directory)
  const { pid } = first.embedded
  const { account, layout, binaries } = await internals(directory)
  await first.embedded.stop()
  const other = await spawnPostmaster(
    binaries.postgres,
    ['-D', layout.cluster, '-c', 'listen_addresses=', '-k', layout.socket, '-c', 'fsync=off'],
    { account, cwd: layout.cluster, log: first.log.log },
  )
  defer(t, () => other.signal('SIGKILL'))
  await first.log.until('postgres.logged', {
    msg: 'database system is ready to accept connections',
  })
  await writtenPidFile(layout.cluster, other.pid)

  const { embedded, log } = await start(t, directory)
  assert.equal(embedded.wasTakenOver, false)
  assert.notEqual(embedded.pid, pid)
  assert.equal(log.last('postgres.replaced')?.['pid'], other.pid)
  assert.deepEqual(await ask(embedded.connection, 'SHOW fsync'), [['on']])
  await other.exited
})

test('a server left in a shutdown that waits for its sessions is ended and replaced', async (t) => {
  const directory = await usedDirectory(t)
  const first = await start(t, directory)
  const { pid, connection } = first.embedded
  await first.embedded.leave()
  const client = new Client({ ...connection })
  client.on('error', () => undefined)
  await client.connect()
  process.kill(pid, 'SIGTERM')
  const refused = async () =>
    ask(connection, 'SELECT 1').then(
      () => false,
      () => true,
    )
  while (!(await refused()));

  const { embedded, log } = await start(t, directory)
  assert.equal(embedded.wasTakenOver, false)
  assert.equal(log.last('postgres.replaced')?.['pid'], pid)
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
})

for (const [what, pidOf] of [
  ['that nobody has', async () => 4_194_304],
  ['that another program of the same user has now', sleeper],
] as const) {
  test(`a postmaster.pid with a pid ${what} does not keep the server from starting`, async (t) => {
    const directory = await usedDirectory(t)
    const first = await start(t, directory)
    const { account } = await internals(directory)
    await first.embedded.stop()
    const pid = await pidOf(t, account)
    const path = join(directory, 'postgres', 'cluster', 'postmaster.pid')
    await writeFile(path, `${pid}\n${directory}\n1700000000\n5432\n\n\n  1  2\nready   \n`)
    if (account !== undefined) await chown(path, account.uid, account.gid)

    const { embedded, log } = await start(t, directory)
    assert.equal(embedded.wasTakenOver, false)
    assert.equal(log.last('postgres.crashed')?.['pid'], pid)
    assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
    if (pid !== 4_194_304) assert.ok(process.kill(pid, 0), 'the other program was left alone')
  })
}

/** The account and paths that a start on this directory uses. */
async function internals(directory: string) {
  const layout = await makeLayout(directory, process.geteuid?.())
  const { uid, gid } = await stat(layout.cluster)
  const account = isRoot ? { name: 'server', uid, gid } : undefined
  return { layout, account, binaries: findBinaries(process.platform, process.arch) }
}

async function writtenPidFile(cluster: string, pid: number): Promise<void> {
  for (;;) {
    const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')
    if (text.startsWith(`${pid}\n`)) return
    await new Promise(setImmediate)
  }
}

async function sleeper(
  t: { after(then: () => void): void },
  account: { uid: number; gid: number } | undefined,
): Promise<number> {
  const child = spawn(
    'sleep',
    ['600'],
    account === undefined ? {} : { uid: account.uid, gid: account.gid },
  )
  t.after(() => void child.kill())
  await once(child, 'spawn')
  return child.pid ?? 0
}
