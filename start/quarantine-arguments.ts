/** The words behind `midge quarantine`. */
import { CommandLineError } from '../config/index.ts'
import { isEventId, type QuarantineFilter } from '../ingest/index.ts'

export type QuarantineCommand =
  | { readonly name: 'help' }
  | { readonly name: 'list'; readonly filter: QuarantineFilter; readonly data: string | undefined }
  | { readonly name: 'show'; readonly id: string; readonly data: string | undefined }
  | { readonly name: 'discard'; readonly ids: readonly string[]; readonly data: string | undefined }
  | {
      readonly name: 'replay'
      readonly ids: readonly string[]
      readonly vouched: boolean
      readonly data: string | undefined
    }

export const QUARANTINE_USAGE = `Usage: midge quarantine list [--tenant t] [--device d] [--reason r]
                             [--since time] [--limit n] [--data dir]
       midge quarantine show id [--data dir]
       midge quarantine replay id ... [--vouch] [--data dir]
       midge quarantine discard id ... [--data dir]

 list    : rejected messages, newest first, 20 unless --limit says otherwise (at
           most 1000). --since takes a time (2026-02-09T09:00:00Z) or an age
           (30m, 2h, 7d); --reason also takes the part before a colon.
 show    : one message with its payload.
 replay  : decode and check the message once more; if it passes, it moves into
           telemetry, else it stays and the reason is said.
 discard : delete the message for good.
 --vouch : store it although nothing proves its sender: the provision token is
           masked. You then answer for who sent it.

The database is that of DATABASE_URL or PG_*, or of the Midge that runs on the
data directory. Exit code 1: a message was not there, or stays refused.
`

const UNITS: ReadonlyMap<string, number> = new Map([
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
const DEFAULT_LIMIT = 20

/** @param now milliseconds since 1970. @throws CommandLineError */
export function parseQuarantine(argv: readonly string[], now: number): QuarantineCommand {
  const [command = '--help', ...rest] = argv
  const asksHelp = (word: string) => word === '-h' || word === '--help'
  if (asksHelp(command) || rest.some(asksHelp)) return { name: 'help' }
  const { options, ids } = take(rest, OPTIONS.get(command))
  const data = options.get('--data')
  switch (command) {
    case 'list':
      if (ids.length > 0) throw wrong(`list takes no ${JSON.stringify(ids[0])}`)
      return { name: 'list', filter: filterOf(options, now), data }
    case 'show': {
      const [id, second] = ids
      if (id === undefined || second !== undefined) throw wrong('show takes one id')
      return { name: 'show', id, data }
    }
    case 'discard':
      return { name: 'discard', ids: some(command, ids), data }
    default:
      return { name: 'replay', ids: some(command, ids), vouched: options.has('--vouch'), data }
  }
}

const OPTIONS: ReadonlyMap<string, readonly string[]> = new Map([
  ['list', ['--tenant', '--device', '--reason', '--since', '--limit', '--data']],
  ['show', ['--data']],
  ['replay', ['--vouch', '--data']],
  ['discard', ['--data']],
])

function take(words: readonly string[], known: readonly string[] | undefined) {
  if (known === undefined) throw wrong('expected list, show, replay or discard')
  const options = new Map<string, string>()
  const ids: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    if (!word.startsWith('-')) {
      if (known.includes('--limit')) throw wrong(`list takes no ${JSON.stringify(word)}`)
      if (!isEventId(word)) throw wrong(`${JSON.stringify(word)} is no id of a message`)
      if (!ids.includes(word)) ids.push(word)
    } else if (!known.includes(word)) throw wrong(`unknown option ${JSON.stringify(word)}`)
    else if (word === '--vouch') options.set(word, '')
    else {
      const value = words[++i]
      if (value === undefined || value === '') throw wrong(`${word} needs a value`)
      options.set(word, value)
    }
  }
  return { options, ids }
}

function filterOf(options: ReadonlyMap<string, string>, now: number): QuarantineFilter {
  const tenantId = options.get('--tenant')
  const deviceId = options.get('--device')
  const reason = options.get('--reason')
  const since = options.get('--since')
  const limit = options.get('--limit')
  if (limit !== undefined && !/^[1-9]\d{0,8}$/u.test(limit)) {
    throw wrong(`--limit is ${JSON.stringify(limit)}, expected a whole number from 1`)
  }
  return {
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(reason === undefined ? {} : { reason }),
    ...(since === undefined ? {} : { since: timeOf(since, now) }),
    limit: limit === undefined ? DEFAULT_LIMIT : Number(limit),
  }
}

function timeOf(text: string, now: number): Date {
  const [, count, unit] = /^(\d{1,6})([smhd])$/u.exec(text) ?? []
  const age = Number(count) * (UNITS.get(unit ?? '') ?? Number.NaN)
  const isDated = /^\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?$/u.test(text)
  const time = new Date(isDated ? Date.parse(text) : now - age)
  if (Number.isNaN(time.getTime())) {
    throw wrong(`--since is ${JSON.stringify(text)}, expected 2026-02-09T09:00:00Z or 2h`)
  }
  return time
}

function some(command: string, ids: readonly string[]): readonly string[] {
  if (ids.length === 0) throw wrong(`${command} takes one id or more`)
  return ids
}

function wrong(problem: string): CommandLineError {
  return new CommandLineError(
    `midge quarantine: ${problem}\nUse 'midge quarantine --help' to see the usage.`,
  )
}
