/**
 * What a telemetry PUBLISH costs from the TLS socket to the committed row and its PUBACK: rows per
 * second, latency, CPU, memory, beside what plain COPY of the same rows does on the same server in
 * the same run.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { prepareDevices, type Devices } from './devices.ts'
import { measureMemory, type MemoryRound } from './memory.ts'
import { startMidge } from './midge.ts'
import { buildMqload, Mqload } from './mqload.ts'
import { Cleanup, endOnSignal } from './processes.ts'
import { publishReport } from './publish-report.ts'
import {
  isComplete,
  runOnce,
  type PublishCase,
  type PublishRound,
  type Target,
} from './publish-round.ts'
import { loadText, machineLines, versionLines, writeResult } from './report.ts'
import { embeddedServer, startSeparateServer } from './servers.ts'

export interface PublishOptions {
  readonly rounds: number
  readonly seconds: number
  readonly cases: readonly PublishCase[]
}

const CASES: readonly PublishCase[] = [
  { devices: 20, window: 10 },
  { devices: 20, window: 1 },
  { devices: 1000, window: 10 },
  { devices: 1000, window: 1 },
]
/** Before the first round, unmeasured: V8 has compiled what is hot by then. */
const WARM_UP: PublishCase = { devices: 20, window: 50 }
const IDLE_CONNECTIONS = [20, 1000]
/** No run begins later than this after the start; the whole stays below ten minutes. */
const LAST_BEGIN_MS = 540_000

/** @returns false when an acknowledged message is missing, or stored twice */
export async function benchmarkPublish(args: readonly string[]): Promise<boolean> {
  const options = optionsOf(args)
  const began = performance.now()
  const machine = machineLines()
  const state = await versionLines()
  const mayBegin = () => performance.now() - began < LAST_BEGIN_MS
  const cleanup = new Cleanup()
  endOnSignal(cleanup)
  try {
    const mqload = new Mqload(await buildMqload())
    say('device certificates (made once, about 5 ms each) …')
    const most = Math.max(...IDLE_CONNECTIONS, ...options.cases.map(({ devices }) => devices))
    const devices = await prepareDevices(most)
    const work = await mkdtemp(join(tmpdir(), 'midge-bench-'))
    cleanup.add(() => rm(work, { recursive: true, force: true }))
    await chmod(work, 0o711) // the account that runs PostgreSQL passes through

    const data = join(work, 'embedded')
    await devices.giveTo(data)
    const memory: MemoryRound[] = []
    for (let i = 0; i < options.rounds && mayBegin(); i++) {
      say(`memory, round ${i + 1} …`)
      memory.push(await measureMemory({ data, mqload, devices, connections: IDLE_CONNECTIONS }))
    }

    const targets = await startTargets(data, work, devices, cleanup)
    const around = { mqload, devices, seconds: options.seconds }
    for (const target of targets) await runOnce(target, WARM_UP, around)
    const rounds: PublishRound[] = []
    for (let i = 0; i < options.rounds; i++) {
      for (const target of targets) {
        for (const each of options.cases) {
          if (!mayBegin()) continue
          const round = await runOnce(target, each, around)
          rounds.push(round)
          say(`round ${i + 1}, load ${loadText()}: ${lineOf(round)}`)
        }
      }
    }
    const databases = targets.map(({ server }) => `PostgreSQL ${server.version} (${server.name})`)
    const versions = [...state, ...databases]
    const minutes = (performance.now() - began) / 60_000
    const text = publishReport({ options, rounds, memory, machine, versions, minutes })
    say(`\n${text}`)
    const isWhole = options.rounds >= 3 && options.cases === CASES
    say(isWhole ? `written to ${await writeResult('publish', text)}` : 'not written: no whole run')
    return rounds.every(isComplete)
  } finally {
    await cleanup.run()
  }
}

function optionsOf(args: readonly string[]): PublishOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      case: { type: 'string', multiple: true, default: [] },
    },
  })
  const cases = values.case.map((text) => {
    const [devices = 0, window = 0] = text.split('x').map(Number)
    if (!(devices > 0 && window > 0)) throw new Error(`--case DEVICESxWINDOW, found ${text}`)
    return { devices, window }
  })
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!(rounds >= 1 && rounds <= 20)) throw new Error('--rounds: expected 1 to 20')
  if (!(seconds >= 1 && seconds <= 30)) throw new Error('--seconds: expected 1 to 30')
  return { rounds, seconds, cases: cases.length > 0 ? cases : CASES }
}

/** A Midge for each kind of server, all running: what disturbs one round disturbs both. */
async function startTargets(
  data: string,
  work: string,
  devices: Devices,
  cleanup: Cleanup,
): Promise<Target[]> {
  say('starting Midge with the embedded PostgreSQL, and a separate one; registering the devices …')
  const embedded = await startMidge({ data })
  cleanup.add(() => embedded.stop())
  const targets: Target[] = [{ midge: embedded, server: await embeddedServer(data) }]
  const separate = await startSeparateServer(join(work, 'postgres'), cleanup)
  if (separate === undefined) {
    say('no separate PostgreSQL: Debian’s postgresql-15 is not installed; embedded only')
  } else {
    const other = join(work, 'separate')
    await devices.giveTo(other)
    const midge = await startMidge({ data: other, env: separate.env })
    cleanup.add(() => midge.stop())
    targets.push({ midge, server: separate })
  }
  for (const { server } of targets) {
    const client = await server.connect()
    await devices.registerIn(client)
    await client.end()
  }
  return targets
}

function lineOf(round: PublishRound): string {
  const { server, load, copy, rows } = round
  const { devices, window } = round.case
  const broker = load.watch['broker']?.cpu_us_per.toFixed(1)
  const postgres = load.watch['postgres']?.cpu_us_per.toFixed(1)
  return (
    `${server}, ${devices} devices x ${window}: ${load.rate.toFixed(0)} rows/s, ` +
    `COPY ${copy.rowsPerSecond.toFixed(0)}, broker ${broker} µs, PostgreSQL ${postgres} µs, ` +
    `acknowledged ${load.total_acked}, rows ${rows}${isComplete(round) ? '' : ' NOT EQUAL'}`
  )
}

function say(text: string): void {
  console.log(text)
}
