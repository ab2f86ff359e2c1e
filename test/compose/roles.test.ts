import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client } from 'pg'
import { migrationsDirectory } from '../../ingest/migrate.ts'
import { testServer, type TestConnection } from '../helpers/postgres.ts'
import { composeText } from './files.ts'

const PASSWORD = `it's \\ "quoted"`

/** What psql does to the script: its own commands are carried out, its variable put in as a literal. */
function asServerSees(script: string): string {
  assert.match(script, /^\\getenv iot_password PG_PASS$/mu)
  const literal = ` E'${PASSWORD.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
  return script.replaceAll(/^\\.*$/gmu, '').replaceAll(" :'iot_password'", () => literal)
}

test('the role of compose makes the tables, and can do nothing beyond them', async (t) => {
  const clients: Client[] = []
  const server = await testServer({
    after: (stop) =>
      t.after(async () => {
        for (const client of clients) await client.end()
        await stop()
      }),
  })
  const as = async (to: TestConnection) => {
    const { host, port, user, password, database } = to
    const client = new Client({ host, port, user, password, database })
    await client.connect()
    clients.push(client)
    return client
  }
  const superuser = await as(server.superuser)
  // The image makes it under POSTGRES_DB, owned by its superuser.
  await superuser.query('CREATE DATABASE iotcloud')
  const inIotcloud = await as({ ...server.superuser, database: 'iotcloud' })
  await inIotcloud.query(asServerSees(composeText('postgres', 'roles.sql')))

  const connection = { ...server.connection, user: 'iot', password: PASSWORD, database: 'iotcloud' }
  const iot = await as(connection)
  const { rows } = await iot.query(
    'SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = current_user',
  )
  assert.deepEqual(rows, [
    { rolsuper: false, rolcreatedb: false, rolcreaterole: false, rolbypassrls: false },
  ])
  const refused = [
    'CREATE ROLE other',
    'CREATE DATABASE other',
    `SET ROLE ${server.superuser.user}`,
    "SELECT pg_read_file('/etc/hostname')",
  ]
  for (const statement of refused) {
    await assert.rejects(iot.query(statement), /permission denied/u, statement)
  }

  for (const name of readdirSync(migrationsDirectory()).sort()) {
    if (name.endsWith('.sql')) {
      await iot.query(readFileSync(join(migrationsDirectory(), name), 'utf8'))
    }
  }
  await inIotcloud.query('SET ROLE midge_reader')
  await inIotcloud.query('SELECT FROM telemetry')
  for (const statement of ['DELETE FROM telemetry', 'CREATE TABLE mine (a int)']) {
    await assert.rejects(inIotcloud.query(statement), /permission denied/u, statement)
  }
})
