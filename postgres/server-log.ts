/** The server's stderr, line by line, as events of our log. */
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Log } from '../core/log.ts'

export interface ServerLine {
  readonly level: 'debug' | 'warn' | 'error'
  readonly text: string
}

const LINE = /^([^|]*)\|([A-Z]+)\d?: {2}(.*)$/u

/**
 * Reads a line as `log_line_prefix = '%b|'` makes it (backend type, severity, text).
 *
 * Undefined: not for our log. An error in a client's session goes to that client, which may be the
 * one with a payload in it; what such a session has else to say is routine.
 */
export function readServerLine(line: string): ServerLine | undefined {
  if (line.startsWith('\t') || line.trim() === '') return undefined // a message's further lines
  const [, backend = '', severity, text] = LINE.exec(line) ?? []
  if (severity === undefined || text === undefined) return { level: 'warn', text: line }
  if (backend.endsWith('client backend') && severity !== 'PANIC') {
    return severity === 'ERROR' ? undefined : { level: 'debug', text }
  }
  return { level: levelOf(backend, severity), text }
}

function levelOf(backend: string, severity: string): ServerLine['level'] {
  if (severity === 'PANIC') return 'error'
  // Any other process is replaced when it ends, and ends with FATAL at each shutdown.
  if (severity === 'FATAL') return /^(?:postmaster|startup)$/u.test(backend) ? 'error' : 'warn'
  return severity === 'ERROR' || severity === 'WARNING' ? 'warn' : 'debug'
}

const KEPT_LINES = 20

/** Passes the lines on and keeps the latest, for the message of a failed start. */
export class ServerLog {
  readonly #latest: string[] = []

  constructor(stderr: Readable, log: Log) {
    createInterface({ input: stderr, crlfDelay: Infinity }).on('line', (line) => {
      const read = readServerLine(line)
      if (read === undefined) return
      this.#latest.push(read.text)
      if (this.#latest.length > KEPT_LINES) this.#latest.shift()
      log[read.level]({ event: 'postgres.logged' }, read.text)
    })
  }

  get latest(): readonly string[] {
    return this.#latest
  }
}
