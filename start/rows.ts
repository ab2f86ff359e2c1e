/** `midge rows`: the last rows of table telemetry, and those that come while it runs. */
import { resolve } from 'node:path'
import { systemClock } from '../core/clock.ts'
import { readLastRows } from '../ingest/index.ts'
import { rowLine } from './demo.ts'
import { databaseOfRunning } from './run-file.ts'

const FOLLOW_EVERY_MS = 1000

/** @returns the exit code */
export async function printRows(options: {
  readonly limit: number
  readonly follow: boolean
  readonly data: string | undefined
}): Promise<number> {
  const directory = resolve(options.data ?? process.env['MIDGE_DATA'] ?? 'data')
  const database = await databaseOfRunning(directory)
  const rows = await readLastRows(database, options.limit)
  if (rows.length === 0) process.stdout.write('no rows yet\n')
  for (const row of rows.toReversed()) process.stdout.write(`${rowLine(row)}\n`)
  if (!options.follow) return 0
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  let seen = new Set(rows.map(rowLine))
  while (!stop.signal.aborted) {
    await systemClock.sleep(FOLLOW_EVERY_MS, stop.signal)
    const latest = (await readLastRows(database, Math.max(options.limit, 100))).map(rowLine)
    for (const line of latest.toReversed()) {
      if (!seen.has(line)) process.stdout.write(`${line}\n`)
    }
    seen = new Set(latest)
  }
  return 0
}
