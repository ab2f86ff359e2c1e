import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask, processesIn, scratchDirectory, spawnOwner, start, usedDirectory } from './scratch.ts'

const linuxOnly = process.platform === 'linux' ? false : 'reads /proc'

test('a first start makes a durable UTF-8 cluster that only its own users reach', async (t) => {
  const directory = await scratchDirectory(t)
  const { embedded, log } = await start(t, directory)
  const { connection } = embedded

  assert.equal(embedded.wasTakenOver, false)
  assert.match(
    String(log.last('cluster.creating')?.['msg']),
    /^creating the database cluster in \//u,
  )
  const settings = `SELECT name, setting FROM pg_settings WHERE name IN ('fsync',
    'synchronous_commit', 'full_page_writes', 'listen_addresses', 'password_encryption',
    'server_encoding', 'max_connections') ORDER BY name`
  assert.deepEqual(await ask(connection, settings), [
    ['fsync', 'on'],
    ['full_page_writes', 'on'],
    ['listen_addresses', ''],
    ['max_connections', '20'],
    ['password_encryption', 'scram-sha-256'],
    ['server_encoding', 'UTF8'],
    ['synchronous_commit', 'on'],
  ])
  const [locale] = await ask(
    connection,
    `SELECT datlocprovider, datlocale, datcollate, pg_get_userbyid(datdba), rolsuper
     FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user`,
  )
  assert.deepEqual(locale, ['b', 'C.UTF-8', 'C', 'midge', false])
  await assert.rejects(ask({ ...connection, password: '' }, 'SELECT 1'))
  await assert.rejects(ask({ ...connection, password: 'guessed' }, 'SELECT 1'), { code: '28P01' })

  const mode = async (name: string) =>
    ((await stat(join(directory, 'postgres', name))).mode & 0o777).toString(8)
  assert.equal(await mode('credentials.json'), '600')
  assert.equal(await mode('cluster'), '700')
  assert.equal(await mode('socket'), '700')
  const text = JSON.stringify(log.lines)
  assert.ok(!text.includes(connection.password), 'no log line holds the password')
})

test('the next start finds what was stored, and a stop leaves no process', {
  skip: linuxOnly,
}, async (t) => {
  const directory = await scratchDirectory(t)
  const cluster = join(directory, 'postgres', 'cluster')
  const first = await start(t, directory)
  await ask(first.embedded.connection, 'CREATE TABLE kept AS SELECT 42 AS n')
  assert.ok((await processesIn(cluster)).length > 1)
  await first.embedded.stop()
  assert.deepEqual(await processesIn(cluster), [])
  assert.equal(
    first.log.lines.some((line) => line['event'] === 'postgres.lingered'),
    false,
  )

  const second = await start(t, directory)
  assert.equal(second.embedded.wasTakenOver, false)
  assert.equal(second.log.last('cluster.creating'), undefined)
  assert.deepEqual(second.embedded.connection, first.embedded.connection)
  assert.deepEqual(await ask(second.embedded.connection, 'SELECT n FROM kept'), [[42]])
})

test('a database that was dropped is made again', async (t) => {
  const directory = await usedDirectory(t)
  const first = await start(t, directory)
  await ask({ ...first.embedded.connection, database: 'postgres' }, 'DROP DATABASE midge')
  await first.embedded.stop()
  const second = await start(t, directory)
  assert.deepEqual(await ask(second.embedded.connection, 'SELECT 1'), [[1]])
})

test('a second Midge on the same data directory is refused, and the first goes on', async (t) => {
  const directory = await usedDirectory(t)
  const { embedded } = await start(t, directory)
  await assert.rejects(start(t, directory), {
    code: 'EMBEDDED_POSTGRES_IN_USE',
    message: new RegExp(
      `^another Midge \\(pid ${process.pid}, since 20.+Z\\) uses the data directory`,
      'u',
    ),
  })
  await assert.rejects(spawnOwner(t, directory).until('ready'), /^Error: another Midge \(pid/u)
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
})

test('a path too long for a socket gets a loopback port of its own', async (t) => {
  const directory = await usedDirectory(t, 'd'.repeat(100))
  const first = await start(t, directory)
  assert.equal(first.embedded.connection.host, '127.0.0.1')
  assert.notEqual(first.embedded.connection.port, 5432)
  assert.deepEqual(await ask(first.embedded.connection, 'SELECT 1'), [[1]])
  await assert.rejects(ask({ ...first.embedded.connection, password: 'guessed' }, 'SELECT 1'), {
    code: '28P01',
  })
  await first.embedded.leave()
  const second = await start(t, directory)
  assert.equal(second.embedded.wasTakenOver, true)
  assert.deepEqual(second.embedded.connection, first.embedded.connection)
})

test('a directory with spaces, quotes and commas in its name will do', async (t) => {
  const directory = await usedDirectory(t, `it's, "here"`)
  const { embedded } = await start(t, directory)
  assert.deepEqual(await ask(embedded.connection, 'SELECT 1'), [[1]])
  await embedded.leave()
  assert.equal((await start(t, directory)).embedded.wasTakenOver, true)
})

test('credentials that are gone are named, not made up', async (t) => {
  const directory = await usedDirectory(t)
  await (await start(t, directory)).embedded.stop()
  const path = join(directory, 'postgres', 'credentials.json')
  await writeFile(path, '{"postgres": "x"')
  await assert.rejects(start(t, directory), {
    code: 'EMBEDDED_POSTGRES_CREDENTIALS',
    message: `cannot log in to the embedded PostgreSQL without the passwords in ${path} (the file is damaged): put the file back from a backup, or start with an empty data directory (--data or MIDGE_DATA)`,
  })
  await writeFile(path, '{"postgres": "x", "midge": "y"}')
  await assert.rejects(start(t, directory), {
    code: 'EMBEDDED_POSTGRES_CREDENTIALS',
    message: /^the embedded PostgreSQL refuses the password in /u,
  })
})
