import { pino, type DestinationStream, type Logger } from 'pino'

/** One root per process; parts get `log.child({ part })`. Object first, sentence second. */
export interface Log extends Record<LogMethod, (fields: object, sentence: string) => void> {
  child(bindings: Record<string, unknown>): Log
}

export type LogMethod = 'trace' | 'debug' | 'info' | 'warn' | 'error'
export type LogLevel = LogMethod | 'silent'

/** Values that never reach a log line, wherever a caller put them. */
export const REDACTED_PATHS: readonly string[] = [
  'password',
  'payload',
  'token',
  'provisionToken',
  'privateKey',
  'connectionString',
  '*.password',
  '*.payload',
  '*.token',
  '*.provisionToken',
  '*.privateKey',
  '*.connectionString',
  'err.connectionString',
]

/** `logger` of what belongs to no part. */
const MAIN = 'midge'

/**
 * One JSON object per line: `level` as a word, `ts` (ISO 8601, milliseconds, UTC), `service`, `logger`
 * (the part that speaks), `trace_id` where a line belongs to a connection or request, `event`, its
 * own keys, `msg`.
 */
export function createLog(options: {
  /** Of the least line that is written; a function is asked before each line. */
  readonly level: LogLevel | (() => LogLevel)
  readonly service: string
  readonly destination: DestinationStream
}): Log {
  const { level } = options
  const root = pino(
    {
      level: 'trace',
      messageKey: 'msg',
      base: { service: options.service },
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...REDACTED_PATHS], censor: '[redacted]' },
    },
    options.destination,
  )
  return new PartLog(root, typeof level === 'function' ? level : () => level)
}

const RANKS: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  silent: Number.POSITIVE_INFINITY,
}

/** With what a part, or a connection, says in each of its lines. */
class PartLog implements Log {
  readonly #root: Logger
  readonly #level: () => LogLevel
  readonly #bindings: Record<string, unknown>
  readonly #parent: PartLog | undefined
  /** Made for the first line: most connections never write one, and it costs more than a line. */
  #lines: Logger | undefined

  constructor(root: Logger, level: () => LogLevel, bindings = {}, parent?: PartLog) {
    this.#root = root
    this.#level = level
    this.#bindings = bindings
    this.#parent = parent
  }

  child(bindings: Record<string, unknown>): Log {
    return new PartLog(this.#root, this.#level, bindings, this)
  }

  trace(fields: object, sentence: string): void {
    this.#write('trace', fields, sentence)
  }

  debug(fields: object, sentence: string): void {
    this.#write('debug', fields, sentence)
  }

  info(fields: object, sentence: string): void {
    this.#write('info', fields, sentence)
  }

  warn(fields: object, sentence: string): void {
    this.#write('warn', fields, sentence)
  }

  error(fields: object, sentence: string): void {
    this.#write('error', fields, sentence)
  }

  #write(level: LogMethod, fields: object, sentence: string): void {
    if (RANKS[level] < RANKS[this.#level()]) return
    if (this.#lines === undefined) {
      const { part = MAIN, ...bindings } = this.#all()
      // Of the root: the child of a child would have a key twice that both bind.
      this.#lines = this.#root.child({ logger: part, ...bindings })
    }
    this.#lines[level](fields, sentence)
  }

  #all(): Record<string, unknown> {
    return this.#parent === undefined
      ? this.#bindings
      : { ...this.#parent.#all(), ...this.#bindings }
  }
}

/** For parts that are built without a process around them. */
export const silentLog: Log = pino({ level: 'silent' })
