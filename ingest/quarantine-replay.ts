/**
 * A rejected message once more through decoding and checks, and from `quarantine_events` into
 * `telemetry` in one transaction: it is in one of the two tables, never in both, never in neither.
 *
 * Who sent it has to be proved again, with what the row still has: the certificate of the connection
 * (`publisher`). The provision token it does not have, that is masked; a message that needs it stays
 * refused unless the operator vouches for its sender. What a vouching operator cannot give is a right
 * the sender never had (AUTH_FAILED), nor what the message no longer is (INVALID_FIELD: the row keeps
 * a cleaned copy, other values than were sent).
 */
import type { IngestConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { isId, deviceId, tenantId } from '../core/names.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { runChecks } from './checks/check.ts'
import { checksOf } from './checks/index.ts'
import type { Database } from './database.ts'
import { decode, rowOf } from './decode.ts'
import { Notifier } from './notifier.ts'
import { LogLimit } from './log-limit.ts'
import { MASK } from './quarantine-payload.ts'
import type { QuarantineRows } from './quarantine-rows.ts'
import type { QuarantinedMessage } from './quarantined-message.ts'
import { Registry } from './registry/index.ts'
import type { RegistrySchema } from './registry/registry-schema.ts'
import type { Schema } from './schema.ts'
import { faultCodeOf, faultOf } from './sqlstate.ts'
import { TelemetryStore } from './store.ts'
import type { Reason } from './reasons.ts'
import type { Publisher, Row, Telemetry } from './telemetry.ts'
import { parseTimestamp } from './timestamp.ts'

export type ReplayOutcome =
  | { readonly outcome: 'stored' }
  /** No such row, or somebody else replayed or discarded it meanwhile. */
  | { readonly outcome: 'gone' }
  /** It stays in quarantine, as it was. `explanation` only where the reason does not say it all. */
  | { readonly outcome: 'refused'; readonly reason: Reason; readonly explanation?: string }

export interface ReplayParts {
  readonly config: IngestConfig
  readonly database: Database
  readonly schema: Schema
  readonly rows: QuarantineRows
  /** Undefined: devices are not asked about. */
  readonly registrySchema: RegistrySchema | undefined
  /** The operator vouches for the sender: no token and no certificate is asked for. */
  readonly vouched: boolean
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  /** 0 to 1. */
  readonly random: () => number
}

/** Level 5 of topics that devices report on; their messages go to other tables. */
const NOT_TELEMETRY: ReadonlySet<string> = new Set(['shadow', 'commands', 'jobs', 'ota'])
const NEEDS_TOKEN: ReadonlySet<string> = new Set([
  'TOKEN_INVALID',
  'TOKEN_MISSING',
  'TOKEN_NOT_SET_IN_REGISTRY',
])

export class QuarantineReplay {
  readonly #parts: ReplayParts
  readonly #store: TelemetryStore
  readonly #notifier: Notifier
  readonly #registry: Registry | undefined

  /** Settles after the settings of the database are read. @throws SchemaUnusable */
  static async start(parts: ReplayParts): Promise<QuarantineReplay> {
    return new QuarantineReplay(parts, await startRegistry(parts))
  }

  private constructor(parts: ReplayParts, registry: Registry | undefined) {
    const { database, schema, clock, log } = parts
    this.#parts = parts
    this.#store = new TelemetryStore(database, schema, log)
    this.#notifier = new Notifier(database, clock, log, new LogLimit(clock))
    this.#registry = registry
  }

  /**
   * One message. A failure that is not the message's own (connection lost, lock, privilege) is
   * thrown; when it was the COMMIT that failed, the row's presence in quarantine tells the outcome.
   */
  async replay(id: string): Promise<ReplayOutcome> {
    const event = await this.#parts.rows.read(id)
    if (event === undefined) return { outcome: 'gone' }
    const judged = await this.#judge(event)
    if ('outcome' in judged) return judged
    try {
      if (!(await this.#move(id, judged))) return { outcome: 'gone' }
    } catch (err) {
      if (faultOf(err) !== 'rejected') throw err
      return { outcome: 'refused', reason: `ROW_REJECTED:${faultCodeOf(err)}` }
    }
    this.#notifier.committed([judged])
    return { outcome: 'stored' }
  }

  /** Settles when listeners have been told. */
  async stop(): Promise<void> {
    await this.#notifier.finish()
    this.#registry?.stop()
  }

  async #judge(event: QuarantinedMessage): Promise<Row | ReplayOutcome> {
    const telemetry = telemetryOf(event)
    if ('outcome' in telemetry) return telemetry
    const { config } = this.#parts
    const message = decode(telemetry, config.timestamps)
    if (typeof message === 'string') return refused(message)
    const limits = this.#registry?.settings ?? config
    const checks = checksOf(limits, this.#registry?.checks, config.metricLimits)
    const reason = await runChecks(checks, message)
    if (reason === undefined) return rowOf(message)
    return NEEDS_TOKEN.has(reason) && (message.token === MASK || message.token === undefined)
      ? refused(
          reason,
          'nothing the row has proves the sender (tokens are masked): vouch for it, or discard it',
        )
      : refused(reason)
  }

  /** False: the row was gone. */
  #move(id: string, row: Row): Promise<boolean> {
    const { rows, vouched } = this.#parts
    const removal = { action: 'replay', done: 'replayed', details: { vouched } } as const
    return rows.remove(id, removal, (client) => client.query(this.#store.insertSql([row])))
  }
}

function refused(reason: Reason, explanation?: string): ReplayOutcome {
  return { outcome: 'refused', reason, ...(explanation === undefined ? {} : { explanation }) }
}

async function startRegistry(parts: ReplayParts): Promise<Registry | undefined> {
  const { config, registrySchema: schema, vouched } = parts
  const { registry } = config
  if (schema === undefined || registry === undefined || registry.mode === 'off') return undefined
  return Registry.start({
    ...parts,
    schema,
    registry: {
      ...registry,
      requireToken: registry.requireToken && !vouched,
      // The row has a fingerprint, not the connection: only a certificate on record proves anything.
      unlistedCertificate: 'token',
    },
  })
}

/** What came in, as far as the row has it: under its own topic, at the time it came. */
function telemetryOf(event: QuarantinedMessage): Telemetry | ReplayOutcome {
  const { topic, tenantId: tenant, deviceId: device, msgType, reason } = event
  if (reason === 'AUTH_FAILED') {
    return refused('AUTH_FAILED', 'its sender had no right to publish it, and nobody can give it')
  }
  if (reason.startsWith('INVALID_FIELD:') && isInvalidField(reason)) {
    return refused(reason, 'the copy kept has other values than were sent')
  }
  const type = msgType ?? topic.split('/')[4] ?? ''
  if (NOT_TELEMETRY.has(topic.split('/')[4] ?? '')) {
    return refused('BAD_TOPIC_FORMAT', 'shadows and commands are not telemetry')
  }
  if (tenant === null || device === null || !isId(tenant) || !isId(device)) {
    return refused('BAD_TOPIC_FORMAT', 'the row names no tenant, or no device')
  }
  const payload = payloadOf(event)
  if (payload === undefined) {
    return refused('INVALID_JSON', 'the copy kept is the beginning of a text, not a message')
  }
  return {
    tenantId: tenantId(tenant),
    deviceId: deviceId(device),
    msgType: type,
    topic,
    payload,
    qos: 1,
    receivedAt: parseTimestamp(event.ingestedAt)?.ms ?? 0,
    publisher: publisherOf(event),
  }
}

function isInvalidField(
  reason: string,
): reason is `INVALID_FIELD:${'site_id' | 'seq' | 'metrics'}` {
  return /^INVALID_FIELD:(?:site_id|seq|metrics)$/u.test(reason)
}

const OUTSIDE_STRINGS = /("(?:[^"\\]|\\.)*")|\s+/gu

/** Undefined: what is kept is no message. jsonb's blanks are not the sender's, and count as bytes. */
function payloadOf({ payload, reason }: QuarantinedMessage): Buffer | undefined {
  let text = payload.replace(OUTSIDE_STRINGS, '$1')
  if (reason.startsWith('INGEST_EXCEPTION:')) {
    // As quarantineError wrote it; jsonb orders members by the length of their names.
    const inner = /^\{"error":"(?:[^"\\]|\\.)*","payload":(.*)\}$/su.exec(text)?.[1]
    if (inner === undefined) return undefined
    text = inner
  }
  return /^\{"raw":"(?:[^"\\]|\\.)*"\}$/su.test(text) ? undefined : Buffer.from(text)
}

/** The reverse of publisherText, as far as it goes; a row without one proves nothing. */
function publisherOf({
  publisher,
  tenantId: tenant,
  deviceId: device,
}: QuarantinedMessage): Publisher {
  const [kind = '', ...rest] = (publisher ?? '').split(':')
  const name = rest.join(':')
  switch (kind) {
    case 'device':
      // Whose certificate it is, device_certificates says: one of another device proves nothing.
      return { kind, userName: `${tenant}/${device}`, clientId: '', fingerprint: name }
    case 'certificate':
      return { kind, userName: undefined, clientId: '', fingerprint: name }
    case 'account':
      return { kind, userName: name, clientId: '', fingerprint: undefined }
    default:
      return { kind: 'anonymous', userName: undefined, clientId: name, fingerprint: undefined }
  }
}
