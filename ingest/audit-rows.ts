/** Rows of `audit_log`: what an event says, in the columns that are there. */
import { isIP } from 'node:net'
import { literal } from './database.ts'
import { cleanText } from './quarantine-payload.ts'

export interface AuditEvent {
  /** Undefined: of no tenant, or of none that anybody vouches for. */
  readonly tenantId: string | undefined
  /** Such as `device.rejected`. */
  readonly eventType: string
  readonly category: string
  readonly action: string
  readonly severity: 'info' | 'warning' | 'error'
  readonly entityType: string
  readonly entityId: string
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
  /** Anything but an IP address is left out. */
  readonly ipAddress?: string
  /** A person, by the name the operating system has for them; absent: the system did it. */
  readonly actor?: string
}

export interface DatedEvent {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly event: AuditEvent
}

const COLUMNS: ReadonlyMap<string, string> = new Map([
  ['timestamp', 'timestamptz'],
  ['tenant_id', 'text'],
  ['event_type', 'text'],
  ['category', 'text'],
  ['severity', 'text'],
  ['entity_type', 'text'],
  ['entity_id', 'text'],
  ['action', 'text'],
  ['message', 'text'],
  ['details', 'jsonb'],
  ['source_service', 'text'],
  ['actor_type', 'text'],
  ['actor_id', 'text'],
  ['actor_name', 'text'],
  ['ip_address', 'inet'],
])

/** Can the table say what happened? */
export function takesEvents(columns: ReadonlySet<string>): boolean {
  return columns.has('event_type')
}

/** One statement without parameters. @param columns those of the table */
export function auditInsert(columns: ReadonlySet<string>, events: readonly DatedEvent[]): string {
  const present = [...COLUMNS].filter(([name]) => columns.has(name))
  const names = present.map(([name]) => `"${name}"`).join(', ')
  const record = present.map(([name, type]) => `"${name}" ${type}`).join(', ')
  return `INSERT INTO audit_log (${names}) SELECT ${names} FROM jsonb_to_recordset(
          ${literal(JSON.stringify(events.map(recordOf)))}::jsonb) AS r (${record})`
}

function recordOf({ at, event }: DatedEvent): Record<string, unknown> {
  const address = event.ipAddress ?? ''
  const actor = event.actor === undefined ? null : cleanText(event.actor)
  return {
    timestamp: new Date(at).toISOString(),
    tenant_id: event.tenantId === undefined ? null : cleanText(event.tenantId),
    event_type: event.eventType,
    category: event.category,
    severity: event.severity,
    entity_type: event.entityType,
    entity_id: cleanText(event.entityId),
    action: event.action,
    message: cleanText(event.message),
    details: event.details === undefined ? null : cleaned(event.details),
    source_service: 'ingest',
    actor_type: actor === null ? 'system' : 'user',
    actor_id: actor,
    actor_name: actor,
    // inet knows no zone.
    ip_address: isIP(address) === 0 ? null : address.replace(/%.*$/u, ''),
  }
}

/** Texts that jsonb takes, in names and values. */
function cleaned(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value)
  if (Array.isArray(value)) return value.map(cleaned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [cleanText(name), cleaned(member)]),
  )
}
