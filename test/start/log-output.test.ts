import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LogConfig, MosquittoLogConfig } from '../../config/types.ts'
import { createLog, type Log, type LogLevel } from '../../core/log.ts'
import { LogOutput } from '../../start/log-output.ts'

function outputTo(config: LogConfig) {
  const written = { stdout: '', stderr: '' }
  const streams = {
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
  }
  const output = new LogOutput(config, streams)
  const log = createLog({ level: () => output.level, service: 'test', destination: output })
  return { output, log, written }
}

const mosquitto = (changes: Partial<MosquittoLogConfig>): LogConfig => ({
  level: 'info',
  mosquitto: {
    destinations: ['stderr'],
    types: ['error', 'warning', 'notice', 'information'],
    timestamp: false,
    timestampFormat: undefined,
    ...changes,
  },
})

test('JSON, from the level on', () => {
  const { log, written, output } = outputTo({ level: 'info', destination: 'stdout' })
  log.debug({ event: 'a' }, 'no')
  log.info({ event: 'b' }, 'yes')
  assert.equal((JSON.parse(written.stdout) as { event: string }).event, 'b')
  output.replace({ level: 'silent' })
  log.error({ event: 'c' }, 'no')
  assert.equal(written.stderr, '')
})

test('the types and destinations that were asked for, also after a reload', () => {
  const { log, written, output } = outputTo(mosquitto({ destinations: ['stdout', 'stderr'] }))
  log.debug({ event: 'x' }, 'debug')
  log.info({ event: 'x' }, 'said')
  assert.deepEqual(written, { stdout: 'said\n', stderr: 'said\n' })
  output.replace(mosquitto({ types: ['debug'] }))
  log.info({ event: 'x' }, 'info')
  log.debug({ event: 'x' }, 'debug')
  assert.deepEqual(written, { stdout: 'said\n', stderr: 'said\ndebug\n' })
  output.replace(mosquitto({ destinations: [] }))
  log.error({ event: 'x' }, 'nobody hears it')
  assert.equal(written.stderr, 'said\ndebug\n')
})

test('each line begins with the time', () => {
  const { log, written, output } = outputTo(mosquitto({ timestamp: true }))
  log.info({ event: 'x' }, 'said')
  assert.match(written.stderr, /^\d{10}: said\n$/u)
  output.replace(mosquitto({ timestamp: true, timestampFormat: '%Y-%m-%dT%H:%M:%S' }))
  log.info({ event: 'x' }, 'again')
  assert.match(written.stderr, /\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: again\n$/u)
})

test('a log file is appended to, opened anew by a reload, and may fail', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midge-log-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'log')
  const config = mosquitto({ destinations: ['file'], file })
  const { log, written, output } = outputTo(config)
  log.info({ event: 'x' }, 'one')
  renameSync(file, `${file}.1`)
  output.replace(config)
  log.info({ event: 'x' }, 'two')
  output.close()
  assert.deepEqual(
    [readFileSync(`${file}.1`, 'utf8'), readFileSync(file, 'utf8')],
    ['one\n', 'two\n'],
  )
  const absent = mosquitto({ destinations: ['file'], file: join(folder, 'no', 'log') })
  output.replace(absent)
  log.info({ event: 'x' }, 'lost')
  assert.match(written.stderr, /^Error: Unable to open log file .*no\/log: ENOENT.*'\n$/u)
  output.replace(config)
  output.replace(absent)
  log.info({ event: 'x' }, 'kept')
  assert.match(written.stderr, /no\/log: ENOENT.*; the old one is written on\n$/u)
  assert.equal(readFileSync(file, 'utf8'), 'two\nkept\n')
  output.close()
})

test('log_dest topic publishes all but debug lines, and not what publishing logs', () => {
  const { log, output } = outputTo(
    mosquitto({
      destinations: ['topic'],
      types: ['notice', 'information', 'debug', 'subscribe', 'unsubscribe', 'websockets'],
    }),
  )
  const published: string[] = []
  log.info({ event: 'x' }, 'before there is a broker')
  output.publishBy((topic, text) => {
    published.push(`${topic} ${text}`)
    log.info({ event: 'x' }, 'published')
  })
  log.info({ event: 'x' }, 'said')
  log.debug({ event: 'x' }, 'debug')
  log.debug({ event: 'subscription.granted', clientId: 'c', qos: 0, filter: 'a' }, '')
  log.debug({ event: 'subscription.ended', clientId: 'c', filter: 'a' }, '')
  log.warn({ event: 'peer.refused', reason: 'unknown_path', peer: '::1', detail: '/x' }, '')
  log.trace({ event: 'packet.sent', packet: 'PINGRESP', clientId: 'c' }, '')
  const from = { peer: '::1', peerPort: 1 }
  log.info({ event: 'session.opened', ...from, clientId: 'c', clean: true, keepAlive: 0 }, '')
  assert.deepEqual(
    published.map((line) => line.replace('$SYS/broker/log/', '')),
    [
      'I said',
      'M/subscribe c 0 a',
      'M/unsubscribe c a',
      'WS Client connection from ::1 failed: /x.',
      'N New client connected from ::1:1 as c (p, c1, k0).',
    ],
  )
  output.replace(mosquitto({ destinations: ['topic'], timestamp: true }))
  log.info({ event: 'x' }, 'with the time, as everywhere')
  assert.match(published.at(-1) ?? '', /log\/I \d{10}: with the time, as everywhere$/u)
})

