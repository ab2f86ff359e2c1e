/** Where logs go, and in which form. */
import type { MosquittoLogType } from '../../core/mosquitto-log.ts'

export type { MosquittoLogType } from '../../core/mosquitto-log.ts'

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Default stderr, as Mosquitto. */
  readonly destination?: 'stdout' | 'stderr'
  /** `service` of every line. Default `ingest`. */
  readonly service?: string
  /** Mosquitto's lines in place of JSON: the file has `log_dest` or `log_type`. */
  readonly mosquitto?: MosquittoLogConfig
}

export interface MosquittoLogConfig {
  /** None: nothing is logged. */
  readonly destinations: readonly ('stdout' | 'stderr' | 'topic' | 'file')[]
  /** Appended to. */
  readonly file?: string
  readonly types: readonly MosquittoLogType[]
  /** Begin each line with the time. Default true. */
  readonly timestamp: boolean
  /** Of strftime; undefined: seconds since 1970. */
  readonly timestampFormat: string | undefined
}
