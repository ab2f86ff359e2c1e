/**
 * What the database alone can do with the same rows: they are read back from the table as they were
 * stored, the table is emptied, and they are written again by plain binary COPY, in the same order,
 * from ready-made buffers. No MQTT, no TLS, no JSON, no encoding: the ceiling for whoever commits
 * batches of this size over this number of connections.
 */
import type { Client, Connection, Submittable } from 'pg'
import { CopyQuery } from '../ingest/copy.ts'
import { cpuSecondsOfTree } from './processes.ts'
import type { DatabaseServer } from './servers.ts'

export interface CopyResult {
  readonly rowsPerSecond: number
  /** CPU of PostgreSQL, all its processes, microseconds per row. */
  readonly serverUsPerRow: number
  readonly rows: number
}

/** As Midge's own defaults: MIDGE_WRITERS and BATCH_SIZE. */
export const CONNECTIONS = 2
export const BATCH_ROWS = 1000
/** Few rows are written again and again until there is something to measure. */
const LEAST_MS = 1500
const MOST_PASSES = 100

const COLUMNS = '"time", tenant_id, device_id, site_id, msg_type, seq, metrics, publisher'

/** Leaves the rows in the table, once or several times over. Undefined when there are none. */
export async function measureCopy(server: DatabaseServer): Promise<CopyResult | undefined> {
  const clients: Client[] = []
  try {
    for (let i = 0; i < CONNECTIONS; i++) clients.push(await server.connect())
    const [first] = clients
    if (first === undefined) return undefined
    const rows = await readRows(first)
    if (rows.length === 0) return undefined
    await server.empty()
    const batches: { readonly wire: Buffer; readonly rows: number }[] = []
    for (let at = 0; at < rows.length; at += BATCH_ROWS) {
      const part = rows.slice(at, at + BATCH_ROWS)
      batches.push({ wire: copyMessages(part), rows: part.length })
    }

    let written = 0
    let next = 0
    const cpuBefore = cpuSecondsOfTree(server.pid)
    const began = performance.now()
    const isOver = () => {
      const passes = Math.floor(next / batches.length)
      const isWhole = next % batches.length === 0
      const enough = performance.now() - began >= LEAST_MS || passes >= MOST_PASSES
      return isWhole && passes > 0 && enough
    }
    const write = async (client: Client) => {
      while (!isOver()) {
        const batch = batches[next++ % batches.length]
        if (batch === undefined) return
        const query = new CopyQuery(batch.wire)
        client.query(query)
        await query.finished
        written += batch.rows
      }
    }
    await Promise.all(clients.map(write))
    const ms = performance.now() - began
    const cpu = cpuSecondsOfTree(server.pid) - cpuBefore
    return {
      rows: written,
      rowsPerSecond: (written * 1000) / ms,
      serverUsPerRow: (cpu * 1e6) / written,
    }
  } finally {
    for (const client of clients) await client.end()
  }
}

/** Query, CopyData and CopyDone for ready tuples. */
function copyMessages(tuples: readonly Buffer[]): Buffer {
  const sql = Buffer.from(`COPY telemetry (${COLUMNS}) FROM STDIN (FORMAT binary)\0`)
  const header = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
  const trailer = Buffer.from([0xff, 0xff])
  return Buffer.concat([
    ...message('Q', [sql]),
    ...message('d', [header, ...tuples, trailer]),
    ...message('c', []),
  ])
}

function message(type: string, parts: readonly Buffer[]): Buffer[] {
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(4 + parts.reduce((bytes, part) => bytes + part.length, 0), 1)
  return [head, ...parts]
}

/** Every row of the table as a tuple of COPY's binary format, in the order they lie there. */
async function readRows(client: Client): Promise<Buffer[]> {
  const query = new CopyOut(`COPY telemetry (${COLUMNS}) TO STDOUT (FORMAT binary)`)
  client.query(query)
  const bytes = Buffer.concat(await query.finished)
  const tuples: Buffer[] = []
  // The signature has 11 bytes, flags and the length of an extension 4 each.
  let at = 19 + bytes.readInt32BE(15)
  for (;;) {
    const from = at
    const fields = bytes.readInt16BE(at)
    if (fields === -1) return tuples
    at += 2
    for (let i = 0; i < fields; i++) at += 4 + Math.max(0, bytes.readInt32BE(at))
    tuples.push(bytes.subarray(from, at))
  }
}

/** A query object for pg's Client that gathers CopyData. */
class CopyOut implements Submittable {
  readonly finished: Promise<Buffer[]>
  readonly #sql: string
  readonly #chunks: Buffer[] = []
  #settle: (failure: Error | undefined) => void = () => undefined

  constructor(sql: string) {
    this.#sql = sql
    this.finished = new Promise((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve(this.#chunks) : reject(failure))
    })
  }

  submit(connection: Connection): void {
    connection.query(this.#sql)
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    // A view into the buffer of the socket, which is used again.
    this.#chunks.push(Buffer.from(chunk))
  }

  handleError(failure: Error): void {
    this.#settle(failure)
  }

  handleReadyForQuery(): void {
    this.#settle(undefined)
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}
