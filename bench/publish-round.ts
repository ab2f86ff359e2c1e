/** One run of the publish benchmark: load on a running Midge, what it stored, and COPY of the same. */
import { measureCopy, type CopyResult } from './copy-baseline.ts'
import { mutualTls, type Devices } from './devices.ts'
import type { Midge } from './midge.ts'
import type { LoadReport, Mqload } from './mqload.ts'
import type { DatabaseServer } from './servers.ts'

export interface PublishCase {
  readonly devices: number
  /** Unacknowledged PUBLISHes of one device at the most. */
  readonly window: number
}

/** One publish run and the COPY of its rows right after it. */
export interface PublishRound {
  readonly server: string
  readonly case: PublishCase
  readonly load: LoadReport
  /** Rows in the table once every PUBLISH was acknowledged, and different ones among them. */
  readonly rows: number
  readonly distinctRows: number
  readonly rowsPerCommit: number
  readonly copy: CopyResult
}

/** A running Midge and the database it writes to. */
export interface Target {
  readonly midge: Midge
  readonly server: DatabaseServer
}

const WARM_UP_SECONDS = 1
const DRAIN_SECONDS = 15

/** Every acknowledged message is one row, and nothing was left unacknowledged. */
export function isComplete({ load, rows, distinctRows }: PublishRound): boolean {
  return rows === load.total_acked && distinctRows === rows && load.errors === 0
}

/** The table is emptied first; afterwards the rows of COPY lie in it. */
export async function runOnce(
  { midge, server }: Target,
  each: PublishCase,
  around: { readonly mqload: Mqload; readonly devices: Devices; readonly seconds: number },
): Promise<PublishRound> {
  const { mqload, devices, seconds } = around
  await server.empty()
  const batches = async () => [
    await midge.metric('ingest_batch_rows_sum'),
    await midge.metric('ingest_batch_rows_count'),
  ]
  const before = await batches()
  const load = await mqload.run(
    [
      'pub',
      ...mutualTls(devices, midge, each.devices),
      ...`-q 1 -T telemetry -W ${each.window} -D ${seconds} -w ${WARM_UP_SECONDS}`.split(' '),
      ...`--drain ${DRAIN_SECONDS} --watch broker=${midge.pid},postgres=${server.pid}+`.split(' '),
    ],
    60 + seconds,
  )
  const after = await batches()
  const [rowsOf, commits] = after.map((value, i) => value - (before[i] ?? 0))
  const counted = await countRows(server)
  const copy = await measureCopy(server)
  if (copy === undefined) {
    throw new Error(`no row was stored: ${load.first_error ?? JSON.stringify(load)}`)
  }
  const rowsPerCommit = (rowsOf ?? 0) / (commits ?? 0)
  return { server: server.name, case: each, load, ...counted, rowsPerCommit, copy }
}

async function countRows(server: DatabaseServer) {
  const client = await server.connect()
  const { rows } = await client.query<{ rows: string; different: string }>(
    `SELECT count(*) AS rows, count(DISTINCT (tenant_id, device_id, seq)) AS different
       FROM telemetry`,
  )
  await client.end()
  return { rows: Number(rows[0]?.rows), distinctRows: Number(rows[0]?.different) }
}
