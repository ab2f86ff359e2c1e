import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { RememberingLog } from '../helpers/log.ts'
import { listenToSignals } from '../../start/signals.ts'

/** Signals as events: this process gets none. */
function listen(t: TestContext) {
  const before = new Map(
    (['SIGHUP', 'SIGTERM', 'SIGINT'] as const).map((name) => [name, process.listeners(name)]),
  )
  const remembering = new RememberingLog()
  const signals = listenToSignals(remembering.log)
  t.after(() => {
    for (const [name, listeners] of before) {
      for (const each of process.listeners(name)) {
        if (!listeners.includes(each)) process.removeListener(name, each)
      }
    }
  })
  return { signals, remembering }
}

test('a SIGHUP during the start is carried out after it, once', (t) => {
  const { signals } = listen(t)
  process.emit('SIGHUP')
  process.emit('SIGHUP')
  let reloads = 0
  signals.onReload(async () => {
    reloads++
  })
  assert.equal(reloads, 1)
  process.emit('SIGHUP')
  assert.equal(reloads, 2)
})

test('a start without SIGHUP is followed by no reload', (t) => {
  const { signals } = listen(t)
  signals.onReload(() => assert.fail('nobody asked'))
})

test('a reload that fails on a bug of ours is told of and does not end the process', async (t) => {
  const { signals, remembering } = listen(t)
  signals.onReload(async () => {
    throw new Error('a bug')
  })
  process.emit('SIGHUP')
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(remembering.last('config.failed')?.['level'], 'error')
})
