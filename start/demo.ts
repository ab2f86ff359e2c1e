/** `npm run demo`: the newcomer's start plus simulated devices, a live line and an honest sum. */
import type { Clock } from '../core/clock.ts'
import { Latencies } from './latencies.ts'
import { SimulatedDevice } from './simulated-device.ts'

export interface DemoOptions {
  readonly devices: number
  /** Telemetry messages per second, all devices together. */
  readonly rate: number
  readonly port: number
  readonly serverCa: string
  readonly clock: Clock
  readonly random: () => number
  /** Where the live line goes. */
  readonly output: {
    write(text: string): unknown
    readonly isTTY?: boolean
    readonly columns?: number
  }
  issue(tenantId: string, deviceId: string): Promise<{ certificate: string; key: string }>
  /** Rows of the tenant now. */
  countRows(tenantId: string): Promise<number>
  lastRows(limit: number): Promise<readonly DemoRow[]>
  rowsCommitted(): number
}

export interface DemoRow {
  readonly time: string
  readonly tenantId: string
  readonly deviceId: string
  readonly msgType: string
  readonly metrics: string
}

const TENANT = 'demo'
/** Of every simulated device. */
export const DEMO_SITE = 'demo-site'
const HEARTBEAT_EVERY_MS = 10_000
/** Long enough to empty a full queue; a device that cannot reach its broker stops anyway. */
const STOP_DEADLINE_MS = 8000

/** @returns true when every acknowledged message is a row */
export async function runDemo(options: DemoOptions, stop: AbortSignal): Promise<boolean> {
  const { clock, output, random } = options
  const latencies = new Latencies(10_000)
  let sent = 0
  let acknowledged = 0
  const rowsBefore = await options.countRows(TENANT)
  const devices: SimulatedDevice[] = []
  output.write(`connecting ${options.devices} simulated devices of tenant ${TENANT} …\n`)
  for (let i = 1; i <= options.devices && !stop.aborted; i++) {
    const deviceId = `sim-${String(i).padStart(4, '0')}`
    const credentials = await options.issue(TENANT, deviceId)
    devices.push(
      await SimulatedDevice.connect({
        ...credentials,
        tenantId: TENANT,
        deviceId,
        siteId: DEMO_SITE,
        port: options.port,
        serverCa: options.serverCa,
        random,
        sent: () => sent++,
        acknowledged: (ms) => {
          acknowledged++
          latencies.add(ms)
        },
      }),
    )
  }

  const everyMs = (1000 * options.devices) / options.rate
  const stops = devices.flatMap((device) => [
    clock.every(everyMs, () => device.publishTelemetry()),
    clock.every(HEARTBEAT_EVERY_MS, () => device.publishHeartbeat()),
  ])
  for (const device of devices) device.publishHeartbeat()

  let lastAcknowledged = 0
  let shownLines = 0
  while (!stop.aborted) {
    await clock.sleep(1000, stop)
    const perSecond = acknowledged - lastAcknowledged
    lastAcknowledged = acknowledged
    const line =
      `${perSecond} messages/s · ${options.rowsCommitted()} rows committed · PUBACK p50 ` +
      `${latencies.percentile(0.5).toFixed(1)} ms, p99 ${latencies.percentile(0.99).toFixed(1)} ms`
    const rows = await options.lastRows(3)
    const block = [line, ...rows.map((row) => `    ${rowLine(row)}`)]
    // On a terminal the lines stay in their place; in a file each second has its own.
    if (output.isTTY === true && shownLines > 0) output.write(`\u001b[${shownLines}A\u001b[J`)
    shownLines = block.length
    output.write(`${block.map((text) => fit(text, output.columns)).join('\n')}\n`)
  }

  for (const stopOne of stops) stopOne()
  output.write('stopping: waiting for what is under way …\n')
  await Promise.race([
    Promise.allSettled(devices.map((device) => device.stop())),
    clock.sleep(STOP_DEADLINE_MS),
  ])
  const rows = (await options.countRows(TENANT)) - rowsBefore
  output.write(summary(sent, acknowledged, rows))
  return rows >= acknowledged
}

/** One row, one line. */
export function rowLine({ time, tenantId, deviceId, msgType, metrics }: DemoRow): string {
  return `${time}  ${tenantId}/${deviceId}  ${msgType}  ${metrics}`
}

/** A line that wraps would be two. */
function fit(text: string, columns: number | undefined): string {
  return columns === undefined || text.length < columns ? text : `${text.slice(0, columns - 2)}…`
}

function summary(sent: number, acknowledged: number, rows: number): string {
  return [
    '',
    `  sent          ${sent}`,
    `  acknowledged  ${acknowledged}`,
    `  rows          ${rows}`,
    `  difference    ${rows - acknowledged}  (rows minus acknowledged; must be 0)`,
    '',
    '',
  ].join('\n')
}
