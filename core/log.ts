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

/**
 * One JSON object per line: `ts` (ISO 8601, milliseconds), `level` as a word, `service`, `part`,
 * `event`, `msg`.
 */
export function createLog(options: {
  readonly level: LogLevel
  readonly service: string
  readonly destination: DestinationStream
}): Log {
  return pino(
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
}

/** For parts that are built without a process around them. */
export const silentLog: Log = pino({ level: 'silent' })
