/** The result file of the connect benchmark. */
import type { IdleRound, StormRound } from './connect.ts'
import { loadText, medianAndRange, table } from './report.ts'

interface Measured {
  readonly rounds: number
  readonly seconds: number
  readonly storms: readonly StormRound[]
  readonly memory: readonly IdleRound[]
  readonly idle: readonly number[]
  readonly machine: readonly string[]
  readonly versions: readonly string[]
}

const BROKERS = ['midge', 'mosquitto']

export function connectReport(measured: Measured): string {
  const { rounds, seconds, machine, versions } = measured
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n')
  return `# Connections, ${new Date().toISOString().slice(0, 10)}

\`npm run bench -- connect\`: ${rounds} rounds of ${seconds} s after 1 s of warming up and one round that does not count. Both brokers run all the
time with the same mosquitto.conf and take turns. P-256 certificates on both sides, client certificate required, a CRL in force, no
resumption, one process of mqload on the same machine, loopback.

## Machine and versions

${list(machine)}
- load averages at the end: ${loadText()}
${list(versions)}

## TCP, TLS handshake, CONNECT, CONNACK, DISCONNECT: 32 at a time

Medians of the rounds, in parentheses the least and the most. CPU is the broker's, all threads, divided by the connects. "Ratio" is the CPU of
Midge divided by that of Mosquitto in the same round.

${stormTable(measured)}

## Resident memory of an idle connection

Growth of a fresh broker's resident memory, 3 s after the last connection was made, divided by their number. Clean Session, Keep Alive 300,
nothing subscribed.

${memoryTable(measured)}
`
}

function stormTable({ storms }: Measured): string {
  const cpuOf = ({ load }: StormRound) => (load.watch['broker']?.cpu_us_per ?? NaN) / 1000
  const rows = (['1.2', '1.3'] as const).flatMap((tls) => {
    const of = (name: string) =>
      storms.filter(({ broker, tls: version }) => broker === name && version === tls)
    const [ours, theirs] = BROKERS.map(of)
    const ratios = (ours ?? []).map((each, i) => cpuOf(each) / cpuOf(theirs?.[i] ?? each))
    return BROKERS.flatMap((name) => {
      const runs = of(name)
      if (runs.length === 0) return []
      return [
        [
          `${name}, TLS ${tls}`,
          medianAndRange(runs.map(({ load }) => load.rate)),
          medianAndRange(runs.map(cpuOf), 2),
          name === 'midge' && theirs?.length !== 0 ? medianAndRange(ratios, 2) : '',
          String(runs.reduce((sum, { load }) => sum + load.errors, 0)),
        ],
      ]
    })
  })
  return table(['broker', 'connects/s', 'CPU ms each', 'ratio', 'errors'], rows)
}

function memoryTable({ memory, idle }: Measured): string {
  const rows = idle.flatMap((connections) =>
    BROKERS.flatMap((name) => {
      const runs = memory.filter((each) => each.broker === name && each.connections === connections)
      if (runs.length === 0) return []
      const each = runs.map(({ bytes, baseBytes }) => (bytes - baseBytes) / connections / 1024)
      const base = runs.map(({ baseBytes }) => baseBytes / 2 ** 20)
      return [[`${name}, ${connections}`, medianAndRange(each, 1), medianAndRange(base)]]
    }),
  )
  return table(['broker, connections', 'KB each', 'MB before them'], rows)
}
