/** `midge quarantine …`: rejected messages listed, shown, tried again, discarded. */
import { userInfo } from 'node:os'
import type { Environment } from '../config/index.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { silentLog } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import {
  openQuarantine,
  type OpenQuarantine,
  type QuarantinedEvent,
  type QuarantinedMessage,
} from '../ingest/index.ts'
import { ingestConfigOf } from './operator-database.ts'
import {
  parseQuarantine,
  QUARANTINE_USAGE,
  type QuarantineCommand,
} from './quarantine-arguments.ts'

interface Surroundings {
  readonly environment: Environment
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
  readonly clock: Clock
  /** Who types this; `audit_log` names them. */
  readonly user: string
}

/** @returns the exit code: 1 when a message named was not there, or stays refused */
export async function runQuarantine(
  args: readonly string[],
  around: Surroundings = {
    environment: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    user: userName(),
  },
): Promise<number> {
  const command = parseQuarantine(args, around.clock.now())
  if (command.name === 'help') {
    around.stdout.write(QUARANTINE_USAGE)
    return 0
  }
  const quarantine = await openQuarantine({
    config: await ingestConfigOf(command.data, around.environment),
    clock: systemClock,
    log: silentLog,
    metrics: createMetrics(),
    random: Math.random,
    operator: around.user,
    warn: onceEach((text) => void around.stderr.write(`midge: ${printable(text)}\n`)),
  })
  try {
    return (await perform(command, quarantine, around)) ? 0 : 1
  } finally {
    await quarantine.close()
  }
}

async function perform(
  command: Exclude<QuarantineCommand, { name: 'help' }>,
  { review, replay }: OpenQuarantine,
  { stdout, stderr }: Surroundings,
): Promise<boolean> {
  const print = (text: string) => void stdout.write(`${printable(text)}\n`)
  const complain = (text: string) => void stderr.write(`midge: ${printable(text)}\n`)
  let isWell = true
  switch (command.name) {
    case 'list': {
      const events = await review.list(command.filter)
      if (events.length === 0) print('nothing in quarantine that was asked for')
      for (const event of events) print(eventLine(event))
      return true
    }
    case 'show': {
      const message = await review.show(command.id)
      if (message === undefined) complain(`there is no message ${command.id} in quarantine`)
      else for (const line of messageLines(message)) print(line)
      return message !== undefined
    }
    case 'discard':
      for (const id of command.ids) {
        const isGone = await review.discard(id)
        if (isGone) print(`${id} discarded`)
        else complain(`there is no message ${id} in quarantine`)
        isWell &&= isGone
      }
      return isWell
    case 'replay':
      await replay(command.ids, command.vouched, (id, result) => {
        if (result.outcome === 'stored') return print(`${id} stored`)
        isWell = false
        if (result.outcome === 'gone') return complain(`there is no message ${id} in quarantine`)
        const { reason, explanation } = result
        complain(
          `${id} stays in quarantine: ${reason}${explanation === undefined ? '' : ` (${explanation})`}`,
        )
      })
      return isWell
  }
}

function eventLine(event: QuarantinedEvent): string {
  const { id, ingestedAt, tenantId, deviceId, reason, topic } = event
  return [id, ingestedAt, `${tenantId ?? '-'}/${deviceId ?? '-'}`, reason, topic].join('  ')
}

function messageLines(message: QuarantinedMessage): string[] {
  const { id, ingestedAt, tenantId, deviceId, siteId, msgType, reason, topic, publisher, payload } =
    message
  const fields: readonly (readonly [string, string | null])[] = [
    ['id', id],
    ['received', ingestedAt],
    ['reason', reason],
    ['topic', topic],
    ['tenant', tenantId],
    ['device', deviceId],
    ['site', siteId],
    ['type', msgType],
    ['publisher', publisher],
    ['payload', payload],
  ]
  return fields.map(([name, text]) => `${name.padEnd(10)} ${text ?? '-'}`)
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** What devices wrote must not command the terminal: controls and marks of direction as `\u{…}`. */
function printable(text: string): string {
  return text.replace(UNPRINTABLE, (mark) => `\\u{${(mark.codePointAt(0) ?? 0).toString(16)}}`)
}

/** The same words are said once, however many messages they are true of. */
function onceEach(say: (text: string) => void): (text: string) => void {
  const said = new Set<string>()
  return (text) => {
    if (said.has(text)) return
    said.add(text)
    say(text)
  }
}

/** A container may run as a user that its passwd does not know. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
