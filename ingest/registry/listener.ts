/**
 * LISTEN on `midge_registry`, on a connection beside the pool, for as long as ingest runs. Polling goes
 * on whether or not it works: here is only the difference between seconds and at once.
 *
 * A pooler that gives each transaction another server connection takes LISTEN and never delivers
 * anything, so nothing is believed before a notification of our own has come back. It is sent from the
 * pool: sent from here, it could come back within the transaction that sent it, pooler or not.
 */
import { Client } from 'pg'
import type { DatabaseConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { connectionOf, type Database } from '../database.ts'
import { within } from '../within.ts'
import { CHANNEL, probeText, readNotification, type Hint } from './hint.ts'

const ANSWER_MS = 5_000
/** A peer that vanished without a word is noticed by then. */
const PROBE_EVERY_MS = 60_000
/** The pooler may have been replaced. */
const UNHEARD_MS = 600_000
const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 30_000
const CLOSING_MS = 1_000
const ROUNDS = 3
const PID = 'SELECT pg_backend_pid() AS pid'

export interface ListenerParts {
  readonly connection: DatabaseConfig
  readonly database: Pick<Database, 'rows'>
  /** `everything` after each connection: what was said in between is lost. */
  readonly hinted: (hint: Hint) => void
  readonly changed: (isListening: boolean) => void
  readonly clock: Clock
  readonly log: Log
  /** 0 to 1. */
  readonly random: () => number
  readonly signal: AbortSignal
}

/** Runs until the signal aborts. Never rejects. */
export async function listenToRegistry(parts: ListenerParts): Promise<void> {
  const { clock, log, random, signal } = parts
  let failures = 0
  let hasExplained = false
  const heard = () => {
    failures = 0
  }
  while (!signal.aborted) {
    const outcome = await listenOnce(parts, heard)
    if (signal.aborted) return
    if (outcome === 'unheard') {
      if (!hasExplained) {
        hasExplained = true
        log.info(
          { event: 'registry.unheard' },
          'LISTEN does not work on this connection (a pooler in transaction mode?): changes in the registry are polled for',
        )
      }
      await clock.sleep(UNHEARD_MS, signal)
      continue
    }
    if (failures === 0) {
      log.warn(
        { event: 'registry.unlistened', err: outcome },
        'the connection that LISTENs for changes in the registry is gone; until it is back they are polled for',
      )
    }
    const full = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures++, 10))
    await clock.sleep(full / 2 + (full / 2) * random(), signal)
  }
}

/** One connection, from its beginning to its end: `unheard`, or why it ended. Never rejects. */
async function listenOnce(parts: ListenerParts, heard: () => void): Promise<unknown> {
  const { clock, log, database, hinted, changed } = parts
  const ended = new AbortController()
  let reason: unknown
  let probe: Probing | undefined
  const client = new Client({
    ...connectionOf(parts.connection),
    application_name: 'midge listen',
    keepAlive: true,
    connectionTimeoutMillis: ANSWER_MS,
    query_timeout: ANSWER_MS,
  })
  const end = () => {
    ended.abort()
    probe?.waiting.abort()
  }
  client.on('error', (err) => {
    reason ??= err
    end()
  })
  client.on('end', end)
  client.on('notification', ({ channel, payload }) => {
    if (channel !== CHANNEL) return
    const said = readNotification(payload)
    if (said === 'everything' || !('probe' in said)) hinted(said)
    else if (said.probe === probe?.nonce) {
      probe.isBack = true
      probe.waiting.abort()
    }
  })
  const stop = () => {
    end()
    void closed(client, clock)
  }
  parts.signal.addEventListener('abort', stop, { once: true })

  const hears = async (by: (sql: string, values: string[]) => Promise<unknown>) => {
    const sent: Probing = {
      nonce: `${clock.now()}-${parts.random()}`,
      waiting: new AbortController(),
      isBack: false,
    }
    probe = sent
    await by('SELECT pg_notify($1, $2)', [CHANNEL, probeText(sent.nonce)])
    if (!ended.signal.aborted) await clock.sleep(ANSWER_MS, sent.waiting.signal)
    return sent.isBack
  }
  try {
    await client.connect()
    if (await isShared(client, database)) return 'unheard'
    await client.query(`LISTEN ${CHANNEL}`)
    if (!(await hears((sql, values) => database.rows(sql, values)))) {
      return ended.signal.aborted ? reason : 'unheard'
    }
    heard()
    changed(true)
    log.info({ event: 'registry.listening' }, 'changes in the registry are heard of by LISTEN')
    hinted('everything')
    do await clock.sleep(PROBE_EVERY_MS, ended.signal)
    while (!ended.signal.aborted && (await hears((sql, values) => client.query(sql, values))))
    return reason
  } catch (err) {
    return reason ?? err
  } finally {
    changed(false)
    parts.signal.removeEventListener('abort', stop)
    stop()
  }
}

/** A notification of our own on its way. */
interface Probing {
  readonly nonce: string
  /** Aborts when there is nothing to wait for any more. */
  readonly waiting: AbortController
  isBack: boolean
}

/**
 * Do transactions of this connection run on whatever server connection is free? Then a LISTEN would
 * not even be left behind on one of them.
 */
async function isShared(client: Client, database: Pick<Database, 'rows'>): Promise<boolean> {
  const own = async () => (await client.query<{ pid: number }>(PID)).rows[0]?.pid
  for (let round = 0; round < ROUNDS; round++) {
    const before = await own()
    const [other] = await database.rows<{ pid: number }>(PID)
    if (before === other?.pid || before !== (await own())) return true
  }
  return false
}

async function closed(client: Client, clock: Clock): Promise<void> {
  await within(
    CLOSING_MS,
    client.end().catch(() => undefined),
    clock,
  )
  client.connection.stream.destroy()
}
