/** The result file of the publish benchmark. */
import { BATCH_ROWS, CONNECTIONS } from './copy-baseline.ts'
import type { MemoryRound } from './memory.ts'
import type { PublishOptions } from './publish.ts'
import { isComplete, type PublishRound } from './publish-round.ts'
import { loadText, median, medianAndRange, number, table } from './report.ts'

interface Measured {
  readonly options: PublishOptions
  readonly rounds: readonly PublishRound[]
  readonly memory: readonly MemoryRound[]
  readonly machine: readonly string[]
  readonly versions: readonly string[]
  readonly minutes: number
}

const MEGABYTE = 2 ** 20

export function publishReport(measured: Measured): string {
  const { options, rounds, minutes } = measured
  const expected = options.rounds * options.cases.length * serversOf(rounds).length
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n')
  const short =
    rounds.length === expected
      ? ''
      : `\n${rounds.length} of ${expected} runs: the time allowed for the whole was over.\n`
  return `# PUBLISH to PUBACK, ${new Date().toISOString().slice(0, 10)}

\`npm run bench -- publish\`: ${options.rounds} rounds of ${options.seconds} s each after 1 s of warming up, ${minutes.toFixed(1)} minutes in all.
QoS 1 over mutual TLS, a certificate per device, one process of mqload on the same machine, loopback.
${short}
## Machine and versions

${list(measured.machine)}
- load averages at the end: ${loadText()} (mqload, Node.js and PostgreSQL of this benchmark included)
${list(measured.versions)}

## Committed rows per second, and the same rows by plain COPY

Medians of the rounds, in parentheses the least and the most. COPY writes the very rows of the run before it, ${BATCH_ROWS} to a COMMIT over
${CONNECTIONS} connections; "share" is the median of the rounds' own quotients.

${throughputTable(measured)}

## Latency of PUBACK, CPU, memory at work

CPU is that of the measured seconds divided by the messages acknowledged in them; PostgreSQL means all its processes. "Core" is the share
of one core that the broker used: well below 1 it was waiting, not computing.

${costTable(measured)}

## Acknowledged and stored

All rounds together. A row counts as different by tenant, device and sequence number.

${completenessTable(measured)}

## Memory of idle connections

Resident memory of the broker's process, 3 s after the last of so many mTLS connections was made (Clean Session, Keep Alive 300, nothing
subscribed); ${measured.memory.length} fresh processes. It holds the garbage of the handshakes, which Node.js has no reason to collect while idle.

${memoryTable(measured.memory)}

## How to read this

- Look at the load averages against the number of cores: whatever else ran on this machine took its part. Rates and latencies suffer from
  that most; **CPU per message is the figure to trust**, though shared caches move it too (its ranges say how far), then the share of COPY,
  whose two sides ran within seconds of each other. Latency and rates mean little alone.
- Devices send as fast as their window lets them, so latency at saturation is (devices x window) / rate, not what a calm fleet sees. The
  row with 20 devices and window 1 comes nearest to that: 20 messages under way.
- The number of messages under way bounds the rows of a COMMIT, and PostgreSQL's cost per row falls with their number. COPY with
  ${BATCH_ROWS} rows to a COMMIT has that advantage over every case with fewer under way; the column "rows per COMMIT" says how many Midge had.
- The load generator shares the cores with what it measures.

## Every run

${everyRun(rounds)}
`
}

function serversOf(rounds: readonly PublishRound[]): string[] {
  return [...new Set(rounds.map(({ server }) => server))]
}

function groupsOf({ rounds, options }: Measured): [string, PublishRound[]][] {
  return serversOf(rounds).flatMap((server) =>
    options.cases.flatMap((each): [string, PublishRound[]][] => {
      const group = rounds.filter((round) => round.server === server && round.case === each)
      return group.length === 0 ? [] : [[`${server}, ${nameOf(group)}`, group]]
    }),
  )
}

function nameOf(group: readonly PublishRound[]): string {
  const { devices, window } = group[0]?.case ?? { devices: 0, window: 0 }
  return `${number(devices)} x ${window}`
}

