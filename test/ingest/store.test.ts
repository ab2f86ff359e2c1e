import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sqlstateOf } from '../../ingest/sqlstate.ts'
import { TelemetryStore } from '../../ingest/store.ts'
import type { Row } from '../../ingest/telemetry.ts'
import { parseTimestamp } from '../../ingest/timestamp.ts'
import { publisher } from './messages.ts'
import { openDatabase, type OpenedDatabase } from './open.ts'

function row(changes: Partial<Row> = {}): Row {
  return {
    tenantId: 'acme',
    deviceId: 'pump-7',
    siteId: 'north',
    msgType: 'telemetry',
    time: { ms: 0, us: 0 },
    seq: 0,
    metrics: Buffer.from('{}'),
    publisher,
    ...changes,
  }
}

const TEXTS = [
  'plain',
  'Zürich, 日本語, 😀, \u2028',
  `'quotes' "double" \\back\\slash $$ E'\\n' --`,
  '\t\r\n\b\f\v\u0001\u007f\u0085',
  '\\N',
  '\\.',
  '{"a":1}',
  '\ufeff\ufffe\uffff',
  'e\u0301',
  ' leading and trailing ',
  'é'.repeat(47),
  'x'.repeat(48),
  'x'.repeat(49),
  'x'.repeat(47) + 'é',
  '😀'.repeat(5000),
]

const TIMES = [
  '0001-01-01T00:00:00Z',
  '1582-10-15T12:00:00.000001Z',
  '1969-12-31T23:59:59.999999Z',
  '1970-01-01T00:00:00Z',
  '1999-12-31T23:59:59.999999Z',
  '2000-01-01T00:00:00Z',
  '2026-02-09T09:15:23.123456Z',
  '2038-01-19T03:14:08.000999Z',
  '2286-11-20T17:46:40.123001Z',
  '9999-12-31T23:59:59.999999Z',
]

const SEQS: readonly Row['seq'][] = [
  null,
  0,
  1,
  -1,
  4_294_967_295,
  4_294_967_296,
  -4_294_967_296,
  -4_294_967_297,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  9_007_199_254_740_993n,
  -9_007_199_254_740_993n,
  9_223_372_036_854_775_807n,
  -9_223_372_036_854_775_808n,
]

const METRICS = [
  '{}',
  '{"a":0.1000000000000000055,"b":12345678901234567890123456789,"c":1.0,"d":1.00e2,"e":-0.0}',
  '{"a":1e308,"b":1e-400,"c":-1.5E-7,"d":0.30000000000000004}',
  '{"s":"\\u00e9\\ud83d\\ude00 \\" \\\\ \\/ \\b\\f\\n\\r\\t","é😀":"é😀"}',
  '{"__proto__":{"a":1},"constructor":null,"":[]}',
  '{"a":1,"b":2,"a":3}',
  ' { "a" : [ true , false , null , [ ] , { } ] } ',
  `{"deep":${'['.repeat(99)}1${']'.repeat(99)}}`,
  `{"long":"${'x'.repeat(100_000)}"}`,
]

function corpus(): Row[] {
  return [
    ...TEXTS.map((text) => row({ siteId: text, msgType: text })),
    ...TEXTS.filter((text) => text.length < 100).map((text) =>
      row({ tenantId: text, deviceId: text }),
    ),
    ...TIMES.map((text) => row({ siteId: text, time: parseTimestamp(text) ?? assert.fail(text) })),
    ...SEQS.map((seq) => row({ siteId: String(seq), seq })),
    ...METRICS.map((text) => row({ siteId: text, metrics: Buffer.from(text) })),
    row({
      publisher: { kind: 'account', userName: "o'neill", clientId: 'c', fingerprint: undefined },
    }),
    row({
      publisher: {
        kind: 'anonymous',
        userName: undefined,
        clientId: 'c:1',
        fingerprint: undefined,
      },
    }),
  ]
}

const READ = `SELECT tenant_id, device_id, site_id, msg_type, seq::text, metrics::text, publisher,
  to_char("time" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM telemetry
  ORDER BY ctid`

