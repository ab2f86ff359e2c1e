/** What signals ask of the process, however it was started. */
import type { App } from '../app/index.ts'
import { systemClock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'

const FAILED = 'the reload failed on a bug of ours: nothing more is known, restart to be sure'
/** A stop that takes longer than this ends anyway: something hangs. */
const STOP_DEADLINE_MS = 25_000

export interface Signals {
  /** Settles at the first SIGTERM or SIGINT. */
  readonly stopped: Promise<void>
  onReload(reload: () => Promise<void>): void
}

/**
 * SIGTERM and SIGINT end, also during the start: what was started is then stopped in order. A second
 * one ends at once. SIGHUP reads the files again, once there is something to read them into: during the
 * start it waits for its end, for what the start has read may be older than the signal.
 */
export function listenToSignals(log: Log): Signals {
  let reload: (() => Promise<void>) | undefined
  let isWaiting = false
  const readAgain = (): void => {
    if (reload === undefined) isWaiting = true
    else reload().catch((err: unknown) => log.error({ event: 'config.failed', err }, FAILED))
  }
  process.on('SIGHUP', readAgain)
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info({ event: 'midge.stopping', signal }, `${signal}: stopping`)
        resolve()
        process.once(signal, () => process.exit(1))
      })
    }
  })
  return {
    stopped,
    onReload: (then) => {
      reload = then
      if (isWaiting) readAgain()
    },
  }
}

/**
 * SIGUSR1 and SIGUSR2, which would otherwise end the process (and SIGUSR1 open Node's debugger). Who
 * asks wants the answer, whatever the level of the log.
 */
export function tellOnRequest(app: App, tell: (fields: object, text: string) => void): void {
  process.on('SIGUSR1', () => {
    const text = 'SIGUSR1: sessions, queued and retained messages live in memory: nothing to write'
    tell({ event: 'signal.received', signal: 'SIGUSR1' }, text)
  })
  process.on('SIGUSR2', () => {
    const counts = app.broker.counts()
    const { connections, sessions, subscriptions, sharedSubscriptions, queuedMessages } = counts
    const text = `SIGUSR2: ${connections} connections, ${sessions} sessions, ${subscriptions} subscriptions (${sharedSubscriptions} shared), ${queuedMessages} queued and ${counts.retainedMessages} retained messages`
    tell({ event: 'signal.received', signal: 'SIGUSR2', counts }, text)
  })
}

/** Waits for a stop, and no longer than its deadline. */
export async function ended(stopping: Promise<void>, log: Log): Promise<void> {
  const deadline = systemClock.after(STOP_DEADLINE_MS, () => {
    log.error({ event: 'midge.stopForced' }, 'the stop took too long: ending anyway')
    process.exit(1)
  })
  await stopping
  deadline()
}
