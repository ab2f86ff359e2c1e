/** bcrypt, 0.4 s of a processor at cost 12 and 2 s at cost 15, away from the event loop. */
import { isUtf8 } from 'node:buffer'
import { Worker } from 'node:worker_threads'
import { systemClock, type Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { BcryptAnswer, BcryptQuestion } from './bcrypt-worker.ts'
import { PasswordThreadLost } from './turns.ts'

/**
 * Can bcrypt tell this password from every other? It looks at 72 bytes, so that a longer one would
 * let in everybody who knows its beginning; implementations in C stop at a NUL likewise; and bytes
 * that are no UTF-8 would all be read as the same replacement character.
 */
export function isBcryptPassword(password: Buffer): boolean {
  return password.length <= 72 && !password.includes(0) && isUtf8(password)
}

interface Running {
  readonly worker: Worker
  readonly asked: Map<number, Asked>
}

interface Asked {
  readonly answer: (key: Buffer) => void
  readonly refuse: (why: PasswordThreadLost) => void
}

export interface BcryptThreadOptions {
  readonly clock?: Clock
  readonly start?: () => Worker
}

/** After the last answer; a thread takes some 20 MB. */
const IDLE_MS = 60_000

/**
 * One thread at the most, begun when it is needed, ended after a minute without questions, and begun
 * anew after it died. It never keeps the process alive.
 */
export class BcryptThread {
  readonly #clock: Clock
  readonly #start: () => Worker
  #running: Running | undefined
  #lastId = 0
  #stopWaiting: () => void = () => undefined

  constructor({ clock = systemClock, start = startWorker }: BcryptThreadOptions = {}) {
    this.#clock = clock
    this.#start = start
  }

  /**
   * The 23 bytes that `encoded` would end in if this were its password; only for what
   * `isBcryptPassword`. Questions are answered one after the other: taking turns is the caller's.
   *
   * @throws PasswordThreadLost when the thread cannot be begun or dies over it
   */
  async derive(encoded: string, password: Buffer): Promise<Buffer> {
    this.#stopWaiting()
    const { worker, asked } = this.#running ?? this.#begin()
    const question: BcryptQuestion = { id: ++this.#lastId, encoded, password: String(password) }
    return await new Promise((answer, refuse) => {
      asked.set(question.id, { answer, refuse })
      worker.postMessage(question, [])
    })
  }

  #begin(): Running {
    const running: Running = { worker: this.#started(), asked: new Map() }
    this.#running = running
    const { worker, asked } = running
    worker.on('message', ({ id, key }: BcryptAnswer) => {
      asked.get(id)?.answer(Buffer.from(key))
      asked.delete(id)
      if (asked.size === 0) this.#endWhenIdle(running)
    })
    worker.once('error', (err) => this.#ended(running, messageOf(err)))
    worker.once('exit', (code) => this.#ended(running, `it ended with ${code}`))
    worker.unref()
    return running
  }

  #started(): Worker {
    try {
      return this.#start()
    } catch (err) {
      throw new PasswordThreadLost(messageOf(err))
    }
  }

  #endWhenIdle(running: Running): void {
    this.#stopWaiting = this.#clock.after(IDLE_MS, () => {
      if (this.#running !== running || running.asked.size > 0) return
      this.#running = undefined
      void running.worker.terminate()
    })
  }

  #ended(running: Running, why: string): void {
    if (this.#running === running) this.#running = undefined
    for (const { refuse } of running.asked.values()) refuse(new PasswordThreadLost(why))
    running.asked.clear()
  }
}

/** It has no use for the environment, where passwords are, nor for options meant for the process. */
function startWorker(): Worker {
  return new Worker(new URL('./bcrypt-worker.js', import.meta.url), {
    name: 'bcrypt',
    env: {},
    execArgv: [],
  })
}
