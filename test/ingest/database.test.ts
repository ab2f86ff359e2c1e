import assert from 'node:assert/strict'
import { test } from 'node:test'
import { literal } from '../../ingest/database.ts'
import { openDatabase } from './open.ts'

test('a transaction that is left open is an error, and its connection is used no more', async (t) => {
  const { database, query } = await openDatabase(t)
  const left = database.run(async (client) => {
    await client.query('BEGIN')
    await client.query(`INSERT INTO tenants (tenant_id, name) VALUES ('acme', 'Acme')`)
  })
  await assert.rejects(left, /transaction was left open/)
  assert.equal(database.size, 0)
  assert.deepEqual(await query('SELECT * FROM tenants'), [])
})

test('a statement that fails within a transaction takes its connection along', async (t) => {
  const { database } = await openDatabase(t)
  const failed = database.run(async (client) => {
    await client.query('BEGIN')
    await client.query(`INSERT INTO tenants (tenant_id) VALUES ('acme')`)
  })
  await assert.rejects(failed, { code: '23502' })
  assert.deepEqual(await database.rows('SELECT count(*)::int AS rows FROM tenants'), [{ rows: 0 }])
})

test('a block of statements is one transaction', async (t) => {
  const { database, query } = await openDatabase(t)
  const add = (id: string) => `INSERT INTO tenants (tenant_id, name) VALUES (${literal(id)}, 'x')`
  await database.runBlock(`${add('a')}; ${add('b')}`)
  await assert.rejects(database.runBlock(`${add('c')}; ${add('a')}`), { code: '23505' })
  assert.deepEqual(await query('SELECT tenant_id FROM tenants ORDER BY 1'), [
    { tenant_id: 'a' },
    { tenant_id: 'b' },
  ])
})

test('a server that does not answer is told from one that does', async (t) => {
  const { database } = await openDatabase(t)
  assert.equal(await database.isReachable(), true)
  await database.end()
  assert.equal(await database.isReachable(), false)
})
