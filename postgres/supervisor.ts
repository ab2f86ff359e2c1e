/** Keeps one server running: starts it again when it dies, and stops it when we do. */
import type { Log } from '../core/log.ts'
import type { DirectoryLock } from './lock.ts'
import { DATABASE, ROLE } from './credentials.ts'
import type { Installation } from './installation.ts'
import { launchAt, type Running } from './launch.ts'
import { hostOf } from './place.ts'
import { stopPostmaster, type Exit, type Postmaster } from './postmaster.ts'

export interface EmbeddedConnection {
  /** The folder of the server's unix socket, as `pg` and libpq take it, or a loopback address. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

export interface EmbeddedPostgres {
  /** Stays the same however often the server is restarted. */
  readonly connection: EmbeddedConnection
  /** An earlier run had left the server running. */
  readonly wasTakenOver: boolean
  /** Of the server that runs now, or ran last. */
  readonly pid: number
  /** Ends all sessions, waits until the server is gone, and frees the data directory. */
  stop(): Promise<void>
  /** Frees the data directory and lets the server run on, for the next start to take over. */
  leave(): Promise<void>
}

const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 30_000
/** A server that ran this long was well: the next death is a new story. */
const SETTLED_MS = 60_000

export class Supervisor implements EmbeddedPostgres {
  readonly connection: EmbeddedConnection
  readonly wasTakenOver: boolean
  readonly #installation: Installation
  readonly #lock: DirectoryLock
  readonly #log: Log
  readonly #onExit: ((exit: Exit) => void) | undefined
  readonly #ending = new AbortController()
  readonly #watching: Promise<void>
  #postmaster: Postmaster
  #ended: Promise<void> | undefined

  constructor(
    installation: Installation,
    running: Running,
    lock: DirectoryLock,
    onExit: ((exit: Exit) => void) | undefined,
  ) {
    const { place } = running
    this.connection = Object.freeze({
      host: hostOf(place),
      port: place.port,
      user: ROLE,
      password: installation.credentials.password,
      database: DATABASE,
    })
    this.wasTakenOver = running.wasTakenOver
    this.#installation = { ...installation, place }
    this.#lock = lock
    this.#log = installation.log
    this.#onExit = onExit
    this.#postmaster = running.postmaster
    this.#watching = this.#watch()
  }

  get pid(): number {
    return this.#postmaster.pid
  }

  stop(): Promise<void> {
    this.#ended ??= this.#end(async () => {
      await stopPostmaster(this.#postmaster, 'fast', this.#installation)
      this.#log.info({ event: 'postgres.stopped', pid: this.pid }, 'PostgreSQL has stopped')
    })
    return this.#ended
  }

  leave(): Promise<void> {
    this.#ended ??= this.#end(async () => this.#postmaster.leave())
    return this.#ended
  }

  async #end(finish: () => Promise<void>): Promise<void> {
    this.#ending.abort()
    await this.#watching // a restart that is under way is abandoned first
    await finish()
    await this.#lock.release()
  }

  async #watch(): Promise<void> {
    const { clock } = this.#installation
    const ending = new Promise<undefined>((resolve) => {
      this.#ending.signal.addEventListener('abort', () => resolve(undefined), { once: true })
    })
    for (let deaths = 0; ; ) {
      const startedAt = clock.monotonic()
      const exit = await Promise.race([this.#postmaster.exited, ending])
      if (exit === undefined) return
      this.#log.error(
        { event: 'postgres.exited', pid: this.pid, code: exit.code, signal: exit.signal },
        'PostgreSQL has died; starting it again',
      )
      this.#onExit?.(exit)
      deaths = clock.monotonic() - startedAt > SETTLED_MS ? 0 : deaths + 1
      if (!(await this.#restart(deaths))) return
    }
  }

  /** @returns false when we are ending */
  async #restart(deaths: number): Promise<boolean> {
    const { clock } = this.#installation
    const { signal } = this.#ending
    for (let failures = deaths; ; failures++) {
      // The first death is answered at once.
      const pauseMs = failures <= 1 ? 0 : FIRST_PAUSE_MS * 2 ** Math.min(failures - 2, 10)
      if (pauseMs > 0) await clock.sleep(Math.min(pauseMs, LONGEST_PAUSE_MS), signal)
      if (signal.aborted) return false
      try {
        this.#postmaster = await launchAt(this.#installation, signal)
        this.#log.info({ event: 'postgres.restarted', pid: this.pid }, 'PostgreSQL runs again')
        return true
      } catch (err) {
        if (signal.aborted) return false
        this.#log.error(
          { event: 'postgres.restart_failed', err },
          'PostgreSQL could not be started again; trying further',
        )
      }
    }
  }
}
