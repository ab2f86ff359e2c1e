/** Two tenants over mutual TLS: one takes what it can get, the other has all its service. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { LimitsConfig } from '../../config/types.ts'
import { startBroker } from '../helpers/broker.ts'
import { mutualTls } from '../helpers/mutual-tls.ts'
import type { ConnectFields } from '../helpers/raw-client.ts'

const pki = mutualTls()
const GREEDY = pki.device('greedy/pump')
const MODEST = pki.device('modest/pump')

async function start(t: TestContext, limits: Partial<LimitsConfig>) {
  const started = await startBroker(t, {
    ...pki.listener(),
    tenancy: true,
    rules: { tenancy: true, acl: undefined, accountAccess: new Set() },
    limits: { ...limits, tenantSharePercent: 80 },
  })
  const device = async (certificate: typeof GREEDY, fields: ConnectFields) => {
    const client = await pki.connect(t, started.port, certificate)
    const { returnCode } = await client.connect(fields)
    return Object.assign(client, { returnCode })
  }
  return {
    ...started,
    greedy: (clientId: string, fields: ConnectFields = {}) =>
      device(GREEDY, { clientId, ...fields }),
    modest: (clientId: string, fields: ConnectFields = {}) =>
      device(MODEST, { clientId, ...fields }),
  }
}

test('connections: CONNACK 3 for the greedy one, which may still take over its own', async (t) => {
  const { greedy, modest, metrics } = await start(t, { maxConnections: 10 })
  const open = []
  for (let i = 0; i < 8; i++) open.push(await greedy(`g${i}`))
  assert.deepEqual(
    open.map(({ returnCode }) => returnCode),
    Array(8).fill(0),
  )
  const refused = await greedy('g8')
  assert.equal(refused.returnCode, 3)
  await refused.closed
  assert.deepEqual((await metrics.connectsRefused.get()).values, [
    { labels: { reason: 'too_many_connections' }, value: 1 },
  ])
  assert.equal((await modest('m0')).returnCode, 0)
  await open[0]?.disconnect()
  assert.equal((await greedy('g1')).returnCode, 0)
  await open[1]?.closed
})

test('Sessions that are kept: CONNACK 3 for the greedy one', async (t) => {
  const { greedy, modest, metrics } = await start(t, { maxSessions: 10 })
  for (let i = 0; i < 8; i++) {
    const client = await greedy(`g${i}`, { clean: false })
    assert.equal(client.returnCode, 0)
    await client.disconnect()
  }
  assert.equal((await greedy('g8')).returnCode, 3)
  assert.deepEqual((await metrics.connectsRefused.get()).values, [
    { labels: { reason: 'too_many_sessions' }, value: 1 },
  ])
  assert.equal((await modest('m0')).returnCode, 0)
  assert.equal((await greedy('g0', { clean: false })).returnCode, 0)
})

test('queued bytes: its messages are dropped, those of the other are all there', async (t) => {
  const limits = {
    maxQueuedBytesTotal: 400_000,
    maxQueuedBytes: 400_000,
    maxQueuedMessages: 10_000,
  }
  const { broker, greedy, modest, metrics } = await start(t, limits)
  const desired = (tenant: string) => `tenant/${tenant}/device/pump/shadow/desired`
  for (const [tenant, client] of [
    ['greedy', await greedy('absent', { clean: false })],
    ['modest', await modest('absent', { clean: false })],
  ] as const) {
    assert.deepEqual(await client.subscribe(desired(tenant), 1), [1])
    await client.disconnect()
  }
  const publish = (tenant: string, payload: Buffer) =>
    broker.publish({ topic: desired(tenant), payload, qos: 1, retain: false })
  for (let i = 0; i < 1000; i++) publish('greedy', Buffer.alloc(1000))
  const { values } = await metrics.publishDropped.get()
  assert.deepEqual(
    values.map(({ labels }) => labels),
    [{ reason: 'dropped_budget' }],
  )
  for (let i = 0; i < 30; i++) publish('modest', Buffer.from(`${i}`))
  const client = await modest('absent', { clean: false })
  for (let i = 0; i < 30; i++) assert.equal(String((await client.receive()).payload), `${i}`)
  assert.equal((await metrics.publishDropped.get()).values[0]?.value, values[0]?.value)
})

test('retained messages: no more topics for the greedy one', async (t) => {
  const { greedy, modest, metrics, broker } = await start(t, { maxRetainedMessages: 10 })
  const device = await greedy('g')
  for (let i = 0; i < 12; i++) {
    await device.publish(`tenant/greedy/device/pump/type${i}`, 'x', { qos: 1, retain: true })
  }
  assert.equal(broker.counts().retainedMessages, 8)
  assert.deepEqual((await metrics.publishDropped.get()).values, [
    { labels: { reason: 'retained_full' }, value: 4 },
  ])
  const other = await modest('m')
  await other.publish('tenant/modest/device/pump/state', 'kept', { qos: 1, retain: true })
  assert.equal(broker.counts().retainedMessages, 9)
})

test('sockets that never send CONNECT: those of one tenant leave room for the other', async (t) => {
  const { broker, greedy, modest, metrics, port } = await start(t, { maxConnections: 40 })
  const silent = []
  for (let i = 0; i < 45; i++) {
    const socket = await pki.connect(t, port, GREEDY)
    silent.push(socket)
  }
  assert.equal((await modest('m0')).returnCode, 0)
  const refused = (await metrics.connectsRefused.get()).values
  assert.deepEqual(
    refused.map(({ labels }) => labels),
    [{ reason: 'too_many_connections' }],
  )
  assert.ok((refused[0]?.value ?? 0) >= 13)
  for (const socket of silent) socket.destroy()
  for (let i = 0; i < 30; i++) {
    const { returnCode } = await greedy(`g${i}`)
    assert.equal(returnCode, 0)
  }
  assert.equal(broker.sessions().length, 31)
})
