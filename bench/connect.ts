/**
 * What connections cost, beside Debian's Mosquitto with the same configuration in the same run: full
 * handshakes per second over mutual TLS, CPU of each, and resident memory of an idle connection.
 */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { connectReport } from './connect-report.ts'
import { mutualTls, prepareDevices, type Devices } from './devices.ts'
import { buildMqload, Mqload, type LoadReport } from './mqload.ts'
import { Cleanup, endOnSignal, residentBytes } from './processes.ts'
import { loadText, machineLines, versionLines, writeResult } from './report.ts'
import { mosquittoVersion, startTlsBroker, type TlsBroker } from './tls-brokers.ts'

/** Connects, and CPU of the broker for each, of one run. */
export interface StormRound {
  readonly broker: string
  readonly tls: '1.2' | '1.3'
  readonly load: LoadReport
}

/** Resident memory of a fresh broker, without and with idle connections. */
export interface IdleRound {
  readonly broker: string
  readonly connections: number
  readonly baseBytes: number
  readonly bytes: number
}

const AT_ONCE = 32
const IDLE_CONNECTIONS = [1000, 5000]
const CERTIFICATES = 1000
const SETTLE_MS = 3000

/** @returns false when a connection failed */
export async function benchmarkConnect(args: readonly string[]): Promise<boolean> {
  const { rounds, seconds, idle } = optionsOf(args)
  const machine = machineLines()
  const mosquitto = await mosquittoVersion()
  const versions = await versionLines([`Mosquitto ${mosquitto ?? 'is not installed'}`])
  const cleanup = new Cleanup()
  endOnSignal(cleanup)
  try {
    const mqload = new Mqload(await buildMqload())
    say('device certificates (made once, about 5 ms each) …')
    const devices = await prepareDevices(CERTIFICATES)
    const work = await mkdtemp(join(tmpdir(), 'midge-bench-'))
    cleanup.add(() => rm(work, { recursive: true, force: true }))
    await chmod(work, 0o755)
    const names = mosquitto === undefined ? (['midge'] as const) : (['midge', 'mosquitto'] as const)
    const start = (name: 'midge' | 'mosquitto', folder: string) =>
      startTlsBroker(name, { directory: join(work, folder), devices, cleanup })

    const brokers: TlsBroker[] = []
    for (const name of names) brokers.push(await start(name, name))
    const storms: StormRound[] = []
    for (let round = 0; round <= rounds; round++) {
      for (const tls of ['1.2', '1.3'] as const) {
        for (const broker of brokers) {
          const load = await storm({ mqload, devices, broker, tls, seconds })
          if (round === 0) continue // warming up: V8 has compiled what is hot by then
          storms.push({ broker: broker.name, tls, load })
          say(`round ${round}, load ${loadText()}: ${broker.name} ${lineOf(tls, load)}`)
        }
      }
    }
    for (const broker of brokers) await broker.stop()

    const ids = join(work, 'ids.txt')
    await repeatLines(devices.ids, ids, Math.max(...idle))
    const idleDevices = { ...devices, ids }
    const memory: IdleRound[] = []
    for (let round = 1; round <= rounds; round++) {
      for (const connections of idle) {
        for (const name of names) {
          const broker = await start(name, `${name}-${connections}-${round}`)
          memory.push(await measureIdle({ mqload, devices: idleDevices, broker, connections }))
          await broker.stop()
        }
      }
      say(`memory, round ${round} of ${rounds}`)
    }
    const text = connectReport({ rounds, seconds, storms, memory, machine, versions, idle })
    say(`\n${text}`)
    const isWhole = rounds >= 3 && names.length === 2
    say(isWhole ? `written to ${await writeResult('connect', text)}` : 'not written: no whole run')
    return storms.every(({ load }) => load.errors === 0)
  } finally {
    await cleanup.run()
  }
}

function storm(options: {
  readonly mqload: Mqload
  readonly devices: Devices
  readonly broker: TlsBroker
  readonly tls: '1.2' | '1.3'
  readonly seconds: number
}): Promise<LoadReport> {
  const { mqload, devices, broker, tls, seconds } = options
  const measured = ['-D', String(seconds), '-w', '1', '--watch', `broker=${broker.pid}`]
  const kind = ['conn', '--churn', '--tls-max', tls, '--src', '100']
  return mqload.run([...kind, ...mutualTls(devices, broker, AT_ONCE), ...measured], 30 + seconds)
}

async function measureIdle(options: {
  readonly mqload: Mqload
  readonly devices: Devices
  readonly broker: TlsBroker
  readonly connections: number
}): Promise<IdleRound> {
  const { mqload, devices, broker, connections } = options
  await settle()
  const baseBytes = residentBytes(broker.pid)
  const args = [...mutualTls(devices, broker, connections), '-k', '300', '--id', 'idle-%c']
  const held = await mqload.hold(args, 120)
  try {
    if (held.connected !== connections) {
      throw new Error(`${broker.name}: ${held.connected} of ${connections} connected`)
    }
    await settle()
    return { broker: broker.name, connections, baseBytes, bytes: residentBytes(broker.pid) }
  } finally {
    await held.close()
  }
}

/** Beyond the certificates there are: identities may repeat, Client Identifiers do not. */
async function repeatLines(from: string, to: string, count: number): Promise<void> {
  const text = await readFile(from, 'utf8')
  const lines = text.trimEnd().split('\n').length
  await writeFile(to, text.repeat(Math.ceil(count / lines)))
}

function optionsOf(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      idle: { type: 'string', multiple: true, default: [] },
    },
  })
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!(rounds >= 1 && rounds <= 20)) throw new Error('--rounds: expected 1 to 20')
  if (!(seconds >= 1 && seconds <= 30)) throw new Error('--seconds: expected 1 to 30')
  const idle = values.idle.map(Number)
  if (!idle.every((count) => count >= 1 && count <= 20_000)) {
    throw new Error('--idle: expected 1 to 20000 connections')
  }
  return { rounds, seconds, idle: idle.length > 0 ? idle : IDLE_CONNECTIONS }
}

function lineOf(tls: string, load: LoadReport): string {
  const cpu = ((load.watch['broker']?.cpu_us_per ?? NaN) / 1000).toFixed(2)
  return `TLS ${tls}: ${load.rate.toFixed(0)} connects/s, ${cpu} ms CPU each, ${load.errors} errors`
}

const settle = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS))

function say(text: string): void {
  console.log(text)
}
