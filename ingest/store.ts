/** Rows into `telemetry`, a batch as one transaction and one round trip. */
import type { Log } from '../core/log.ts'
import { COLUMNS, CopyQuery, encodeCopy } from './copy.ts'
import { literal, type Database } from './database.ts'
import type { Schema } from './schema.ts'
import { sqlstateOf } from './sqlstate.ts'
import { publisherText, type Row } from './telemetry.ts'
import { formatTimestamp } from './timestamp.ts'

/** What the writer needs of a store; tests bring their own. */
export interface RowStore {
  /** Commits all rows or none. Throws when they are not, or may not be, committed. */
  insert(rows: readonly Row[]): Promise<void>
}

/**
 * SQLSTATEs that a COPY into this table will always end in, while an INSERT may not: row-level
 * security (0A000), a view (42809), a column whose binary form is not the one we know.
 */
const NOT_BY_COPY: ReadonlySet<string> = new Set(['0A000', '42809', '22P03', '22P04'])

/** Counts rows that were there already. */
interface Duplicates {
  inc(count: number): void
}

/** No other unique index: what that refuses is a mistake, and goes to quarantine. */
const ON_CONFLICT = ` ON CONFLICT ("time", message_key) WHERE message_key IS NOT NULL DO NOTHING`

export class TelemetryStore implements RowStore {
  readonly #database: Database
  readonly #log: Log
  readonly #withPublisher: boolean
  readonly #columns: string
  readonly #duplicates: Duplicates | undefined
  #copies: boolean

  /** @param duplicates undefined: rows have no message key */
  constructor(database: Database, schema: Schema, log: Log, duplicates?: Duplicates) {
    this.#database = database
    this.#log = log
    this.#withPublisher = schema.telemetryHasPublisher
    this.#duplicates = schema.telemetryHasMessageKey ? duplicates : undefined
    // A COPY knows no ON CONFLICT.
    this.#copies = schema.telemetryTakesBinary && this.#duplicates === undefined
    this.#columns = [
      ...COLUMNS,
      ...(this.#withPublisher ? ['publisher'] : []),
      ...(this.#duplicates === undefined ? [] : ['message_key']),
    ].join(', ')
  }

  /** By COPY; by INSERT once the table has refused a COPY, and from then on. */
  async insert(rows: readonly Row[]): Promise<void> {
    if (!this.#copies) return this.#insertOnly(rows)
    try {
      await this.#copy(rows)
    } catch (err) {
      if (!NOT_BY_COPY.has(sqlstateOf(err) ?? '')) throw err
      this.#copies = false
      this.#log.warn(
        { event: 'copy.refused', err },
        'table telemetry takes no COPY (row-level security?): rows are inserted instead, slower',
      )
      await this.#insertOnly(rows)
    }
  }

  /** The row that an error of a COPY names, counted from 0; undefined when it names none. */
  static suspectOf(cause: unknown): number | undefined {
    if (typeof cause !== 'object' || cause === null || !('where' in cause)) return undefined
    // `COPY telemetry, line 17`; the word is translated on some servers, the number stays.
    const line = /^COPY [^,\n]+, [^\d\n]*(\d{1,9})/mu.exec(String(cause.where))?.[1]
    return line === undefined ? undefined : Number(line) - 1
  }

  async #copy(rows: readonly Row[]): Promise<void> {
    const sql = `${this.#database.setTimeout}; COPY telemetry (${this.#columns}) FROM STDIN (FORMAT binary)`
    const query = new CopyQuery(encodeCopy(sql, rows, this.#withPublisher))
    await this.#database.run(async (client) => {
      client.query(query)
      await query.finished
    })
  }

  async #insertOnly(rows: readonly Row[]): Promise<void> {
    const stored = await this.#database.runBlock(this.insertSql(rows))
    if (stored < rows.length) this.#duplicates?.inc(rows.length - stored)
  }

  /**
   * One statement that inserts the rows, for a transaction of the caller's. They are one JSON text in
   * it: the only form in which a block without parameters can carry them.
   */
  insertSql(rows: readonly Row[]): string {
    const json = `[${rows.map((row) => this.#jsonOf(row)).join(',')}]`
    return `INSERT INTO telemetry (${this.#columns}) SELECT ${this.#columns} FROM jsonb_to_recordset(
       ${literal(json)}::jsonb) AS r ("time" timestamptz, tenant_id text, device_id text,
       site_id text, msg_type text, seq bigint, metrics jsonb, publisher text, message_key uuid)${
         this.#duplicates === undefined ? '' : ON_CONFLICT
       }`
  }

  #jsonOf(row: Row): string {
    const fields = JSON.stringify({
      time: formatTimestamp(row.time),
      tenant_id: row.tenantId,
      device_id: row.deviceId,
      site_id: row.siteId,
      msg_type: row.msgType,
      publisher: publisherText(row.publisher),
      message_key: row.messageKey,
    })
    // Spliced in as they are: numbers that no double holds.
    return `${fields.slice(0, -1)},"seq":${row.seq},"metrics":${Buffer.from(row.metrics).toString()}}`
  }
}