/** What PostgreSQL makes of the metrics by itself, from the very text that was sent. */
async function asJsonb({ query }: OpenedDatabase, rows: readonly Row[]): Promise<unknown[]> {
  const sent = rows.map(({ metrics }) => Buffer.from(metrics).toString())
  const read = await query(
    'SELECT t::jsonb::text AS metrics FROM unnest($1::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n',
    [sent],
  )
  return read.map(({ metrics }) => metrics)
}

async function checkRoundTrip(opened: OpenedDatabase, store: TelemetryStore): Promise<void> {
  const rows = corpus()
  await store.insert(rows)
  const expected = await asJsonb(opened, rows)
  const found = await opened.query(READ)
  assert.equal(found.length, rows.length)
  for (const [i, sent] of rows.entries()) {
    const { at, ...rest } = found[i] ?? {}
    assert.deepEqual(rest, {
      tenant_id: sent.tenantId,
      device_id: sent.deviceId,
      site_id: sent.siteId,
      msg_type: sent.msgType,
      seq: sent.seq === null ? null : String(sent.seq),
      metrics: expected[i],
      publisher:
        sent.publisher === publisher
          ? `device:${'ab'.repeat(32)}`
          : { account: "account:o'neill", anonymous: 'anonymous:c:1' }[
              sent.publisher.kind as 'account'
            ],
    })
    if (TIMES.includes(sent.siteId)) {
      assert.equal(
        at,
        sent.siteId.includes('.') ? sent.siteId : sent.siteId.replace('Z', '.000000Z'),
      )
    }
  }
}

test('a row is read back as it was given, by COPY', async (t) => {
  const opened = await openDatabase(t)
  const schema = await opened.schema()
  assert.equal(schema.telemetryTakesBinary, true)
  await checkRoundTrip(opened, new TelemetryStore(opened.database, schema, opened.log.log))
  assert.equal(opened.log.last('copy.refused'), undefined)
})

test('a row is read back as it was given, by INSERT', async (t) => {
  const opened = await openDatabase(t)
  const schema = { ...(await opened.schema()), telemetryTakesBinary: false }
  await checkRoundTrip(opened, new TelemetryStore(opened.database, schema, opened.log.log))
})

test('a table without our column takes rows without it', async (t) => {
  const opened = await openDatabase(t, { prepare: 'ALTER TABLE telemetry DROP COLUMN publisher' })
  const schema = await opened.schema()
  assert.equal(schema.telemetryHasPublisher, false)
  for (const telemetryTakesBinary of [true, false]) {
    const store = new TelemetryStore(
      opened.database,
      { ...schema, telemetryTakesBinary },
      opened.log.log,
    )
    await store.insert([row({ seq: telemetryTakesBinary ? 1 : 2 })])
  }
  assert.deepEqual(await opened.query('SELECT seq::int FROM telemetry ORDER BY 1'), [
    { seq: 1 },
    { seq: 2 },
  ])
})

test('columns of other types take rows by INSERT', async (t) => {
  const opened = await openDatabase(t, {
    prepare: `ALTER TABLE telemetry ALTER seq TYPE integer, ALTER tenant_id TYPE varchar(50),
              ADD COLUMN ingested_at timestamptz DEFAULT now()`,
  })
  const schema = await opened.schema()
  assert.equal(schema.telemetryTakesBinary, false)
  await new TelemetryStore(opened.database, schema, opened.log.log).insert([row({ seq: 7 })])
  assert.deepEqual(
    await opened.query('SELECT seq, ingested_at IS NOT NULL AS stamped FROM telemetry'),
    [{ seq: 7, stamped: true }],
  )
})

test('a column that changes its type under a running store costs one try, not a row', async (t) => {
  const opened = await openDatabase(t)
  const store = new TelemetryStore(opened.database, await opened.schema(), opened.log.log)
  await store.insert([row({ seq: 1 })])
  await opened.query('ALTER TABLE telemetry ALTER seq TYPE integer')
  await store.insert([row({ seq: 2 })])
  assert.deepEqual(await opened.query('SELECT seq FROM telemetry ORDER BY 1'), [
    { seq: 1 },
    { seq: 2 },
  ])
  assert.equal(opened.log.last('copy.refused')?.['level'], 'warn')
})

