/**
 * The statements on shadows and commands; each inside a transaction that entered the tenant. Who is
 * not ACTIVE in the registry changes nothing, whatever his connection was let in for.
 */
import type { PoolClient } from 'pg'
import type { CommandAck, ShadowReport } from './report.ts'

/** `no_row`: nothing to update, the row comes from elsewhere; `not_active`: not an ACTIVE device. */
export type Outcome = 'applied' | 'no_row' | 'not_active'

interface Found extends Record<string, unknown> {
  readonly place: number
  readonly outcome: Outcome
}

/** @param withRegistry false: there is no registry to ask */
const isActive = (withRegistry: boolean, row: string): string =>
  withRegistry
    ? `EXISTS (SELECT 1 FROM device_registry g WHERE g.tenant_id = $1
         AND g.device_id = ${row}.device_id AND g.status = 'ACTIVE')`
    : 'true'

/**
 * Replaces `reported_state` of each device. At most one report of a device: of two for one row
 * PostgreSQL takes either.
 *
 * @returns what became of each report, in order
 */
export async function applyShadows(
  client: PoolClient,
  tenantId: string,
  reports: readonly Pick<ShadowReport, 'deviceId' | 'reported' | 'version'>[],
  withRegistry: boolean,
): Promise<readonly Outcome[]> {
  const { rows } = await client.query<Found>(
    `WITH r AS (
       SELECT u.*, ${isActive(withRegistry, 'u')} AS active
         FROM unnest($2::text[], $3::jsonb[], $4::integer[]) WITH ORDINALITY
              AS u (device_id, reported, version, place)
     ), updated AS (
       UPDATE device_state s
          SET reported_state = r.reported,
              reported_version = greatest(s.reported_version, r.version),
              last_seen_at = now()
         FROM r WHERE s.tenant_id = $1 AND s.device_id = r.device_id AND r.active
       RETURNING s.device_id
     )
     SELECT r.place::integer AS place,
            CASE WHEN NOT r.active THEN 'not_active'
                 WHEN EXISTS (SELECT 1 FROM updated WHERE updated.device_id = r.device_id)
                 THEN 'applied' ELSE 'no_row' END AS outcome
       FROM r`,
    [
      tenantId,
      reports.map(({ deviceId }) => deviceId),
      reports.map(({ reported }) => reported),
      reports.map(({ version }) => version),
    ],
  )
  return inOrder(rows, reports.length)
}

/**
 * `queued` becomes `delivered`. At most one acknowledgement of a command.
 *
 * @returns what became of each, in order; `no_row`: unknown, another device's, or not queued
 */
export async function acknowledgeCommands(
  client: PoolClient,
  tenantId: string,
  acks: readonly Pick<CommandAck, 'deviceId' | 'commandId' | 'ackDetails'>[],
  withRegistry: boolean,
): Promise<readonly Outcome[]> {
  const { rows } = await client.query<Found>(
    `WITH r AS (
       SELECT u.*, ${isActive(withRegistry, 'u')} AS active
         FROM unnest($2::text[], $3::text[], $4::jsonb[]) WITH ORDINALITY
              AS u (device_id, command_id, details, place)
     ), updated AS (
       UPDATE device_commands c
          SET status = 'delivered', acked_at = now(), ack_details = r.details
         FROM r
        WHERE c.tenant_id = $1 AND c.command_id::text = r.command_id
          AND c.device_id = r.device_id AND c.status = 'queued' AND r.active
       RETURNING r.place
     )
     SELECT r.place::integer AS place,
            CASE WHEN NOT r.active THEN 'not_active'
                 WHEN EXISTS (SELECT 1 FROM updated WHERE updated.place = r.place)
                 THEN 'applied' ELSE 'no_row' END AS outcome
       FROM r`,
    [
      tenantId,
      acks.map(({ deviceId }) => deviceId),
      acks.map(({ commandId }) => commandId),
      acks.map(({ ackDetails }) => ackDetails),
    ],
  )
  return inOrder(rows, acks.length)
}

function inOrder(rows: readonly Found[], count: number): readonly Outcome[] {
  const outcomes: Outcome[] = Array.from({ length: count }, () => 'no_row')
  for (const { place, outcome } of rows) outcomes[place - 1] = outcome
  return outcomes
}
