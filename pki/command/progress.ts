/** How far a long command is: a bar on a terminal, a line now and then elsewhere. */

const WIDTH = 30

export class Progress {
  readonly #output: { write(text: string): unknown; readonly isTTY?: boolean }
  readonly #total: number
  #told = 0

  constructor(output: { write(text: string): unknown; readonly isTTY?: boolean }, total: number) {
    this.#output = output
    this.#total = total
  }

  /** Nothing for what is over at once. */
  at(done: number): void {
    if (this.#output.isTTY === true) {
      const filled = Math.floor((done / this.#total) * WIDTH)
      const bar = `${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}`
      this.#output.write(`\r[${bar}] ${done} of ${this.#total}${done === this.#total ? '\n' : ''}`)
      return
    }
    const tenth = Math.floor((done / this.#total) * 10)
    if (this.#total < 500 || tenth === this.#told) return
    this.#told = tenth
    this.#output.write(`${done} of ${this.#total}\n`)
  }

  /** What comes next is to begin on a line of its own. */
  interrupt(): void {
    if (this.#output.isTTY === true) this.#output.write('\n')
  }
}