const TYPES: readonly MosquittoLogConfig['types'][number][] = [
  'error',
  'warning',
  'notice',
  'information',
  'debug',
  'subscribe',
  'unsubscribe',
  'websockets',
]

/** As the broker logs them: each event of Mosquitto's own words, and a plain line of each level. */
function logEverything(log: Log): void {
  const client = { peer: '::1', peerPort: 1, clientId: 'c' }
  log.info({ event: 'listener.opened', port: 1883, address: '::1' }, 'listening')
  log.debug({ event: 'connection.opened', ...client, listenerPort: 1883 }, 'opened')
  log.info({ event: 'session.opened', ...client, will: { topic: 't', payloadBytes: 1 } }, 'session')
  log.trace({ event: 'packet.received', ...client, packet: 'PINGREQ' }, 'received')
  log.trace({ event: 'packet.sent', ...client, packet: 'PINGRESP' }, 'sent')
  log.trace({ event: 'publish.denied', ...client, topic: 't' }, 'denied')
  log.debug({ event: 'subscription.granted', ...client, qos: 0, filter: 'f' }, 'granted')
  log.debug({ event: 'subscription.refused', ...client, qos: 0, filter: 'f' }, 'refused')
  log.debug({ event: 'subscription.ended', ...client, filter: 'f' }, 'ended')
  log.debug({ event: 'connection.closed', ...client, reason: 'client_disconnected' }, 'closed')
  log.warn({ event: 'connection.closed', ...client, reason: 'too_slow' }, 'closed')
  log.warn({ event: 'peer.refused', ...client, reason: 'unknown_path', detail: '/x' }, 'peer')
  log.warn({ event: 'peer.refused', ...client, reason: 'expired', detail: 'x' }, 'peer')
  for (const level of ['trace', 'debug', 'info', 'warn', 'error'] as const) {
    log[level]({ event: 'x' }, `plain ${level}`)
  }
}

test('no line is lost for its level, whatever types are asked for', () => {
  const heard = (config: LogConfig, isFiltered: boolean): string => {
    const { output, log, written } = outputTo(config)
    const destination = output
    const whole = createLog({ level: 'trace', service: 'test', destination })
    logEverything(isFiltered ? log : whole)
    return written.stderr
  }
  for (const type of TYPES) {
    const config = mosquitto({ types: [type] })
    const expected = heard(config, false)
    assert.notEqual(expected, '', type)
    assert.equal(heard(config, true), expected, type)
  }
  const all = mosquitto({ types: TYPES })
  assert.equal(heard(all, true), heard(all, false))
})

const LEVELS: readonly [MosquittoLogConfig['destinations'], typeof TYPES, LogLevel][] = [
  [[], TYPES, 'silent'],
  [['stderr'], [], 'silent'],
  [['stderr'], ['error'], 'info'],
  [['file'], ['error', 'warning', 'information', 'websockets'], 'info'],
  [['stderr'], ['notice'], 'debug'],
  [['stderr'], ['unsubscribe'], 'debug'],
  [['topic'], ['debug', 'subscribe'], 'debug'],
  [['topic'], ['debug'], 'silent'],
  [['topic', 'stderr'], ['debug'], 'trace'],
]

test('lines that would be written nowhere are not made', () => {
  for (const [destinations, types, level] of LEVELS) {
    const { output } = outputTo(mosquitto({ destinations, types }))
    assert.equal(output.level, level, `${destinations.join()} ${types.join()}`)
  }
})

test('JSON has packets at level trace alone', () => {
  const { log, written, output } = outputTo({ level: 'debug' })
  const packet = () => log.trace({ event: 'packet.sent', packet: 'PINGRESP' }, 'PINGRESP sent')
  packet()
  assert.equal(written.stderr, '')
  output.replace({ level: 'trace' })
  packet()
  assert.equal((JSON.parse(written.stderr) as { packet: string }).packet, 'PINGRESP')
})
