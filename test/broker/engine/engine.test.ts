import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Engine, type ClientHandlers, type EngineClient } from '../../../broker/engine/engine.ts'
import { topicName } from '../../../core/names.ts'
import { MemoryStore } from '../../../broker/store/index.ts'
import { limits } from '../../helpers/limits.ts'
import { RememberingLog } from '../../helpers/log.ts'

/** Does something of the test's at the moment Aedes stores a Will, before it registers the client. */
class InterruptedStore extends MemoryStore {
  interrupt = (): void => undefined

  override putWill(...args: Parameters<MemoryStore['putWill']>): void {
    super.putWill(...args)
    this.interrupt()
  }
}

async function startEngine(t: TestContext) {
  const store = new InterruptedStore(limits())
  const remembering = new RememberingLog()
  const engine = await Engine.start(store, remembering.log, 'test')
  t.after(() => engine.stop())
  const events: string[] = []
  const open = (name: string, changes: Partial<ClientHandlers> = {}): EngineClient =>
    engine.open({
      key: 'key',
      clean: true,
      will: { topic: topicName('w'), payload: Buffer.from(name), qos: 0, retain: false },
      registered: () => {
        events.push(`${name} registered`)
        return false
      },
      failed: (err) => events.push(`${name} failed: ${String(err)}`),
      acknowledged: () => events.push(`${name} acknowledged`),
      sendWill: ({ payload }) => {
        events.push(`${name} Will ${String(payload)}`)
        return 'routed'
      },
      write: (bytes) => events.push(`${name} ${bytes.toString('hex')}`),
      ended: () => events.push(`${name} ended`),
      ...changes,
    })
  const settle = async () => {
    for (let i = 0; i < 10; i++) await nextTurn()
  }
  return { engine, store, remembering, events, open, settle }
}

test('a client is registered, acknowledged, and its Will sent when its socket goes', async (t) => {
  const { events, open, settle, store } = await startEngine(t)
  const one = open('one')
  await settle()
  assert.deepEqual(events, ['one registered', 'one 20020000', 'one acknowledged'])
  one.destroy()
  await settle()
  assert.deepEqual(events.slice(3), ['one ended', 'one Will one'])
  assert.equal(store.wills.size, 0)
})

test('no Will after DISCONNECT', async (t) => {
  const { events, open, settle, store } = await startEngine(t)
  const one = open('one')
  await settle()
  one.disconnect()
  one.destroy()
  await settle()
  assert.deepEqual(events.slice(3), ['one ended'])
  assert.equal(store.wills.size, 0)
})

test('Aedes finds all it uses of a socket, and warns of nothing', async (t) => {
  const { open, settle, remembering } = await startEngine(t)
  const warnings: Error[] = []
  const remember = (warning: Error) => warnings.push(warning)
  process.on('warning', remember)
  t.after(() => process.off('warning', remember))
  const one = open('one')
  await settle()
  open('two')
  one.destroy()
  await settle()
  assert.deepEqual(warnings, [])
  assert.deepEqual(remembering.lines, [])
})

test('an older client of the key is ended before the newer is registered', async (t) => {
  const { events, open, settle } = await startEngine(t)
  open('old')
  await settle()
  open('new')
  await settle()
  assert.deepEqual(events.slice(3), [
    'old Will old',
    'old ended',
    'new registered',
    'new 20020000',
    'new acknowledged',
  ])
})

test('a client whose socket goes while Aedes is at it is not registered, and leaves nothing', async (t) => {
  const { events, open, settle, store } = await startEngine(t)
  const one = open('one')
  store.interrupt = () => one.destroy()
  await settle()
  assert.deepEqual(events, ['one ended'])
  assert.equal(store.wills.size, 0)
  // The key is free: nobody is there to be taken over.
  store.interrupt = () => undefined
  open('two')
  await settle()
  assert.deepEqual(events.slice(1), ['two registered', 'two 20020000', 'two acknowledged'])
})

test('a Session that cannot be opened ends the client, and nobody else', async (t) => {
  const { events, open, settle } = await startEngine(t)
  open('one', {
    registered: () => {
      throw new Error('no room')
    },
  })
  await settle()
  assert.deepEqual(events.slice(0, 2), ['one failed: Error: no room', 'one ended'])
  open('two')
  await settle()
  assert.deepEqual(events.slice(-3), ['two registered', 'two 20020000', 'two acknowledged'])
})
