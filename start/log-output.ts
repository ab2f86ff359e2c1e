/**
 * Where log lines go: JSON as pino writes it, or Mosquitto's lines for a mosquitto.conf that says how
 * to log. Can be replaced while it runs.
 */
import { closeSync, writeSync } from 'node:fs'
import type { LogConfig, MosquittoLogConfig } from '../config/types.ts'
import { messageOf } from '../core/errors.ts'
import { missingPermission } from '../core/file-access.ts'
import type { LogLevel } from '../core/log.ts'
import {
  finestLevelOf,
  LOG_TOPICS,
  mosquittoLines,
  type LogRecord,
  type MosquittoLine,
} from '../core/mosquitto-log.ts'
import { strftime } from '../core/strftime.ts'
import { openForAppending } from './open-as-root.ts'

export interface StandardStreams {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

export class LogOutput {
  readonly #streams: StandardStreams
  #config: LogConfig
  #level: LogLevel
  #file: number | undefined
  #publish: ((topic: string, text: string) => void) | undefined
  #isPublishing = false

  constructor(config: LogConfig, streams: StandardStreams) {
    this.#config = config
    this.#level = levelOf(config)
    this.#streams = streams
    this.#openFile()
  }

  /** For `log_dest topic`, once there is a broker. */
  publishBy(publish: ((topic: string, text: string) => void) | undefined): void {
    this.#publish = publish
  }

  /** Other destinations and types from the next line on; a log file is opened anew in any case. */
  replace(config: LogConfig): void {
    this.#config = config
    this.#level = levelOf(config)
    this.#openFile()
  }

  /** Finer lines would be written nowhere: they need not be made. */
  get level(): LogLevel {
    return this.#level
  }

  /** One line of pino's JSON, of `level` or above. Never throws: a full disk must not end the broker. */
  write(json: string): void {
    const { mosquitto, destination = 'stderr' } = this.#config
    if (mosquitto === undefined) {
      this.#streams[destination].write(json)
      return
    }
    const record: unknown = JSON.parse(json)
    if (!isRecord(record)) return
    for (const line of mosquittoLines(record)) {
      if (mosquitto.types.includes(line.type)) this.#deliver(line, record, mosquitto)
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }

  #deliver(line: MosquittoLine, record: LogRecord, config: MosquittoLogConfig): void {
    const stamped = `${stamp(record, config)}${line.text}`
    const text = `${stamped}\n`
    for (const to of config.destinations) {
      if (to === 'stdout' || to === 'stderr') this.#streams[to].write(text)
      else if (to === 'topic') this.#toTopic(line.type, stamped)
      else this.#toFile(text)
    }
  }

  #toTopic(type: MosquittoLine['type'], text: string): void {
    const level = LOG_TOPICS.get(type)
    // What publishing logs itself would come back here without end.
    if (level === undefined || this.#isPublishing) return
    this.#isPublishing = true
    try {
      this.#publish?.(`$SYS/broker/log/${level}`, text)
    } finally {
      this.#isPublishing = false
    }
  }

  #toFile(text: string): void {
    if (this.#file === undefined) return
    try {
      writeSync(this.#file, text)
    } catch (err) {
      this.#streams.stderr.write(`Error: cannot write the log file: ${messageOf(err)}\n`)
      this.close()
    }
  }

  /**
   * As in Mosquitto a log file that cannot be opened is told about, and the broker runs; one that is
   * open already is written on, also under another name (logrotate, and no right to make a new one).
   */
  #openFile(): void {
    const path = this.#config.mosquitto?.file
    if (path === undefined) {
      this.close()
      return
    }
    try {
      const opened = openForAppending(path, 0o640)
      this.close()
      this.#file = opened
    } catch (err) {
      const kept = this.#file === undefined ? '' : '; the old one is written on'
      const why = `${messageOf(err)}${missingPermission(path, err)}`
      this.#streams.stderr.write(`Error: Unable to open log file ${path}: ${why}${kept}\n`)
    }
  }
}

function levelOf({ level, mosquitto }: LogConfig): LogLevel {
  if (mosquitto === undefined) return level
  const { destinations, types } = mosquitto
  if (destinations.length === 0) return 'silent'
  const isPublishedOnly = destinations.every((to) => to === 'topic')
  return finestLevelOf(isPublishedOnly ? types.filter((type) => LOG_TOPICS.has(type)) : types)
}

function isRecord(value: unknown): value is LogRecord {
  return typeof value === 'object' && value !== null
}

function stamp(record: LogRecord, { timestamp, timestampFormat }: MosquittoLogConfig): string {
  if (!timestamp) return ''
  const time = new Date(String(record['ts']))
  if (timestampFormat !== undefined) return `${strftime(timestampFormat, time)}: `
  return `${Math.floor(time.getTime() / 1000)}: `
}
