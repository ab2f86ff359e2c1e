import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OpenListeners } from '../../app/open-listeners.ts'
import type { ListenerConfig } from '../../config/types.ts'
import { OperationalError } from '../../core/errors.ts'
import { createMetrics } from '../../core/metrics.ts'
import { FakeClock } from '../helpers/clock.ts'
import { RememberingLog } from '../helpers/log.ts'
import type { ServerCertificate } from '../../pki/index.ts'
import { tlsConfig } from '../helpers/mutual-tls.ts'

const LISTENER: ListenerConfig = {
  name: '8883',
  address: undefined,
  port: 8883,
  protocol: 'mqtt',
  tls: tlsConfig(),
  allowAnonymous: false,
  passwordFile: undefined,
  aclFile: undefined,
  accountAccess: 'everything',
  maxConnections: -1,
}

/** Only handed on. */
const credentials: ServerCertificate = {
  key: '',
  cert: '',
  ca: undefined,
  trust: undefined,
  notAfter: 0,
  fingerprint: '',
  subject: '',
  warnings: [],
}

const TAKEN = new OperationalError('LISTEN_FAILED', 'cannot listen on port 8883: in use')

/** One TLS listener, whose files have come and whose port may be taken. */
function one() {
  const clock = new FakeClock()
  const memory = new RememberingLog()
  const metrics = createMetrics()
  const world = { taken: true, ready: true, tries: 0, open: false }
  const listeners = new OpenListeners({
    broker: {
      open: async () => {
        world.tries++
        if (world.taken) throw TAKEN
        world.open = true
      },
      isOpen: () => world.open,
    },
    pki: {
      isReady: () => world.ready,
      waitingFor: () => (world.ready ? undefined : 'its certificate files'),
      credentials: () => credentials,
    },
    listeners: [LISTENER],
    clock,
    log: memory.log,
    metrics,
  })
  const gauge = async () => (await metrics.listenerFailed.get()).values[0]?.value
  const after = async (ms: number) => {
    clock.advance(ms)
    // The try is a chain of promises that settle at once.
    for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  }
  return { listeners, world, memory, gauge, after, clock }
}

test('a port that is taken when its turn comes is tried again until it is free', async () => {
  const { listeners, world, memory, gauge, after, clock } = one()
  await listeners.openWaiting()
  assert.match(listeners.waiting.get('8883') ?? '', /in use$/u)
  assert.equal(listeners.closed?.name, '8883')
  assert.equal(await gauge(), 1)
  assert.equal(memory.last('listener.failed')?.['retryInMs'], 1000)
  assert.equal(memory.last('listener.failed')?.['level'], 'error')
  const delays: unknown[] = []
  for (let n = 0; n < 8; n++) {
    const { retryInMs } = memory.last('listener.failed') ?? {}
    delays.push(retryInMs)
    await after(Number(retryInMs) - 1)
    assert.equal(clock.pending, 1)
    await after(1)
  }
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  assert.equal(world.tries, 9)
  world.taken = false
  await after(60_000)
  assert.equal(world.open, true)
  assert.deepEqual([...listeners.waiting], [])
  assert.equal(await gauge(), 0)
  assert.equal(clock.pending, 0)
})

test('nothing is tried after the stop', async () => {
  const { listeners, world, after, clock } = one()
  await listeners.openWaiting()
  listeners.stop()
  assert.equal(clock.pending, 0)
  world.taken = false
  await after(3_600_000)
  assert.equal(world.open, false)
})

test('at the start a port that is taken is an error', async () => {
  const { listeners } = one()
  await assert.rejects(listeners.openAll(), { code: 'LISTEN_FAILED' })
})

test('files that go while the port is taken are what is waited for', async () => {
  const { listeners, world, memory } = one()
  await listeners.openWaiting()
  world.ready = false
  await listeners.openWaiting()
  assert.equal(listeners.waiting.get('8883'), 'its certificate files')
  assert.equal(memory.last('listener.waiting')?.['listener'], '8883')
})
