import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Connections } from '../../broker/connections.ts'
import type { Publication } from '../../broker/router.ts'
import { createMessage, MemoryStore } from '../../broker/store/index.ts'
import { SysTopics } from '../../broker/sys-topics.ts'
import { Traffic } from '../../broker/traffic.ts'
import { createMetrics } from '../../core/metrics.ts'
import { FakeClock } from '../helpers/clock.ts'
import { limits } from '../helpers/limits.ts'

function started(t: TestContext, config = { sysInterval: 10 }) {
  const clock = new FakeClock()
  const metrics = createMetrics()
  const store = new MemoryStore(limits())
  const traffic = new Traffic()
  const published: Publication[] = []
  const router = { publish: (publication: Publication) => void published.push(publication) }
  let heap = 1000
  const connections = new Connections()
  const version = '1.2.3'
  const heapBytes = () => heap
  const parts = { config, clock, metrics, version, store, router, connections, traffic, heapBytes }
  const sys = new SysTopics(parts)
  t.after(() => sys.stop())
  return {
    ...parts,
    sys,
    heapIs: (bytes: number) => void (heap = bytes),
    /** What was published since the last call, without the part all names share. */
    taken: async () => {
      await nextTurn()
      const values = published
        .splice(0)
        .map(({ topic, payload }) => [topic.replace('$SYS/broker/', ''), String(payload)])
      return Object.fromEntries(values) as Record<string, string>
    },
    published,
  }
}

test('every value of Mosquitto is published at the start, retained and with QoS 2', async (t) => {
  const { sys, published, taken } = started(t)
  sys.start()
  await nextTurn()
  assert.ok(published.every(({ qos, retain }) => qos === 2 && retain))
  const values = await taken()
  const loads = Object.entries(values).filter(([name]) => name.startsWith('load/'))
  assert.equal(loads.length, 27)
  assert.ok(loads.every(([, value]) => value === '0.00'))
  assert.deepEqual(
    Object.fromEntries(Object.entries(values).filter(([name]) => !name.startsWith('load/'))),
    {
      version: 'midge version 1.2.3',
      uptime: '0 seconds',
      'clients/total': '0',
      'clients/maximum': '0',
      'clients/disconnected': '0',
      'clients/inactive': '0',
      'clients/connected': '0',
      'clients/active': '0',
      'clients/expired': '0',
      'connections/socket/count': '0',
      'packet/out/count': '0',
      'packet/out/bytes': '0',
      'messages/stored': '0',
      'store/messages/count': '0',
      'store/messages/bytes': values['store/messages/bytes'],
      'subscriptions/count': '0',
      'shared_subscriptions/count': '0',
      'retained messages/count': '0',
      'heap/current': '1000',
      'heap/maximum': '1000',
      'messages/received': '0',
      'messages/sent': '0',
      'publish/messages/dropped': '0',
      'publish/messages/received': '0',
      'publish/messages/sent': '0',
      'publish/bytes/received': '0',
      'publish/bytes/sent': '0',
      'bytes/received': '0',
      'bytes/sent': '0',
    },
  )
})

test('at each interval what has changed, and nothing else', async (t) => {
  const { sys, clock, traffic, store, metrics, heapIs, taken } = started(t)
  sys.start()
  await taken()
  clock.advance(9999)
  assert.deepEqual(await taken(), {}, 'before the interval is over')

  const { session } = store.open('k', { clientId: 'c', clean: false })
  store.subscribe(session, 'a/#', 1)
  store.subscribe(session, '$share/g/b', 1)
  const link = { backlogBytes: 0, sendPublish: () => undefined, sendPubrel: () => undefined }
  session.attach(link, () => true)
  const sent = { topic: 'a/b', payload: Buffer.from('x'), qos: 1, retain: false } as const
  assert.equal(session.deliver(createMessage(sent), 1, { retained: false }), 'sent')
  const message = { topic: 'r', payload: Buffer.from('x'), qos: 0, retain: true } as const
  store.retained.store(createMessage(message))
  metrics.publishDropped.inc({ reason: 'queue_full' }, 2)
  metrics.publishDropped.inc({ reason: 'retained_full' })
  traffic.packetsReceived = 30
  traffic.publishBytesSent = 7
  traffic.sessionsExpired = 4
  heapIs(900)
  clock.advance(1)
  const { 'store/messages/bytes': bytes, ...values } = await taken()
  assert.ok(Number(bytes) > 0)
  const perMinute = (count: number, minutes: number) =>
    (count * 6 * (1 - Math.exp(-1 / 6 / minutes))).toFixed(2)
  assert.deepEqual(values, {
    uptime: '10 seconds',
    'clients/total': '1',
    'clients/disconnected': '1',
    'clients/inactive': '1',
    'clients/expired': '4',
    'load/messages/received/1min': perMinute(30, 1),
    'load/messages/received/5min': perMinute(30, 5),
    'load/messages/received/15min': perMinute(30, 15),
    'load/publish/dropped/1min': perMinute(3, 1),
    'load/publish/dropped/5min': perMinute(3, 5),
    'load/publish/dropped/15min': perMinute(3, 15),
    'messages/stored': '2',
    'store/messages/count': '2',
    'subscriptions/count': '1',
    'shared_subscriptions/count': '1',
    'retained messages/count': '1',
    'heap/current': '900',
    'messages/received': '30',
    'publish/messages/dropped': '3',
    'publish/bytes/sent': '7',
  })
})

test('another interval holds from the next start on, and 0 publishes nothing', async (t) => {
  const config = { sysInterval: 10 }
  const { sys, clock, taken } = started(t, config)
  sys.start()
  await taken()
  config.sysInterval = 3
  sys.stop()
  clock.advance(20_000)
  assert.deepEqual(await taken(), {}, 'while it is stopped')
  sys.start()
  assert.equal((await taken())['uptime'], '20 seconds')
  clock.advance(3000)
  assert.equal((await taken())['uptime'], '23 seconds')
  config.sysInterval = 0
  sys.stop()
  sys.start()
  clock.advance(60_000)
  assert.deepEqual(await taken(), {})
})
