/**
 * COPY … FROM STDIN (FORMAT binary) of telemetry rows in one write: the query, the rows and CopyDone
 * leave together, without waiting for CopyInResponse. That is one round trip for a batch. A server
 * that refuses the COPY skips the rows that are on their way (PostgreSQL, 55.2.6 COPY operations).
 *
 * The query is a block of two statements, so that statement_timeout is set for this transaction and
 * for no other: they run, and are undone, together.
 */
import type { Connection } from 'pg'
import { publisherText, type Row } from './telemetry.ts'
import type { Timestamp } from './timestamp.ts'

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const COPY_DONE = Buffer.from([0x63, 0, 0, 0, 4])
const EPOCH_2000_MS = 946_684_800_000
const TWO_32 = 4_294_967_296
/** Longer text is left to Buffer's own encoder, which is faster then. */
const SHORT_TEXT = 48

/** Columns in the order of `encodeRow`; `publisher` only where the table has it. */
export const COLUMNS = [
  '"time"',
  'tenant_id',
  'device_id',
  'site_id',
  'msg_type',
  'seq',
  'metrics',
] as const

/** The messages of one COPY: Query, CopyData, CopyDone. `withPublisher` adds the eighth column. */
export function encodeCopy(sql: string, rows: readonly Row[], withPublisher: boolean): Buffer {
  let metricsBytes = 0
  for (const row of rows) metricsBytes += row.metrics.length
  const wire = new Wire(1024 + sql.length * 3 + metricsBytes + rows.length * 256)
  wire.byte(0x51)
  const query = wire.openLength()
  wire.text(sql)
  wire.byte(0)
  wire.closeLength(query)
  wire.byte(0x64)
  const copyData = wire.openLength()
  wire.bytes(SIGNATURE)
  for (const row of rows) encodeRow(wire, row, withPublisher)
  wire.int16(-1)
  wire.closeLength(copyData)
  wire.bytes(COPY_DONE)
  return wire.done()
}

function encodeRow(wire: Wire, row: Row, withPublisher: boolean): void {
  wire.int16(withPublisher ? COLUMNS.length + 1 : COLUMNS.length)
  wire.time(row.time)
  wire.sizedText(row.tenantId)
  wire.sizedText(row.deviceId)
  wire.sizedText(row.siteId)
  wire.sizedText(row.msgType)
  wire.int64(row.seq)
  wire.jsonb(row.metrics)
  if (withPublisher) wire.sizedText(publisherText(row.publisher))
}

/** A buffer that grows; every integer big-endian. */
class Wire {
  #buffer: Buffer
  #at = 0

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafe(size)
  }

  done(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#at++] = value
  }

  int16(value: number): void {
    this.#reserve(2)
    this.#at = this.#buffer.writeInt16BE(value, this.#at)
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  text(value: string): void {
    this.#reserve(value.length * 3)
    this.#write(value)
  }

  sizedText(value: string): void {
    this.#reserve(4 + value.length * 3)
    const length = this.openLength()
    this.#write(value)
    this.#buffer.writeInt32BE(this.#at - length - 4, length)
  }

  /** Microseconds since 2000 as int64, which a double cannot hold: two halves. */
  time({ ms, us }: Timestamp): void {
    const since = ms - EPOCH_2000_MS
    const high = Math.floor(since / TWO_32)
    const low = (since - high * TWO_32) * 1000 + us
    const carry = Math.floor(low / TWO_32)
    this.#halves(high * 1000 + carry, low - carry * TWO_32)
  }

  int64(value: number | bigint | null): void {
    if (value === null) {
      this.#reserve(4)
      this.#at = this.#buffer.writeInt32BE(-1, this.#at)
    } else if (typeof value === 'bigint') {
      this.#halves(Number(value >> 32n), Number(value & 0xffffffffn))
    } else {
      const high = Math.floor(value / TWO_32)
      this.#halves(high, value - high * TWO_32)
    }
  }

  /** The version of jsonb's binary form, then JSON text. */
  jsonb(text: Uint8Array): void {
    this.#reserve(5 + text.length)
    this.#at = this.#buffer.writeInt32BE(text.length + 1, this.#at)
    this.#buffer[this.#at++] = 1
    this.#buffer.set(text, this.#at)
    this.#at += text.length
  }

  /** Where an int32 length will stand that counts itself. */
  openLength(): number {
    this.#reserve(4)
    this.#at += 4
    return this.#at - 4
  }

  closeLength(at: number): void {
    this.#buffer.writeInt32BE(this.#at - at, at)
  }

  #halves(high: number, low: number): void {
    this.#reserve(12)
    this.#at = this.#buffer.writeInt32BE(8, this.#at)
    this.#at = this.#buffer.writeInt32BE(high, this.#at)
    this.#at = this.#buffer.writeUInt32BE(low, this.#at)
  }

  #write(value: string): void {
    const buffer = this.#buffer
    let at = this.#at
    if (value.length <= SHORT_TEXT) {
      let i = 0
      for (; i < value.length; i++) {
        const code = value.charCodeAt(i)
        if (code > 0x7f) break
        buffer[at++] = code
      }
      if (i === value.length) {
        this.#at = at
        return
      }
    }
    this.#at += buffer.write(value, this.#at, 'utf8')
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, needed))
    this.#buffer.copy(grown, 0, 0, this.#at)
    this.#buffer = grown
  }
}

/**
 * A query object for pg's Client: what it calls back on are the messages of a simple query. Settles
 * when the server is ready again, that is after COMMIT, or with the server's or the socket's error.
 */
export class CopyQuery {
  /** Settles with the outcome. */
  readonly finished: Promise<void>
  readonly #wire: Buffer
  #settle: (failure: Error | undefined) => void = () => {}

  constructor(wire: Buffer) {
    this.#wire = wire
    this.finished = new Promise((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve() : reject(failure))
    })
  }

  submit(connection: Connection): void {
    connection.stream.write(this.#wire)
  }

  /** An ErrorResponse, or the end of the connection. */
  handleError(failure: Error): void {
    this.#settle(failure)
  }

  handleReadyForQuery(): void {
    this.#settle(undefined)
  }

  // The rows are on their way already; how many were stored is no news (a trigger may drop some).
  handleCopyInResponse(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
}
