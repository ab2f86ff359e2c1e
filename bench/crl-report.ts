/** The result file of the CRL benchmark. */
import { loadText, medianAndRange, number, table } from './report.ts'

/** Milliseconds from the rename of the file to the end of the first and of the last connection. */
export interface SweepResult {
  readonly firstMs: number
  readonly lastMs: number
}

export interface ListResult {
  /** Milliseconds from the rename of the file to the end of a connection that the list names. */
  readonly inForceMs: number
  /** The longest wait of a bystander for a PINGRESP meanwhile, and in five seconds before. */
  readonly longestPingMs: number
  readonly quietPingMs: number
  /** Of the broker, afterwards. */
  readonly residentBytes: number
}

export interface CrlRound {
  readonly sweep: SweepResult
  /** One for each number of entries, growing. */
  readonly lists: readonly ListResult[]
}

export function crlReport(measured: {
  readonly connections: number
  readonly entries: readonly number[]
  readonly results: readonly CrlRound[]
  readonly machine: readonly string[]
  readonly versions: readonly string[]
}): string {
  const { connections, entries, results, machine, versions } = measured
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n')
  const rows = entries.map((count, i) => {
    const of = (value: (result: ListResult) => number) =>
      results.flatMap(({ lists }) => lists.slice(i, i + 1)).map(value)
    return [
      number(count),
      medianAndRange(of(({ inForceMs }) => inForceMs)),
      medianAndRange(
        of(({ longestPingMs }) => longestPingMs),
        1,
      ),
      medianAndRange(
        of(({ quietPingMs }) => quietPingMs),
        1,
      ),
      medianAndRange(of(({ residentBytes }) => residentBytes / 2 ** 20)),
    ]
  })
  const sweeps = results.map(({ sweep }) => sweep)
  return `# A changed CRL, ${new Date().toISOString().slice(0, 10)}

\`npm run bench -- crl\`: ${results.length} rounds, each with a fresh broker. Connections are mutual TLS with a certificate each, held by one Node.js process on
the same machine, loopback. Lists are replaced by rename; certificates are P-256, serial numbers 20 octets.

## Machine and versions

${list(machine)}
- load averages at the end: ${loadText()}
${list(versions)}

## ${number(connections)} connections revoked by one list

Milliseconds from the rename of the file, as the clients see it: medians, in parentheses the least and the most. The time the file has to stand
still before it is read is in it.

| first closed | last closed |
| ---: | ---: |
| ${medianAndRange(sweeps.map(({ firstMs }) => firstMs))} | ${medianAndRange(sweeps.map(({ lastMs }) => lastMs))} |

## Long lists

"In force" is the time from the rename to the end of a connection that the list names. "Longest PING" is the longest wait of a bystander for a
PINGRESP in that time, asked for every 2 ms; "before" is the same in the five seconds before. Waits of the measuring process are in both.

${table(['entries', 'in force, ms', 'longest PING, ms', 'before, ms', 'broker MB after'], rows)}
`
}
