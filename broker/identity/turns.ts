/** Whose password's hash is computed next: work that would take the whole machine, in turns. */
import { isIPv6 } from 'node:net'
import { OperationalError } from '../../core/errors.ts'

/** The password cannot be looked at now, right or wrong: CONNACK 3, and the client tries again. */
export class PasswordChecksBusy extends OperationalError {
  constructor(message: string) {
    super('PASSWORD_CHECKS_BUSY', message)
  }
}

/** The same, for want of the thread that would look: nothing of it is the client's or the load's fault. */
export class PasswordThreadLost extends PasswordChecksBusy {
  constructor(why: string) {
    super(`the thread that computes bcrypt: ${why}`)
  }
}

/** Who wants to log in. */
export interface Applicant {
  /** IP address, or `unix`. */
  readonly address: string
  /** Its connection has ended: nobody hears the answer. */
  readonly isGone: () => boolean
}

interface Waiting {
  readonly isGone: () => boolean
  readonly begin: () => void
  readonly refuse: (why: PasswordChecksBusy) => void
}

/**
 * So many at once, so many waiting. Networks that wait have a turn each, one after the other, and
 * where there is no room the one with the most places gives up its last: a flood of log ins from one
 * of them makes the others wait for one turn of its own, not for all. It must not matter whether the
 * account exists: then a refusal for want of room would tell.
 */
export class Turns {
  readonly #maxRunning: number
  readonly #maxWaiting: number
  /** By network, in the order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>()
  #size = 0
  #running = 0

  constructor(maxRunning: number, maxWaiting: number) {
    this.#maxRunning = maxRunning
    this.#maxWaiting = maxWaiting
  }

  /** @throws PasswordChecksBusy without room, or when the applicant has gone before its turn */
  async take<T>(work: () => Promise<T>, applicant: Applicant): Promise<T> {
    if (this.#running < this.#maxRunning) this.#running++
    else await this.#wait(applicant)
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  #wait({ address, isGone }: Applicant): Promise<void> {
    const network = networkOf(address)
    if (this.#size >= this.#maxWaiting) this.#makeRoom(network)
    return new Promise((begin, refuse) => {
      const queue = this.#waiting.get(network) ?? []
      queue.push({ isGone, begin, refuse })
      this.#waiting.set(network, queue)
      this.#size++
    })
  }

  #makeRoom(network: string): void {
    for (const [name, queue] of this.#waiting) {
      this.#keep(name, queue, queue.filter(isStillThere))
    }
    if (this.#size < this.#maxWaiting) return
    let longest: readonly [name: string, queue: Waiting[]] = ['', []]
    for (const entry of this.#waiting) if (entry[1].length > longest[1].length) longest = entry
    const [name, queue] = longest
    const own = this.#waiting.get(network)?.length ?? 0
    const last = queue.at(-1)
    if (last === undefined || queue.length <= own + 1) throw this.#full()
    this.#keep(name, queue, queue.slice(0, -1))
    last.refuse(this.#full())
  }

  #keep(network: string, before: readonly Waiting[], after: Waiting[]): void {
    this.#size -= before.length - after.length
    if (after.length === 0) this.#waiting.delete(network)
    else this.#waiting.set(network, after)
  }

  /** The turn is handed on, not given back: nobody slips in between. */
  #next(): void {
    for (const [network, queue] of this.#waiting) {
      const [first, ...rest] = queue
      // To the end: the others have a turn before its next.
      this.#waiting.delete(network)
      this.#keep(network, queue, rest)
      if (first !== undefined && isStillThere(first)) return first.begin()
    }
    this.#running--
  }

  #full(): PasswordChecksBusy {
    return new PasswordChecksBusy(
      `${this.#maxWaiting} log ins already wait for their password's hash`,
    )
  }
}

function isStillThere({ isGone, refuse }: Waiting): boolean {
  if (!isGone()) return true
  refuse(new PasswordChecksBusy('the client has gone before its password was looked at'))
  return false
}

/** What one party can take addresses from at will: an IPv6 /64, or an IPv4 address. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address
  const [head = '', tail] = address.split('::', 2)
  const left = groupsOf(head)
  if (tail === undefined) return left.slice(0, 4).join(':')
  const right = groupsOf(tail)
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}

const groupsOf = (text: string): readonly string[] => (text === '' ? [] : text.split(':'))
