/**
 * Three ways to commit a batch of rows in one statement, on the same server in the same run: binary
 * COPY, INSERT from one JSON text, INSERT from unnest of arrays. Midge's own writer takes the first and,
 * where a table refuses it or redeliveries must not become rows, the second.
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { systemClock } from '../core/clock.ts'
import { Database } from '../ingest/database.ts'
import { migrate } from '../ingest/migrate.ts'
import { inspectSchema } from '../ingest/schema.ts'
import { TelemetryStore } from '../ingest/store.ts'
import { publisherText, type Row } from '../ingest/telemetry.ts'
import { formatTimestamp } from '../ingest/timestamp.ts'
import { Cleanup, cpuSecondsOfTree, endOnSignal } from './processes.ts'
import {
  loadText,
  machineLines,
  median,
  medianAndRange,
  number,
  table,
  versionLines,
  writeResult,
} from './report.ts'
import { startSeparateServer } from './servers.ts'

type Insert = (rows: readonly Row[]) => Promise<void>

interface Run {
  readonly way: string
  readonly batchRows: number
  readonly rowsPerSecond: number
  /** CPU microseconds of a row: encoding and sending it, and all of PostgreSQL. */
  readonly clientUs: number
  readonly serverUs: number
}

const BATCHES = [10, 100, 1000]
const WRITERS = 2
const TENANTS = 10
const DEVICES = 1000
const TIMEOUT_MS = 30_000

/** @returns false when a row is missing */
export async function benchmarkInsert(args: readonly string[]): Promise<boolean> {
  const { rounds, seconds } = optionsOf(args)
  const machine = machineLines()
  const cleanup = new Cleanup()
  endOnSignal(cleanup)
  try {
    const work = await mkdtemp(join(tmpdir(), 'midge-bench-'))
    cleanup.add(() => rm(work, { recursive: true, force: true }))
    await chmod(work, 0o711)
    const server = await startSeparateServer(join(work, 'postgres'), cleanup)
    if (server === undefined) throw new Error('Debian’s postgresql-15 is not installed')
    const versions = await versionLines([`PostgreSQL ${server.version}, fsync on`])
    const log = pino({ level: 'silent' })
    const database = new Database(
      {
        connectionString: server.env['DATABASE_URL'],
        host: undefined,
        port: undefined,
        user: undefined,
        password: undefined,
        database: undefined,
        poolMax: WRITERS,
        migrate: true,
      },
      TIMEOUT_MS,
      systemClock,
      log,
    )
    cleanup.add(() => database.end())
    await migrate(database, log)
    const schema = await inspectSchema(database)
    const byCopy = new TelemetryStore(database, schema, log)
    const byJson = new TelemetryStore(database, { ...schema, telemetryTakesBinary: false }, log)
    const ways: readonly [string, Insert][] = [
      ['binary COPY', (rows) => byCopy.insert(rows)],
      ['INSERT, one JSON text', (rows) => byJson.insert(rows)],
      ['INSERT, unnest of arrays', (rows) => insertByUnnest(database, rows)],
    ]
    const runs: Run[] = []
    let isComplete = true
    for (let round = 0; round <= rounds; round++) {
      for (const batchRows of BATCHES) {
        for (const [way, insert] of ways) {
          await server.empty()
          const run = await measure({ way, insert, batchRows, seconds, pid: server.pid })
          const [counted] = await database.rows<{ n: string }>(
            'SELECT count(*) AS n FROM telemetry',
          )
          if (Number(counted?.n) !== run.rows) isComplete = false
          if (round > 0) runs.push(run)
        }
      }
      console.log(round === 0 ? 'warmed up' : `round ${round} of ${rounds}, load ${loadText()}`)
    }
    const text = report({
      rounds,
      seconds,
      runs,
      ways: ways.map(([way]) => way),
      machine,
      versions,
    })
    console.log(`\n${text}`)
    const isWhole = rounds >= 3
    console.log(
      isWhole ? `written to ${await writeResult('insert', text)}` : 'not written: no whole run',
    )
    return isComplete
  } finally {
    await cleanup.run()
  }
}

