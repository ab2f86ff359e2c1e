import assert from 'node:assert/strict'
import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeLayout, makePrivate, openWay } from '../../postgres/directories.ts'
import { RememberingLog } from '../helpers/log.ts'
import {
  ask,
  isRoot,
  scratchDirectory,
  spawnOwner,
  start,
  untilGone,
  usedDirectory,
} from './scratch.ts'

const NOBODY = 65_534
const rootOnly = isRoot ? false : 'only root can be another user'

test('root is told which folder is closed to the account that runs the server', {
  skip: rootOnly,
}, async (t) => {
  const closed = join(await scratchDirectory(t), 'closed')
  await mkdir(closed)
  await chmod(closed, 0o700)
  const directory = join(closed, 'data')
  await assert.rejects(start(t, directory), {
    code: 'EMBEDDED_POSTGRES_UNREACHABLE',
    message: new RegExp(
      `^PostgreSQL refuses to run as root, and the account "(?:postgres|nobody)" that would run it cannot pass through ${closed} \\(mode 0700\\) to ${directory}/postgres: keep the data somewhere else with --data or MIDGE_DATA, start Midge as an ordinary user, or set DATABASE_URL to use a PostgreSQL server of your own$`,
      'u',
    ),
  })
  assert.equal((await stat(closed)).mode & 0o777, 0o700, 'it was not ours to open')
})

test('a data directory of our own is made passable', { skip: rootOnly }, async (t) => {
  const directory = await usedDirectory(t, 'data')
  await chmod(directory, 0o700)
  const { embedded, log } = await start(t, directory)
  assert.equal(log.last('directory.opened')?.['mode'], '0711')
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
})

test('an ordinary user runs the server as itself', { skip: rootOnly }, async (t) => {
  const directory = join(await scratchDirectory(t), 'data')
  await mkdir(directory)
  await chown(directory, NOBODY, NOBODY)
  const owner = spawnOwner(t, directory, { uid: NOBODY, gid: NOBODY })
  const { pid } = await owner.until('ready')
  assert.ok(pid !== undefined)
  assert.equal((await stat(join(directory, 'postgres', 'cluster'))).uid, NOBODY)
  await owner.kill()

  const second = spawnOwner(t, directory, { uid: NOBODY, gid: NOBODY })
  assert.equal((await second.until('ready')).wasTakenOver, true)
  await second.stop()
  await untilGone(pid)

  // Root keeps it as it found it.
  const { embedded } = await start(t, directory)
  assert.equal((await stat(`/proc/${embedded.pid}`)).uid, NOBODY)
  await embedded.stop()
  const third = spawnOwner(t, directory, { uid: NOBODY, gid: NOBODY })
  await third.until('ready')
  await third.stop()
})

test('an ordinary user is told when the data directory is not writable', {
  skip: rootOnly,
}, async (t) => {
  const directory = await scratchDirectory(t)
  const owner = spawnOwner(t, directory, { uid: NOBODY, gid: NOBODY })
  await assert.rejects(owner.until('ready'), {
    message: `cannot keep the database in ${directory}/postgres (EACCES: permission denied, mkdir '${directory}/postgres'): give Midge a data directory that it may write, with --data or MIDGE_DATA, or set DATABASE_URL to use a PostgreSQL server of your own`,
  })
})

test('a home is never made passable, even as the data directory', { skip: rootOnly }, async (t) => {
  const home = join(await scratchDirectory(t), 'home')
  const layout = await makeLayout(home, 0)
  await chmod(home, 0o700)
  const nobody = { name: 'nobody', uid: NOBODY, gid: NOBODY }
  const { log } = new RememberingLog()
  await assert.rejects(openWay(layout, nobody, new Set([home]), log), {
    message: /cannot pass through .*\/home \(mode 0700\)/u,
  })
  assert.equal((await stat(home)).mode & 0o777, 0o700)
  await openWay(layout, nobody, new Set(), log)
  assert.equal((await stat(home)).mode & 0o777, 0o711)
})

test('a private folder is its account’s alone, whatever mode it was given', {
  skip: rootOnly,
}, async (t) => {
  const path = join(await scratchDirectory(t), 'cluster')
  const nobody = { name: 'nobody', uid: NOBODY, gid: NOBODY }
  await makePrivate(path, nobody)
  await chmod(path, 0o2770)
  await makePrivate(path, nobody)
  const found = await stat(path)
  assert.deepEqual([found.uid, found.gid, found.mode & 0o7777], [NOBODY, NOBODY, 0o700])

  await chown(path, 4242, 4242)
  await assert.rejects(makePrivate(path, nobody), {
    code: 'EMBEDDED_POSTGRES_DIRECTORY',
    message: new RegExp(
      `^${path} belongs to uid 4242, and PostgreSQL would run as uid ${NOBODY}: `,
      'u',
    ),
  })
})

test('what root put back from a backup is given to the account', { skip: rootOnly }, async (t) => {
  const path = join(await scratchDirectory(t), 'cluster')
  await mkdir(join(path, 'base', '1'), { recursive: true })
  await writeFile(join(path, 'base', '1', 'x'), '')
  await makePrivate(path, { name: 'nobody', uid: NOBODY, gid: NOBODY })
  for (const inside of ['', 'base', 'base/1', 'base/1/x']) {
    assert.equal((await stat(join(path, inside))).uid, NOBODY, inside)
  }
})
