import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QuarantineReview } from '../../ingest/quarantine-review.ts'
import { isEventId, type QuarantineFilter } from '../../ingest/quarantined-message.ts'
import { openDatabase, quarantineRows } from './open.ts'

const ROWS = `
  INSERT INTO quarantine_events (ingested_at, topic, tenant_id, device_id, msg_type, reason, payload) VALUES
    ('2026-03-01T10:00:00Z', 'a', 'acme', 'p1', 'telemetry', 'TOKEN_INVALID', '{"provision_token":"in clear","a":1.10}'),
    ('2026-03-01T11:00:00Z', 'b', 'acme', 'p2', 'telemetry', 'ROW_REJECTED:23514', '{}'),
    ('2026-03-01T12:00:00Z', 'c', 'zeta', 'p1', 'heartbeat', 'ROW_REJECTED:22003', '{}'),
    ('2026-03-01T12:00:00Z', 'd', NULL, NULL, NULL, 'TOKEN_INVALID', '[]')`

test('messages are listed newest first, by tenant, device, reason and time', async (t) => {
  const opened = await openDatabase(t, { prepare: ROWS })
  const review = new QuarantineReview(await quarantineRows(opened))
  const topics = async (filter: Partial<QuarantineFilter>) =>
    (await review.list({ limit: 100, ...filter })).map(({ topic }) => topic).join('')
  assert.equal(await topics({}), 'dcba')
  assert.equal(await topics({ tenantId: 'acme' }), 'ba')
  assert.equal(await topics({ deviceId: 'p1' }), 'ca')
  assert.equal(await topics({ tenantId: 'zeta', deviceId: 'p2' }), '')
  assert.equal(await topics({ reason: 'ROW_REJECTED' }), 'cb')
  assert.equal(await topics({ reason: 'ROW_REJECTED:23514' }), 'b')
  assert.equal(await topics({ reason: 'ROW' }), '')
  assert.equal(await topics({ since: new Date('2026-03-01T11:00:00Z') }), 'dcb')
  assert.equal(await topics({ limit: 2 }), 'dc')
  assert.equal(await topics({ limit: -5 }), 'd')
  assert.equal(await topics({ tenantId: "' OR true --" }), '')
})

test('one message is shown with its payload, a token masked even where somebody wrote it in clear', async (t) => {
  const opened = await openDatabase(t, { prepare: ROWS })
  const review = new QuarantineReview(await quarantineRows(opened))
  const [first] = await review.list({ tenantId: 'acme', deviceId: 'p1', limit: 1 })
  const shown = await review.show(first?.id ?? '')
  assert.deepEqual(
    { ...shown },
    {
      id: first?.id,
      ingestedAt: '2026-03-01T10:00:00.000000Z',
      topic: 'a',
      tenantId: 'acme',
      deviceId: 'p1',
      siteId: null,
      msgType: 'telemetry',
      reason: 'TOKEN_INVALID',
      publisher: null,
      payload: '{"a":1.10,"provision_token":"***"}',
    },
  )
  assert.equal(await review.show('9223372036854775807'), undefined)
})

test('a discarded message is gone, and only that one', async (t) => {
  const opened = await openDatabase(t, { prepare: ROWS })
  const review = new QuarantineReview(await quarantineRows(opened))
  const [first] = await review.list({ limit: 1 })
  assert.equal(await review.discard(first?.id ?? ''), true)
  assert.equal(await review.discard(first?.id ?? ''), false)
  assert.deepEqual(await opened.query('SELECT count(*)::int AS left FROM quarantine_events'), [
    { left: 3 },
  ])
})

test('a table that cannot be reviewed is refused with what it lacks', async (t) => {
  const opened = await openDatabase(t, {
    prepare: 'ALTER TABLE quarantine_events DROP COLUMN id, DROP COLUMN publisher',
  })
  await assert.rejects(quarantineRows(opened), {
    code: 'SCHEMA_UNUSABLE',
    message: /^no column id in table quarantine_events;/u,
  })
  await opened.query('DROP TABLE quarantine_events')
  await assert.rejects(quarantineRows(opened), {
    message: /^there is no table quarantine_events;/u,
  })
})

test('an id is an int64 above 0', () => {
  for (const id of ['', '0', '-1', '01', '1.0', '1e3', ' 1', '9223372036854775808', '1;']) {
    assert.equal(isEventId(id), false, id)
  }
  for (const id of ['1', '9223372036854775807']) assert.equal(isEventId(id), true, id)
})
