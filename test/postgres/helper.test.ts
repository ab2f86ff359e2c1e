import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testDatabase, testServer } from '../helpers/postgres.ts'

test('each test gets an empty database that it owns, and that is gone afterwards', async (t) => {
  const names: string[] = []
  for (const round of [1, 2]) {
    await t.test(`round ${round}`, async (t) => {
      const { query, superuser } = await testDatabase(t)
      await query('CREATE TABLE mine AS SELECT $1::int AS n', [round])
      assert.deepEqual(await query('SELECT n FROM mine'), [{ n: round }])
      const [row] = await query('SELECT current_database() AS name')
      names.push(String(row?.['name']))
      assert.ok(superuser.connectionString ?? superuser.host)
    })
  }
  assert.notEqual(names[0], names[1])
  const { query } = await testDatabase(t)
  assert.deepEqual(await query('SELECT 1 FROM pg_database WHERE datname = ANY($1)', [names]), [])
})

test('a private server is stopped and started in the same place', async (t) => {
  const server = await testServer(t)
  await server.query('CREATE TABLE kept AS SELECT 42 AS n')
  const before = server.pid
  await server.stop('immediate')
  await assert.rejects(server.query('SELECT 1'), { code: /^(?:ENOENT|ECONNREFUSED)$/u })
  await server.start()
  assert.notEqual(server.pid, before)
  assert.deepEqual(await server.query('SELECT n FROM kept'), [{ n: 42 }])
  await server.stop()
  await server.start()
  assert.deepEqual(await server.query('SELECT n FROM kept'), [{ n: 42 }])
})
