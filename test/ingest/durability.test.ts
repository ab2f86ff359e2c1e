import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Database } from '../../ingest/database.ts'
import { durabilityWarnings } from '../../ingest/durability.ts'
import { testDatabase } from '../helpers/postgres.ts'
import { ingestConfig, openDatabase, openIngest } from './open.ts'

test('each setting that lets a COMMIT get lost has its warning', async (t) => {
  const opened = await openDatabase(t)
  const schema = await opened.schema()
  const sound = { fsync: 'on', commit: 'on', pages: 'on' }
  for (const [settings, expected] of [
    [{ fsync: 'off' }, ['fsync']],
    [{ commit: 'off' }, ['synchronous_commit']],
    [{ pages: 'off' }, ['full_page_writes']],
    [
      { fsync: 'off', commit: 'off', pages: 'off' },
      ['fsync', 'synchronous_commit', 'full_page_writes'],
    ],
    [{ commit: 'local' }, []],
    [{ commit: 'remote_write' }, []],
    [{ commit: 'remote_apply' }, []],
    [{}, []],
  ] as const) {
    const database = { rows: () => Promise.resolve([{ ...sound, ...settings }]) }
    const warnings = await durabilityWarnings(database as unknown as Database, schema)
    assert.deepEqual(
      warnings.map((text) => text.split(' ')[0]),
      expected,
    )
  }
})

test('a start on such a server says so, in the log and to whoever asks', async (t) => {
  const { connection, query } = await testDatabase(t)
  const sound = await openIngest(t, ingestConfig(connection))
  const [settings] = await query(
    `SELECT current_setting('fsync') || current_setting('full_page_writes') AS both`,
  )
  const elsewhere = settings?.['both'] === 'onon' ? 0 : sound.ingest.warnings.length
  assert.equal(sound.ingest.warnings.length, elsewhere)

  const [found] = await query('SELECT current_database() AS name')
  await query(`ALTER DATABASE ${String(found?.['name'])} SET synchronous_commit = off`)
  await query('ALTER TABLE telemetry SET UNLOGGED')
  const { ingest, log } = await openIngest(t, ingestConfig(connection))
  assert.deepEqual(
    ingest.warnings.slice(elsewhere).map((text) => text.split(':')[0]),
    ['synchronous_commit is off', 'table telemetry is UNLOGGED'],
  )
  assert.equal(log.last('durability.missing')?.['level'], 'warn')
})
