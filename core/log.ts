import { pino, type DestinationStream, type Logger } from 'pino'

/** One pino root per process; parts get `log.child({ part })`. Object first, sentence second. */
export type Log = Pick<Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'level'> & {
  child(bindings: Record<string, unknown>): Log
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

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
  readonly level: LogLevel
  readonly service: string
  readonly destination: DestinationStream
}): Log {
  const root = pino(
    {
      level: options.level,
      messageKey: 'msg',
      base: { service: options.service },
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...REDACTED_PATHS], censor: '[redacted]' },
    },
    options.destination,
  )
  const log = root.child({ logger: MAIN })
  // Bindings are only ever appended: the child of a child would have the key twice in each line.
  const child = ({ part = MAIN, ...bindings }: Record<string, unknown>): Log =>
    root.child({ logger: part, ...bindings })
  return Object.defineProperty(log, 'child', { value: child })
}

/** For parts that are built without a process around them. */
export const silentLog: Log = pino({ level: 'silent' })
