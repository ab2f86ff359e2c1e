/**
 * What connections tell beside their messages: rows of `device_connection_events` for devices that
 * come and go, if that is switched on, and audit events for certificates that are turned away.
 */
import type { Clock } from '../core/clock.ts'
import { deviceId, isId, tenantId, type DeviceId, type TenantId } from '../core/names.ts'
import type { AuditLog } from './audit.ts'
import { Journal, type JournalParts } from './journal.ts'
import { cleanText } from './quarantine-payload.ts'
import type { Publisher } from './telemetry.ts'
import type { TenantTransactions } from './tenant-transactions.ts'

export interface ObservedConnection {
  /** Undefined for whoever is no device. */
  readonly tenantId: TenantId | undefined
  readonly deviceId: DeviceId | undefined
  readonly publisher: Publisher
  readonly listener: string
  /** IP address, or `unix`. */
  readonly peer: string
}

export interface CertificateRefused {
  readonly reason: string
  readonly listener: string
  readonly peer: string
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string
  /** Undefined: no CA of ours vouches for what the certificate says. */
  readonly commonName: string | undefined
}

interface ConnectionEvent {
  readonly at: number
  readonly tenantId: TenantId
  readonly deviceId: DeviceId
  readonly type: 'CONNECTED' | 'DISCONNECTED' | 'CONNECTION_LOST'
  readonly details: Readonly<Record<string, string | undefined>>
}

/** Ends that nobody decided on. */
const LOST: ReadonlySet<string> = new Set(['connection_lost', 'keep_alive_timeout', 'too_slow'])
const REVOKED: ReadonlySet<string> = new Set([
  'certificate_revoked',
  'certificate_expired',
  'certificate_untrusted',
  'not_authorised',
])

export interface ConnectionEventsParts extends Omit<JournalParts<never>, 'name' | 'write'> {
  /** Undefined: no rows, audit events only. */
  readonly transactions: TenantTransactions | undefined
  readonly audit: Pick<AuditLog, 'record' | 'fold'>
}

export class ConnectionEvents {
  readonly #clock: Clock
  readonly #audit: ConnectionEventsParts['audit']
  readonly #journal: Journal<ConnectionEvent> | undefined

  constructor(parts: ConnectionEventsParts) {
    const { transactions } = parts
    this.#clock = parts.clock
    this.#audit = parts.audit
    this.#journal =
      transactions === undefined
        ? undefined
        : new Journal<ConnectionEvent>({
            ...parts,
            name: 'connections',
            write: (events) => insert(transactions, events),
          })
  }

  /** Memory only, as are the others; never throws. */
  opened(connection: ObservedConnection): void {
    this.#add(connection, 'CONNECTED')
  }

  closed(connection: ObservedConnection, reason: string): void {
    this.#add(connection, LOST.has(reason) ? 'CONNECTION_LOST' : 'DISCONNECTED', reason)
    if (!REVOKED.has(reason)) return
    const { publisher, listener, peer } = connection
    const who = connection.deviceId ?? publisher.userName ?? publisher.clientId
    this.#audit.record({
      tenantId: connection.tenantId,
      eventType: 'session.closed',
      category: 'security',
      action: 'disconnect',
      severity: 'warning',
      entityType: connection.deviceId === undefined ? publisher.kind : 'device',
      entityId: who,
      message: `Closed the session of ${who}: ${reason}`,
      details: { reason, listener, client_id: publisher.clientId, ...certificateOf(publisher) },
      ipAddress: peer,
    })
  }

  certificateRefused(refusal: CertificateRefused): void {
    const { reason, listener, peer, fingerprint, commonName } = refusal
    const device = deviceOf(commonName)
    // A stranger can make as many certificates as he likes: one kind, whatever they say.
    const whose = commonName === undefined ? 'stranger' : fingerprint
    this.#audit.fold(`refused/${listener}/${reason}/${whose}`, () => ({
      tenantId: device?.tenantId,
      eventType: 'certificate.refused',
      category: 'security',
      action: 'refuse',
      severity: 'warning',
      entityType: device === undefined ? 'certificate' : 'device',
      entityId: device?.deviceId ?? fingerprint,
      message: `Refused a certificate${device === undefined ? '' : ` of ${device.deviceId}`}: ${reason}`,
      details: { reason, listener, fingerprint, common_name: commonName ?? null },
      ipAddress: peer,
    }))
  }

  async idle(): Promise<void> {
    await this.#journal?.idle()
  }

  close(): void {
    this.#journal?.close()
  }

  #add(
    { tenantId, deviceId, publisher, listener, peer }: ObservedConnection,
    type: ConnectionEvent['type'],
    reason?: string,
  ): void {
    if (tenantId === undefined || deviceId === undefined) return
    const details = { trigger: 'mqtt', reason, client_id: publisher.clientId, listener, peer }
    this.#journal?.add({ at: this.#clock.now(), tenantId, deviceId, type, details })
  }
}

function certificateOf({ fingerprint }: Publisher): Record<string, string> {
  return fingerprint === undefined ? {} : { fingerprint }
}

function deviceOf(commonName = ''): { tenantId: TenantId; deviceId: DeviceId } | undefined {
  const [tenant = '', device = '', more] = commonName.split('/')
  if (more !== undefined || !isId(tenant) || !isId(device)) return undefined
  return { tenantId: tenantId(tenant), deviceId: deviceId(device) }
}

/** Tenant by tenant, in one transaction. */
async function insert(
  transactions: TenantTransactions,
  events: readonly ConnectionEvent[],
): Promise<void> {
  const byTenant = new Map<TenantId, ConnectionEvent[]>()
  for (const event of events) {
    const known = byTenant.get(event.tenantId)
    if (known === undefined) byTenant.set(event.tenantId, [event])
    else known.push(event)
  }
  await transactions.run(async (client, enter) => {
    for (const [tenant, ofTenant] of byTenant) {
      await enter(tenant)
      await client.query(
        `INSERT INTO device_connection_events (tenant_id, device_id, event_type, "timestamp", details)
         SELECT $1, u.device_id, u.event_type, u.at, u.details
           FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::jsonb[])
                AS u (device_id, event_type, at, details)`,
        [
          tenant,
          ofTenant.map((event) => event.deviceId),
          ofTenant.map(({ type }) => type),
          ofTenant.map(({ at }) => new Date(at).toISOString()),
          ofTenant.map(({ details }) => cleanJson(details)),
        ],
      )
    }
  })
}

function cleanJson(details: ConnectionEvent['details']): string {
  return JSON.stringify(
    Object.fromEntries(
      Object.entries(details).flatMap(([name, text]) =>
        text === undefined ? [] : [[name, cleanText(text)]],
      ),
    ),
  )
}
