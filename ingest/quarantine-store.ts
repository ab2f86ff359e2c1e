/** Rejected messages into `quarantine_events`. */
import { literal, type Database } from './database.ts'
import { eventTimeOf, labelsOf } from './decode.ts'
import { cleanText, quarantineError, quarantinePayload } from './quarantine-payload.ts'
import type { Schema } from './schema.ts'
import { publisherText, type Rejection } from './telemetry.ts'
import { formatTimestamp } from './timestamp.ts'

/** What the quarantine needs of a store; tests bring their own. */
export interface RejectionStore {
  /** False: there is no place for rejected messages, they are only counted. */
  readonly isAvailable: boolean
  /** Commits all or none. */
  insert(rejections: readonly Rejection[]): Promise<void>
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ['event_ts', 'timestamptz'],
  ['topic', 'text'],
  ['tenant_id', 'text'],
  ['site_id', 'text'],
  ['device_id', 'text'],
  ['msg_type', 'text'],
  ['reason', 'text'],
  ['payload', 'jsonb'],
  ['envelope_version', 'text'],
  ['publisher', 'text'],
])
const REQUIRED = ['topic', 'tenant_id', 'reason', 'payload']

export class QuarantineStore implements RejectionStore {
  readonly isAvailable: boolean
  readonly #database: Database
  readonly #columns: string
  readonly #values: string
  readonly #record: string

  constructor(database: Database, { quarantineColumns }: Schema) {
    this.#database = database
    this.isAvailable = REQUIRED.every((name) => quarantineColumns.has(name))
    const present = [...TYPES].filter(([name]) => quarantineColumns.has(name))
    this.#columns = present.map(([name]) => name).join(', ')
    // A payload of `null` would come out of the record as no payload at all.
    const valueOf = (name: string) => (name === 'payload' ? `coalesce(payload, 'null')` : name)
    this.#values = present.map(([name]) => valueOf(name)).join(', ')
    this.#record = present.map(([name, type]) => `${name} ${type}`).join(', ')
  }

  async insert(rejections: readonly Rejection[]): Promise<void> {
    const json = `[${rejections.map(jsonOf).join(',')}]`
    await this.#database.runBlock(
      `INSERT INTO quarantine_events (${this.#columns}) SELECT ${this.#values}
       FROM jsonb_to_recordset(${literal(json)}::jsonb) AS r (${this.#record})`,
    )
  }
}

function jsonOf(rejection: Rejection): string {
  const { payload, error } = rejection
  const eventTime = eventTimeOf(payload)
  const { siteId, version } = labelsOf(payload)
  const fields = JSON.stringify({
    event_ts: eventTime === undefined ? null : formatTimestamp(eventTime),
    topic: cleanText(rejection.topic),
    tenant_id: textOrNull(rejection.tenantId),
    site_id: textOrNull(siteId),
    device_id: textOrNull(rejection.deviceId),
    msg_type: textOrNull(rejection.msgType),
    reason: cleanText(rejection.reason),
    envelope_version: cleanText(version),
    publisher: cleanText(publisherText(rejection.publisher)),
  })
  const kept = error === undefined ? quarantinePayload(payload) : quarantineError(error, payload)
  return `${fields.slice(0, -1)},"payload":${kept}}`
}

function textOrNull(text: string | undefined): string | null {
  return text === undefined ? null : cleanText(text)
}
