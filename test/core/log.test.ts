import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog, type LogLevel } from '../../core/log.ts'

function lines() {
  const written: string[] = []
  const destination = { write: (text: string) => written.push(text) }
  const log = createLog({ level: 'trace', service: 'svc', destination })
  return { log, written, last: () => JSON.parse(written.at(-1) ?? '') as Record<string, unknown> }
}

test('a line is one JSON object with time, level, service, logger, event and message', () => {
  const { log, written, last } = lines()
  log.warn({ event: 'x', text: 'a\nb' }, 'said')
  assert.match(written[0] ?? '', /^\{"level":"warn".*\}\n$/u)
  const { ts, ...rest } = last()
  assert.match(String(ts), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/u)
  const expected = { level: 'warn', service: 'svc', logger: 'midge', event: 'x', text: 'a\nb' }
  assert.deepEqual(rest, { ...expected, msg: 'said' })
})

test('logger is the part that speaks, written once whatever is bound to it', () => {
  const { log, written, last } = lines()
  const part = log.child({ part: 'broker' })
  part.info({ event: 'x' }, 'a part')
  assert.equal(last()['logger'], 'broker')
  part.child({ trace_id: 't', clientId: 'c' }).info({ event: 'x' }, 'a connection of it')
  const { logger, trace_id, clientId } = last()
  assert.deepEqual(
    { logger, trace_id, clientId },
    { logger: 'broker', trace_id: 't', clientId: 'c' },
  )
  log.child({ clientId: 'c' }).info({ event: 'x' }, 'of no part')
  assert.equal(last()['logger'], 'midge')
  for (const line of written) assert.equal(line.match(/"logger"/gu)?.length, 1, line)
})

test('secrets are taken out, also of the children of parts', () => {
  const { log, last } = lines()
  const child = log.child({ part: 'broker' }).child({ clientId: 'c' })
  child.info({ event: 'x', password: 'p', nested: { token: 't', payload: 'y' } }, 'said')
  const { password, nested } = last()
  assert.equal(password, '[redacted]')
  assert.deepEqual(nested, { token: '[redacted]', payload: '[redacted]' })
})

test('the level is asked for before each line, also of a child made before', () => {
  const written: string[] = []
  let level: LogLevel = 'info'
  const log = createLog({
    level: () => level,
    service: 'svc',
    destination: { write: (text: string) => written.push(text) },
  })
  const child = log.child({ part: 'broker' })
  const methods = ['trace', 'debug', 'info', 'warn', 'error'] as const
  const heard = () => {
    written.length = 0
    for (const method of methods) child[method]({ event: 'x' }, method)
    return written.map((line) => (JSON.parse(line) as { msg: string }).msg)
  }
  for (const [i, wanted] of methods.entries()) {
    level = wanted
    assert.deepEqual(heard(), methods.slice(i), wanted)
  }
  level = 'silent'
  assert.deepEqual(heard(), [])
})
