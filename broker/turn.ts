/** Turns of the event loop, counted, so that what one client may have of a turn can be bounded. */

let turn = 0
let isCounting = false

/** The same number until everything that waits for this turn has had it. */
export function currentTurn(): number {
  if (!isCounting) {
    isCounting = true
    setImmediate(() => {
      turn++
      isCounting = false
    })
  }
  return turn
}

/**
 * Packets of one connection in one turn. One read of a socket holds 30 000 PINGREQ, and one turn may
 * read it dozens of times: with this many at a time everybody else comes in between.
 */
export const PACKETS_OF_TURN = 500

export class TurnShare {
  readonly #next: () => void
  #turn = -1
  #taken = 0
  #isOver = false

  /** @param next called in the turn after one in which `take` answered false */
  constructor(next: () => void) {
    this.#next = next
  }

  /** Nothing more in this turn. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** May one more packet be served now? */
  take(): boolean {
    if (this.#isOver) return false
    const now = currentTurn()
    if (now !== this.#turn) {
      this.#turn = now
      this.#taken = 0
    }
    if (++this.#taken <= PACKETS_OF_TURN) return true
    this.#isOver = true
    setImmediate(() => {
      this.#isOver = false
      this.#turn = -1
      this.#next()
    })
    return false
  }
}
