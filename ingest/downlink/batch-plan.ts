/** A batch of reports as the statements it takes: by tenant, one report of a device, one of a command. */
import type { CommandAck, ShadowReport } from './report.ts'

export interface Planned<R> {
  readonly report: R
  /** Places in the batch that share its outcome. */
  readonly places: number[]
}

export interface TenantPlan {
  readonly tenantId: string
  readonly shadows: readonly Planned<ShadowReport>[]
  readonly acks: readonly Planned<CommandAck>[]
  /** Places of acknowledgements that follow an earlier one of the same command. */
  readonly repeated: readonly number[]
}

/**
 * As if each were applied alone, in order: the last state of a device stays, with the greatest
 * version; of acknowledgements of one command the first finds it queued. Tenants and devices come in
 * one order everywhere, so that two processes seldom wait for each other.
 */
export function planOf(batch: readonly (ShadowReport | CommandAck)[]): readonly TenantPlan[] {
  const tenants = new Map<string, Draft>()
  batch.forEach((report, place) => {
    const { tenantId } = report
    const draft = tenants.get(tenantId) ?? { shadows: new Map(), acks: new Map(), repeated: [] }
    tenants.set(tenantId, draft)
    if (report.kind === 'shadow_reported') addShadow(draft, report, place)
    else addAck(draft, report, place)
  })
  return [...tenants]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tenantId, { shadows, acks, repeated }]) => ({
      tenantId,
      shadows: sorted(shadows),
      acks: sorted(acks),
      repeated,
    }))
}

interface Draft {
  readonly shadows: Map<string, Planned<ShadowReport>>
  readonly acks: Map<string, Planned<CommandAck>>
  readonly repeated: number[]
}

function addShadow({ shadows }: Draft, report: ShadowReport, place: number): void {
  const earlier = shadows.get(report.deviceId)
  const version = Math.max(report.version, earlier?.report.version ?? report.version)
  const places = [...(earlier?.places ?? []), place]
  shadows.set(report.deviceId, { report: { ...report, version }, places })
}

function addAck({ acks, repeated }: Draft, report: CommandAck, place: number): void {
  // No id of a device holds a slash.
  const key = `${report.deviceId}/${report.commandId}`
  if (acks.has(key)) repeated.push(place)
  else acks.set(key, { report, places: [place] })
}

function sorted<R>(planned: ReadonlyMap<string, Planned<R>>): readonly Planned<R>[] {
  return [...planned].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, plan]) => plan)
}