function throughputTable(measured: Measured): string {
  return table(
    ['PostgreSQL, devices x window', 'rows/s', 'COPY rows/s', 'share', 'rows per COMMIT'],
    groupsOf(measured).map(([name, group]) => [
      name,
      medianAndRange(group.map(({ load }) => load.rate)),
      medianAndRange(group.map(({ copy }) => copy.rowsPerSecond)),
      number(median(group.map(({ load, copy }) => load.rate / copy.rowsPerSecond)), 2),
      number(median(group.map(({ rowsPerCommit }) => rowsPerCommit))),
    ]),
  )
}

function costTable(measured: Measured): string {
  const cpu = (group: readonly PublishRound[], name: string) =>
    medianAndRange(
      group.map(({ load }) => load.watch[name]?.cpu_us_per ?? NaN),
      1,
    )
  const of = (group: readonly PublishRound[], value: (round: PublishRound) => number, digits = 1) =>
    number(median(group.map(value)), digits)
  return table(
    [
      'PostgreSQL, devices x window',
      'p50 ms',
      'p99 ms',
      'broker µs/message',
      'PostgreSQL µs/message',
      'COPY alone, PostgreSQL µs/row',
      'core',
      'broker MB',
    ],
    groupsOf(measured).map(([name, group]) => [
      name,
      of(group, ({ load }) => load.lat_us.p50 / 1000),
      of(group, ({ load }) => load.lat_us.p99 / 1000),
      cpu(group, 'broker'),
      cpu(group, 'postgres'),
      of(group, ({ copy }) => copy.serverUsPerRow),
      of(group, ({ load }) => load.watch['broker']?.busy ?? NaN, 2),
      of(group, ({ load }) => (load.watch['broker']?.rss_kb ?? NaN) / 1024, 0),
    ]),
  )
}

function completenessTable(measured: Measured): string {
  const sum = (group: readonly PublishRound[], value: (round: PublishRound) => number) =>
    group.reduce((total, round) => total + value(round), 0)
  return table(
    [
      'PostgreSQL, devices x window',
      'sent',
      'acknowledged',
      'rows',
      'different rows',
      'errors',
      'equal',
    ],
    groupsOf(measured).map(([name, group]) => [
      name,
      number(sum(group, ({ load }) => load.total_sent)),
      number(sum(group, ({ load }) => load.total_acked)),
      number(sum(group, ({ rows }) => rows)),
      number(sum(group, ({ distinctRows }) => distinctRows)),
      number(sum(group, ({ load }) => load.errors)),
      group.every(isComplete) ? 'yes' : '**NO**',
    ]),
  )
}

function memoryTable(memory: readonly MemoryRound[]): string {
  const base = memory.map(({ baseBytes }) => baseBytes / MEGABYTE)
  const rows = (memory[0]?.held ?? []).map(({ connections }, i) => {
    const held = memory.map((round) => round.held[i]?.bytes ?? NaN)
    const each = memory.map((round, j) => ((held[j] ?? NaN) - round.baseBytes) / 1024 / connections)
    return [
      number(connections),
      medianAndRange(held.map((bytes) => bytes / MEGABYTE)),
      medianAndRange(each, 1),
    ]
  })
  return table(
    ['connections', 'broker MB', 'KB per connection'],
    [['0', medianAndRange(base), ''], ...rows],
  )
}

function everyRun(rounds: readonly PublishRound[]): string {
  return table(
    [
      'PostgreSQL, devices x window',
      'rows/s',
      'COPY rows/s',
      'p50 ms',
      'p99 ms',
      'broker µs',
    ].concat(['PostgreSQL µs', 'COPY µs', 'acknowledged', 'rows']),
    rounds.map((round) => [
      `${round.server}, ${nameOf([round])}`,
      number(round.load.rate),
      number(round.copy.rowsPerSecond),
      number(round.load.lat_us.p50 / 1000, 1),
      number(round.load.lat_us.p99 / 1000, 1),
      number(round.load.watch['broker']?.cpu_us_per ?? NaN, 1),
      number(round.load.watch['postgres']?.cpu_us_per ?? NaN, 1),
      number(round.copy.serverUsPerRow, 1),
      number(round.load.total_acked),
      number(round.rows),
    ]),
  )
}
