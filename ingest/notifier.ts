/**
 * Tells listeners on `telemetry_inserted` which tenants have new rows, after the COMMIT of these.
 *
 * Not within the transaction: there a NOTIFY that fails (its queue is full) would undo the rows, and
 * one that works takes a lock of the whole database until the COMMIT is on disk, so that two writers
 * would wait for one another. Not before the acknowledgement either: it goes out behind it. While one
 * is on its way, and for a moment after it, the next tenants gather. A crash in between costs a
 * listener the wake-up, not the row.
 */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { literal, type Database } from './database.ts'
import type { LogLimit } from './log-limit.ts'
import type { Row } from './telemetry.ts'

const CHANNEL = 'telemetry_inserted'
/** PostgreSQL refuses 8000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_900
/**
 * From one NOTIFY to the next. Small batches are committed a thousand times a second, and a NOTIFY
 * costs about as much as a COMMIT; who listens waits half a second for more anyway.
 */
const PAUSE_MS = 50

export class Notifier {
  readonly #database: Database
  readonly #clock: Clock
  readonly #log: Log
  readonly #limit: LogLimit
  readonly #closing = new AbortController()
  #tenants = new Set<string>()
  #sending: Promise<void> | undefined

  constructor(database: Database, clock: Clock, log: Log, limit: LogLimit) {
    this.#database = database
    this.#clock = clock
    this.#log = log
    this.#limit = limit
  }

  /** Never throws; a failure is only logged. Rows must be committed. */
  committed(rows: readonly Row[]): void {
    let last: string | undefined
    for (const { tenantId } of rows) {
      if (tenantId !== last) this.#tenants.add(tenantId)
      last = tenantId
    }
    if (this.#tenants.size > 0) this.#sending ??= this.#send()
  }

  /** Sends what is left without another pause; settles when nothing is. */
  async finish(): Promise<void> {
    this.#closing.abort()
    await this.#sending
  }

  async #send(): Promise<void> {
    while (this.#tenants.size > 0) {
      const payloads = notifyPayloads(this.#tenants)
      this.#tenants = new Set()
      try {
        // A NOTIFY has a COMMIT of its own, which nobody needs on disk.
        await this.#database.runBlock(
          ['SET LOCAL synchronous_commit = off', ...payloads.map(statement)].join('; '),
        )
      } catch (err) {
        this.#limit.pass('notify.failed', (suppressed) => {
          this.#log.warn(
            { event: 'notify.failed', err, suppressed },
            'NOTIFY failed: listeners learn of the rows when they look',
          )
        })
      }
      await this.#clock.sleep(PAUSE_MS, this.#closing.signal)
    }
    this.#sending = undefined
  }
}

function statement(payload: string): string {
  return `NOTIFY ${CHANNEL}, ${literal(payload)}`
}

/** `{"tenant_ids":[…]}`, sorted, in as many parts as PostgreSQL's bound asks for. */
export function notifyPayloads(tenants: Iterable<string>): string[] {
  const parts: string[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const tenant of [...new Set(tenants)].sort()) {
    const quoted = JSON.stringify(tenant)
    const more = Buffer.byteLength(quoted) + 1
    if (bytes + more > MAX_PAYLOAD_BYTES) {
      parts.push([])
      bytes = '{"tenant_ids":[]}'.length
    }
    parts.at(-1)?.push(quoted)
    bytes += more
  }
  return parts.map((quoted) => `{"tenant_ids":[${quoted.join(',')}]}`)
}
