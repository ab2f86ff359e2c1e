/** `midge check FILE`: what becomes of each line of a mosquitto.conf, and what is dangerous in it. */
import { EXIT, diskFiles, migrationOf } from '../config/index.ts'
import type { Environment, Migration } from '../config/index.ts'
import type { Config } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { deviceAccountsOf } from './check-device-accounts.ts'
import { doorsOf } from './check-doors.ts'
import { filesOf } from './check-files.ts'
import { sorted } from './check-findings.ts'
import { processNeeds, type Machine } from './check-process.ts'

export interface CheckOptions {
  readonly file: string
  readonly environment: Environment
  readonly clock: Pick<Clock, 'now'>
  readonly machine: Machine
  write(text: string): void
}

/**
 * Reads the file and those it names; opens no port, writes nothing.
 *
 * @returns EXIT.ok: it starts, and nothing dangerous was found; EXIT.dangers; EXIT.configuration: it
 * does not start, or a listener would stay closed
 * @throws ConfigErrors after the report, when the file is refused
 */
export async function checkFile(options: CheckOptions): Promise<number> {
  const { environment, clock, machine } = options
  const migration = migrationOf({ ...options, files: diskFiles })
  const { lines, otherwise, loaded, errors } = migration
  const report = [...lines, ...otherwise]
  let exitCode: number = EXIT.ok
  if (loaded !== undefined) {
    const { config } = loaded
    const findings = sorted([
      ...doorsOf(config),
      ...deviceAccountsOf(config),
      ...(await filesOf(config, clock.now())),
      ...processNeeds(config, options.file, environment, machine),
    ])
    report.push(tenancyText(config, migration))
    for (const { severity, text } of findings) {
      report.push(`${severity === 'error' ? 'Error' : 'Danger'}: ${text.replaceAll('\n', '; ')}`)
    }
    const errorCount = findings.filter(({ severity }) => severity === 'error').length
    if (findings.length === 0) report.push('No danger found.')
    if (errorCount === 0) report.push('Configuration file is OK.')
    else exitCode = EXIT.configuration
    if (errorCount === 0 && findings.length > 0) exitCode = EXIT.dangers
  }
  options.write(report.map((line) => `${line}\n`).join(''))
  if (errors !== undefined) throw errors
  return exitCode
}

function tenancyText(
  { tenancy, ingest }: Config,
  { tenancyGiven }: Pick<Migration, 'tenancyGiven'>,
): string {
  const stored = ingest === undefined ? 'no database is configured' : 'telemetry is stored'
  const because = tenancyGiven ? 'MIDGE_TENANCY says so' : stored
  return tenancy
    ? `Tenancy: on, because ${because}. A certificate must name tenant/device, and a device stays below tenant/T/device/D/.`
    : `Tenancy: off, because ${because}. User names and the acl_file decide, as in Mosquitto.`
}
