import { createLog, type Log } from '../../core/log.ts'

type Line = Record<string, unknown>

/** A real Log whose lines a test can read and wait for. */
export class RememberingLog {
  readonly log: Log
  readonly lines: Line[] = []
  #waiting: { matches: (line: Line) => boolean; resolve: (line: Line) => void }[] = []

  constructor() {
    this.log = createLog({
      level: 'trace',
      service: 'test',
      destination: { write: (text: string) => this.#take(JSON.parse(text) as Line) },
    })
  }

  last(event: string): Line | undefined {
    return this.lines.findLast((line) => line['event'] === event)
  }

  /** The first line with this event and these fields, past or to come. */
  until(event: string, fields: Line = {}): Promise<Line> {
    const matches = (line: Line) =>
      line['event'] === event && Object.entries(fields).every(([key, value]) => line[key] === value)
    const past = this.lines.find(matches)
    if (past !== undefined) return Promise.resolve(past)
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }))
  }

  #take(line: Line): void {
    this.lines.push(line)
    this.#waiting = this.#waiting.filter(({ matches, resolve }) => {
      if (!matches(line)) return true
      resolve(line)
      return false
    })
  }
}