test('a table with row-level security takes rows by INSERT, and COPY is not tried again', async (t) => {
  const opened = await openDatabase(t, {
    prepare: `ALTER TABLE telemetry ENABLE ROW LEVEL SECURITY;
              ALTER TABLE telemetry FORCE ROW LEVEL SECURITY;
              CREATE POLICY own ON telemetry USING (tenant_id = 'acme')`,
  })
  const [role] = await opened.query(
    'SELECT rolsuper OR rolbypassrls AS exempt FROM pg_roles WHERE rolname = current_user',
  )
  if (role?.['exempt'] === true) return t.skip('this role is exempt from row-level security')
  const store = new TelemetryStore(opened.database, await opened.schema(), opened.log.log)
  await store.insert([row({ seq: 1 })])
  await store.insert([row({ seq: 2 })])
  assert.deepEqual(await opened.query('SELECT seq::int FROM telemetry ORDER BY 1'), [
    { seq: 1 },
    { seq: 2 },
  ])
  assert.equal(opened.log.lines.filter((line) => line['event'] === 'copy.refused').length, 1)
  await assert.rejects(store.insert([row({ tenantId: 'other' })]), { code: '42501' })
})

test('a COPY that is refused stores nothing, names the row, and leaves the connection usable', async (t) => {
  const opened = await openDatabase(t, { prepare: 'ALTER TABLE telemetry ADD CHECK (seq <> 617)' })
  const store = new TelemetryStore(opened.database, await opened.schema(), opened.log.log)
  const rows = Array.from({ length: 1000 }, (_, seq) => row({ seq }))
  const failure = await store.insert(rows).then(
    () => assert.fail('the constraint was not looked at'),
    (err: unknown) => err,
  )
  assert.equal(sqlstateOf(failure), '23514')
  assert.equal(TelemetryStore.suspectOf(failure), 617)
  assert.deepEqual(await opened.query('SELECT count(*)::int AS rows FROM telemetry'), [{ rows: 0 }])
  const before = opened.database.size
  await store.insert(rows.slice(0, 617))
  assert.equal(opened.database.size, before)
  assert.deepEqual(await opened.query('SELECT count(*)::int AS rows FROM telemetry'), [
    { rows: 617 },
  ])
})

test('the row an error names is found in its context, in any language', () => {
  for (const [where, expected] of [
    ['COPY telemetry, line 1', 0],
    ['COPY telemetry, line 17, column metrics: "x 99"', 16],
    ['COPY telemetry, ligne 17', 16],
    ['PL/pgSQL function check_row() line 5 at RAISE\nCOPY telemetry, line 3', 2],
    ['PL/pgSQL function check_row() line 5 at RAISE', undefined],
    ['Kontext 5', undefined],
    ['', undefined],
  ] as const) {
    assert.equal(TelemetryStore.suspectOf({ where }), expected, where)
  }
  for (const thrown of [undefined, null, 'x', new Error('x'), {}]) {
    assert.equal(TelemetryStore.suspectOf(thrown), undefined)
  }
})

test('a statement that takes too long is cancelled, and the setting stays in its transaction', async (t) => {
  const opened = await openDatabase(t, {
    timeoutMs: 100,
    prepare: `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN IF NEW.seq = 9 THEN PERFORM pg_sleep(30); END IF; RETURN NEW; END $$;
              CREATE TRIGGER slow BEFORE INSERT ON telemetry FOR EACH ROW EXECUTE FUNCTION slow()`,
  })
  const store = new TelemetryStore(opened.database, await opened.schema(), opened.log.log)
  await assert.rejects(store.insert([row({ seq: 9 })]), { code: '57014' })
  await store.insert([row({ seq: 1 })])
  const [shown] = await opened.database.rows<{ timeout: string }>(
    `SELECT current_setting('statement_timeout') AS timeout`,
  )
  assert.equal(shown?.timeout, '0')
})

test('a missing table or column is told before anything is written', async (t) => {
  const empty = await openDatabase(t, { migrated: false })
  await assert.rejects(empty.schema(), {
    code: 'SCHEMA_UNUSABLE',
    message: /there is no table telemetry/,
  })
  await empty.query('CREATE TABLE telemetry ("time" timestamptz, tenant_id text, device_id text)')
  await assert.rejects(empty.schema(), {
    message: /table telemetry has no column site_id, msg_type, seq, metrics/,
  })
})
