/** Shadows and commands in PostgreSQL: the effects of reports, and what a device asks for. */
import type { CommandAck, ShadowReport } from './report.ts'
import { planOf } from './batch-plan.ts'
import { acknowledgeCommands, applyShadows, type Outcome } from './statements.ts'
import type { DownlinkTables } from './tables.ts'

/** What the writer needs of a store; tests bring their own. */
export interface ReportStore {
  /** Commits the effects of all of them or of none. Returns what became of each, in order. */
  apply(batch: readonly (ShadowReport | CommandAck)[]): Promise<readonly Outcome[]>
}

export class DownlinkStore implements ReportStore {
  readonly #tables: DownlinkTables
  readonly #asksRegistry: boolean

  /** @param asksRegistry only devices that are ACTIVE in the registry change anything */
  constructor(tables: DownlinkTables, asksRegistry: boolean) {
    this.#tables = tables
    this.#asksRegistry = asksRegistry
  }

  /** One transaction; a statement for all shadows of a tenant, one for its acknowledgements. */
  async apply(batch: readonly (ShadowReport | CommandAck)[]): Promise<readonly Outcome[]> {
    const { hasShadows, hasCommands, transactions } = this.#tables
    const asksRegistry = this.#asksRegistry
    const outcomes: Outcome[] = batch.map(() => 'no_row')
    const plans = planOf(batch)
    await transactions.run(async (client, enter) => {
      for (const { tenantId, shadows, acks } of plans) {
        await enter(tenantId)
        if (hasShadows && shadows.length > 0) {
          const reports = shadows.map(({ report }) => report)
          const found = await applyShadows(client, tenantId, reports, asksRegistry)
          shadows.forEach(({ places }, i) => set(outcomes, places, found[i]))
        }
        if (hasCommands && acks.length > 0) {
          const reports = acks.map(({ report }) => report)
          const found = await acknowledgeCommands(client, tenantId, reports, asksRegistry)
          acks.forEach(({ places }, i) => set(outcomes, places, found[i]))
        }
      }
    })
    return outcomes
  }
}

function set(outcomes: Outcome[], places: readonly number[], outcome: Outcome = 'no_row'): void {
  for (const place of places) outcomes[place] = outcome
}
