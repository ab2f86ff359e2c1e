import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { AedesPersistence } from '../../../broker/store/aedes-persistence.ts'
import { MemoryStore } from '../../../broker/store/memory.ts'
import { storeLimits } from './support.ts'

type AbstractTests = (options: {
  test: typeof test
  persistence: () => AedesPersistence
  testAsync: true
}) => void

// The contract of aedes-persistence 11.0.0, as published; none of its tests is left out.
const abstractTests = createRequire(import.meta.url)(
  'aedes-persistence/abstract.js',
) as AbstractTests
abstractTests({
  test,
  persistence: () => new AedesPersistence(new MemoryStore(storeLimits())),
  testAsync: true,
})

const publish = {
  cmd: 'publish',
  topic: 't',
  payload: Buffer.from('x'),
  qos: 2,
  retain: false,
  brokerId: 'b',
  brokerCounter: 1,
} as const

test('clearing without a Packet Identifier clears nothing', async () => {
  const persistence = new AedesPersistence(new MemoryStore(storeLimits()))
  await persistence.outgoingEnqueue({ clientId: 'c' }, publish)
  assert.equal(await persistence.outgoingClearMessageId({ id: 'c' }, publish), undefined)
  assert.equal((await persistence.outgoingStream({ id: 'c' }).toArray()).length, 1)
})

test('deleting a received packet twice, or one never received, rejects nothing', async () => {
  const persistence = new AedesPersistence(new MemoryStore(storeLimits()))
  await persistence.incomingDelPacket({ id: 'c' }, { messageId: 1 })
  await persistence.incomingStorePacket({ id: 'c' }, { ...publish, messageId: 1 })
  await persistence.incomingDelPacket({ id: 'c' }, { messageId: 1 })
  await persistence.incomingDelPacket({ id: 'c' }, { messageId: 1 })
  await assert.rejects(persistence.incomingGetPacket({ id: 'c' }, { messageId: 1 }))
})

test('packets kept for Aedes count at the bounds of their Session and go with it', async () => {
  const store = new MemoryStore(storeLimits({ maxQueuedBytes: 20_000 }))
  const persistence = new AedesPersistence(store)
  const large = { ...publish, payload: Buffer.alloc(8000) }
  const full = { code: 'QUEUE_FULL' }
  await persistence.outgoingEnqueue({ clientId: 'c' }, large)
  await persistence.incomingStorePacket({ id: 'c' }, { ...large, messageId: 7 })
  await assert.rejects(persistence.outgoingEnqueue({ clientId: 'c' }, large), full)
  await assert.rejects(
    persistence.incomingStorePacket({ id: 'c' }, { ...large, messageId: 8 }),
    full,
  )
  await persistence.incomingStorePacket({ id: 'c' }, { ...large, messageId: 7 })
  await persistence.cleanIncoming({ id: 'c' })
  await persistence.outgoingEnqueue({ clientId: 'c' }, large)
  store.drop('c')
  assert.equal(store.counts().queuedBytes, 0)
  assert.equal((await persistence.outgoingStream({ id: 'c' }).toArray()).length, 0)
})

test('a subscription the store refuses is an error and not half stored', async () => {
  const persistence = new AedesPersistence(
    new MemoryStore(storeLimits({ maxSubscriptionsPerSession: 1 })),
  )
  const subscriptions = ['a', 'b'].map((topic) => ({ topic, qos: 1 }) as const)
  await assert.rejects(persistence.addSubscriptions({ id: 'c' }, subscriptions), {
    code: 'SUBSCRIPTION_REFUSED',
    message: 'cannot store "b": malformed, or one too many',
  })
  assert.deepEqual(await persistence.subscriptionsByClient({ id: 'c' }), [{ topic: 'a', qos: 1 }])
})

test('Wills of brokers are told apart by own names only', async () => {
  const persistence = new AedesPersistence(new MemoryStore(storeLimits()))
  await persistence.setup({ id: 'constructor' })
  await persistence.putWill({ id: 'c' }, { ...publish })
  assert.equal((await persistence.streamWill({}).toArray()).length, 1)
  assert.equal((await persistence.streamWill({ constructor: 1 }).toArray()).length, 0)
})
