/**
 * Memory over time: a fleet publishes as fast as this machine holds, for minutes, while the resident
 * memory of the broker is looked at every five seconds. After the warm-up it has to stay where it is,
 * and every acknowledged message has to be a row.
 *
 *     npm run build && node dist/bench/soak.js --minutes 10
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { messageOf } from '../core/errors.ts'
import { mutualTls, prepareDevices } from './devices.ts'
import { startMidge } from './midge.ts'
import { buildMqload, Mqload } from './mqload.ts'
import { Cleanup, residentBytes } from './processes.ts'
import { loadText, machineLines, number, table, versionLines } from './report.ts'
import { embeddedServer } from './servers.ts'

interface Sample {
  readonly seconds: number
  readonly bytes: number
  /** Of `telemetry`, since the start, as the broker counts them. */
  readonly rows: number
}

const DEVICES = 20
const WINDOW = 10
const SAMPLE_MS = 5_000
/** V8's heap and the pools have their size by then. */
const WARM_UP_SECONDS = 60
const DRAIN_SECONDS = 15
const MIB = 2 ** 20
/** What a slope may be beyond its own uncertainty: a leak of 10 bytes a message is more. */
const MOST_MIB_PER_MINUTE = 2

/** @returns false when memory grows, or an acknowledged message is missing or stored twice */
export async function benchmarkSoak(args: readonly string[]): Promise<boolean> {
  const seconds = minutesOf(args) * 60
  const cleanup = new Cleanup()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void cleanup.run().then(() => process.exit(1)))
  }
  try {
    const head = machineLines()
    const mqload = new Mqload(await buildMqload())
    const devices = await prepareDevices(DEVICES)
    const work = await mkdtemp(join(tmpdir(), 'midge-soak-'))
    cleanup.add(() => rm(work, { recursive: true, force: true }))
    await chmod(work, 0o711) // the account that runs PostgreSQL passes through
    const data = join(work, 'data')
    await devices.giveTo(data)
    const midge = await startMidge({ data })
    cleanup.add(() => midge.stop())
    const server = await embeddedServer(data)
    const client = await server.connect()
    cleanup.add(() => client.end())
    await devices.registerIn(client)

    const samples: Sample[] = []
    const began = performance.now()
    const sample = async () => {
      const rows = await midge.metric('ingest_batch_rows_sum')
      const at = (performance.now() - began) / 1000
      samples.push({ seconds: at, bytes: residentBytes(midge.pid), rows })
    }
    await sample()
    const timer = setInterval(() => void sample().catch(report), SAMPLE_MS)
    cleanup.add(() => clearInterval(timer))
    const load = await mqload.run(
      [
        'pub',
        ...mutualTls(devices, midge, DEVICES),
        ...`-q 1 -T telemetry -W ${WINDOW} -D ${seconds} -w 1 --drain ${DRAIN_SECONDS}`.split(' '),
      ],
      seconds + 60,
    )
    clearInterval(timer)
    const { rows: found } = await client.query<{ rows: string; different: string }>(
      `SELECT count(*) AS rows, count(DISTINCT (tenant_id, device_id, seq)) AS different
         FROM telemetry`,
    )
    const rows = Number(found[0]?.rows)
    const isComplete =
      rows > 0 &&
      rows === load.total_acked &&
      rows === Number(found[0]?.different) &&
      load.errors === 0

    const warm = samples.filter((each) => each.seconds >= WARM_UP_SECONDS && each.seconds < seconds)
    const { perMinute, uncertainty } = slopeOf(warm)
    const isFlat = perMinute - 2 * uncertainty <= MOST_MIB_PER_MINUTE
    const versions = await versionLines([`PostgreSQL ${server.version} (embedded)`])
    const lines = [
      ...[...head, `load averages at the end: ${loadText()}`, ...versions].map(
        (each) => `- ${each}`,
      ),
      '',
      table(['seconds', 'RSS MiB', 'rows', 'rows/s'], rowsOf(samples)),
      '',
      `${DEVICES} devices, window ${WINDOW}, ${number(load.rate)} rows/s, PUBACK after p50 ` +
        `${(load.lat_us.p50 / 1000).toFixed(1)} ms, p99 ${(load.lat_us.p99 / 1000).toFixed(1)} ms`,
      `sent ${load.total_sent}, acknowledged ${load.total_acked}, rows ${rows}, different rows ` +
        `${found[0]?.different}, errors ${load.errors}${isComplete ? '' : ' NOT EQUAL'}`,
      `RSS after ${WARM_UP_SECONDS} s of warming up: ${rangeOf(warm)} MiB in ${warm.length} samples, ` +
        `slope ${perMinute.toFixed(2)} ± ${uncertainty.toFixed(2)} MiB a minute: ` +
        (isFlat ? 'flat' : 'GROWS'),
    ]
    console.log(lines.join('\n'))
    return isComplete && isFlat
  } finally {
    await cleanup.run()
  }
}

function minutesOf(args: readonly string[]): number {
  const options = { minutes: { type: 'string', default: '10' } } as const
  const minutes = Number(parseArgs({ args: [...args], options }).values.minutes)
  if (!(minutes >= 2 && minutes <= 1440)) throw new Error('--minutes: expected 2 to 1440')
  return minutes
}

/** Least squares, with the standard error of the slope; both MiB a minute. */
function slopeOf(samples: readonly Sample[]): { perMinute: number; uncertainty: number } {
  const points = samples.map((each) => ({ x: each.seconds / 60, y: each.bytes / MIB }))
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanX, meanY] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))]
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  const perMinute = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread
  const residue = points.reduce(
    (sum, { x, y }) => sum + (y - meanY - perMinute * (x - meanX)) ** 2,
    0,
  )
  const uncertainty = Math.sqrt(residue / Math.max(1, points.length - 2) / spread)
  return { perMinute, uncertainty }
}

function rowsOf(samples: readonly Sample[]): string[][] {
  return samples.map(({ seconds, bytes, rows }, i) => {
    const before = samples[i - 1]
    const rate = before === undefined ? 0 : (rows - before.rows) / (seconds - before.seconds)
    return [seconds.toFixed(0), (bytes / MIB).toFixed(1), number(rows), number(rate)]
  })
}

function rangeOf(samples: readonly Sample[]): string {
  const all = samples.map(({ bytes }) => bytes / MIB)
  return `${Math.min(...all).toFixed(1)} to ${Math.max(...all).toFixed(1)}`
}

function report(err: unknown): void {
  console.error(`bench soak: ${messageOf(err)}`)
}

if (process.argv[1] === import.meta.filename) {
  try {
    if (!(await benchmarkSoak(process.argv.slice(2)))) process.exitCode = 1
  } catch (err) {
    report(err)
    process.exitCode = 1
  }
}