async function measure(options: {
  readonly way: string
  readonly insert: Insert
  readonly batchRows: number
  readonly seconds: number
  readonly pid: number
}): Promise<Run & { readonly rows: number }> {
  const { way, insert, batchRows, seconds, pid } = options
  let seq = 0
  let rows = 0
  const serverBefore = cpuSecondsOfTree(pid)
  const clientBefore = process.cpuUsage()
  const began = performance.now()
  const write = async () => {
    while (performance.now() - began < seconds * 1000) {
      const batch = Array.from({ length: batchRows }, () => rowOf(seq++))
      await insert(batch)
      rows += batchRows
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, write))
  const ms = performance.now() - began
  const { user, system } = process.cpuUsage(clientBefore)
  return {
    way,
    batchRows,
    rows,
    rowsPerSecond: (rows * 1000) / ms,
    clientUs: (user + system) / rows,
    serverUs: ((cpuSecondsOfTree(pid) - serverBefore) * 1e6) / rows,
  }
}

const FINGERPRINT = randomBytes(32).toString('hex')

/** As large as `mqload -T telemetry` makes them: five metrics. */
function rowOf(seq: number): Row {
  const device = seq % DEVICES
  const metrics = `{"temp":${(seq % 97) / 4},"hum":${seq % 100},"bat":3.71,"rssi":-${seq % 90},"up":${seq}}`
  return {
    tenantId: `tenant-${device % TENANTS}`,
    deviceId: `dev-${device}`,
    siteId: 'site-1',
    msgType: 'telemetry',
    time: { ms: Date.now(), us: seq % 1000 },
    seq,
    metrics: Buffer.from(metrics),
    publisher: {
      kind: 'device',
      userName: undefined,
      clientId: `dev-${device}`,
      fingerprint: FINGERPRINT,
    },
  }
}

/** The usual way for a driver without COPY: one array a column, as parameters; two round trips. */
async function insertByUnnest(database: Database, rows: readonly Row[]): Promise<void> {
  const values = [
    rows.map(({ time }) => formatTimestamp(time)),
    rows.map(({ tenantId }) => tenantId),
    rows.map(({ deviceId }) => deviceId),
    rows.map(({ siteId }) => siteId),
    rows.map(({ msgType }) => msgType),
    rows.map(({ seq }) => seq),
    rows.map(({ metrics }) => Buffer.from(metrics).toString()),
    rows.map(({ publisher }) => publisherText(publisher)),
  ]
  await database.rows(
    `INSERT INTO telemetry ("time", tenant_id, device_id, site_id, msg_type, seq, metrics, publisher)
     SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[],
                          $6::bigint[], $7::jsonb[], $8::text[])`,
    values,
  )
}

function report(measured: {
  readonly rounds: number
  readonly seconds: number
  readonly runs: readonly Run[]
  readonly ways: readonly string[]
  readonly machine: readonly string[]
  readonly versions: readonly string[]
}): string {
  const { rounds, seconds, runs, ways, machine, versions } = measured
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n')
  const rows = BATCHES.flatMap((batchRows) => {
    const of = (name: string) =>
      runs.filter(({ way, batchRows: size }) => way === name && size === batchRows)
    const copy = of(ways[0] ?? '')
    return ways.map((way) => {
      const these = of(way)
      const shares = these.map((run, i) => run.rowsPerSecond / (copy[i]?.rowsPerSecond ?? NaN))
      return [
        `${number(batchRows)}, ${way}`,
        medianAndRange(these.map(({ rowsPerSecond }) => rowsPerSecond)),
        median(shares).toFixed(2),
        medianAndRange(
          these.map(({ clientUs }) => clientUs),
          1,
        ),
        medianAndRange(
          these.map(({ serverUs }) => serverUs),
          1,
        ),
      ]
    })
  })
  const head = ['rows to a COMMIT, way', 'rows/s', 'of COPY', 'client µs/row', 'PostgreSQL µs/row']
  return `# A batch of rows into PostgreSQL, ${new Date().toISOString().slice(0, 10)}

\`npm run bench -- insert\`: ${rounds} rounds of ${seconds} s each, after one that does not count; ${WRITERS} connections, rows as devices make them (five metrics,
${TENANTS} tenants, ${number(DEVICES)} devices), the table emptied before each run. The client makes and encodes the rows on the same machine.

## Machine and versions

${list(machine)}
- load averages at the end: ${loadText()}
${list(versions)}

## Results

Medians of the rounds, in parentheses the least and the most. "Of COPY" is the median of the quotients within a round.

${table(head, rows)}
`
}

function optionsOf(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
    },
  })
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!(rounds >= 1 && rounds <= 20)) throw new Error('--rounds: expected 1 to 20')
  if (!(seconds >= 1 && seconds <= 30)) throw new Error('--seconds: expected 1 to 30')
  return { rounds, seconds }
}
